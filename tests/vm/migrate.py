#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Live migration between two QEMUs on this host: TCP connections and a running iperf3 survive it,
VFs are taken away before and given back after. What fails, is cancelled or refused leaves the guest
where it was, with its VF.
"""

import contextlib
import os
import signal

import story as stories
from flows import Flows
from lab import require, wait_for
from paths import BOTH, boot_id, give_peers, revoke, restore, steps, talk, travels, vf, wait_pair
from revoke import Asked, refused

LOAD = "--tcp 1 --udp --ping --iperf3 1"


def migrate(vm, mode, timeout=240):
    return vm.lab.control.call("vm-migrate", timeout=timeout + 30, vm=vm.name, vf=mode,
                               timeout_ms=timeout * 1000)


def attached(lab):
    """Refused with a VF attached; nothing changes."""
    a, b = lab.vm("a"), lab.vm("b")
    pid = a.status()["pid"]
    refused(lambda: migrate(a, "refuse"), "InvalidState")
    require(a.status()["pid"] == pid and vf(a)["state"] == "driven", f"{vf(a)}")
    travels(a, b, "vf")


def with_vf(vm):
    """Whatever the check before left behind: the guest uses its VF."""
    wait_for(lambda: not vf(vm)["busy"] and not vf(vm)["pending"], 60, "nothing is under way")
    if vf(vm)["state"] == "revoked":
        restore(vm)
    wait_pair(vm)


def moved(lab, mode):
    """The guest runs on in another process, with its connections and, at the end, its VF."""
    a, b = lab.vm("a"), lab.vm("b")
    with_vf(a)
    pid, boot, mac = a.status()["pid"], boot_id(a), a.vnic()["mac"]
    if mode == "refuse":
        revoke(a)
    with Flows(a, b, LOAD, rate=30) as flows:
        answer = migrate(a, mode)
        found = iter(steps(answer))
        require(all(any(want == step for step in found) for want in
                    ("start-destination", "completed", "runs-on-destination", "source-ended",
                     "done")), f"the steps are {steps(answer)}")
        require(a.status()["state"] == "ready", f"the answer came, a is {a.status()['state']}")
        flows.goes_on()
        if mode == "refuse":
            require(vf(a)["state"] == "revoked", f"{vf(a)}")
            restore(a)
        wait_pair(a)
        flows.goes_on()
        flows.end()
    require(a.status()["pid"] != pid and not os.path.exists(f"/proc/{pid}"), "the same QEMU")
    require(boot_id(a) == boot and a.vnic()["mac"] == mac, "not the same guest")
    listed(lab, a)
    travels(a, b, "vf")
    talk(lab)


def listed_pids(lab, vm):
    with open(os.path.join(lab.runtime, "qemu.pids"), encoding="utf-8") as src:
        return [int(line.split()[0]) for line in src if line.split()[2] == vm.name]


def listed(lab, vm, n=1):
    """qemu.pids, by which a crashed daemon's successor cleans up, names so many QEMUs of the VM."""
    pids = listed_pids(lab, vm)
    require(len(pids) == n and vm.status()["pid"] in pids, f"of {vm.name} are listed {pids}")


class Halted:
    """A migration of a that stands in the middle: its destination was stopped (SIGSTOP)."""

    def __init__(self, lab, mode):
        a = lab.vm("a")
        for _ in range(5):      # a machine so slow that the guest is there before we look
            self.pid = pid = a.status()["pid"]
            lab.events.call("query-version")
            lab.events.events.clear()       # of migrations before
            self.asked = Asked(lab, "vm-migrate", timeout=600, vm="a", vf=mode, timeout_ms=500000)
            lab.events.wait_event("MIGRATION", 120, vm="a", step="destination-ready")
            self.dest = next((p for p in listed_pids(lab, a) if p != pid), None)
            if self.dest:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.dest, signal.SIGSTOP)
                lab.events.wait_event("MIGRATION", 120, vm="a", step="active")
                if os.path.exists(f"/proc/{self.dest}") and a.status()["pid"] == pid:
                    listed(lab, a, 2)
                    return
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.dest, signal.SIGCONT)
            self.asked.result(300)
            with_vf(a)
        require(False, "it was over five times before it could be stopped")


def stays(lab, mode, end, error_class):
    """Ended in the middle: the guest runs on where it was and has its VF again; nothing is left."""
    a, b = lab.vm("a"), lab.vm("b")
    with_vf(a)
    boot = boot_id(a)
    with Flows(a, b, LOAD, rate=30) as flows:
        halted = Halted(lab, mode)
        require(vf(a)["state"] != "driven" or mode == "failover", f"{vf(a)}")
        end(lab, halted)
        error = refused(lambda: halted.asked.result(150), error_class)
        require("undo" in [step["step"] for step in error.error["steps"]], f"{error.error}")
        wait_pair(a)
        flows.goes_on()
        flows.end()
    require(a.status()["pid"] == halted.pid and a.status()["state"] == "ready", "another QEMU")
    require(boot_id(a) == boot, "another boot")
    wait_for(lambda: not os.path.exists(f"/proc/{halted.dest}"), 20, "the destination is gone")
    listed(lab, a)
    travels(a, b, "vf")
    refused(lambda: lab.control.call("vm-migrate-cancel", vm="a"), "InvalidState")


def cancel(lab, _halted):
    refused(lambda: migrate(lab.vm("a"), "manager"), "Busy")
    refused(lambda: restore(lab.vm("a")), "Busy")
    lab.control.call("vm-migrate-cancel", vm="a")


def kill(_lab, halted):
    os.kill(halted.dest, signal.SIGKILL)


def main():
    story = stories.Story("migrate", __doc__)
    whole = story.whole
    small = {"cpus": 1, "memory": "256M"}
    with story.lab({"a": {**small, **BOTH}, "b": {**small, **BOTH}}) as lab:
        story.check("peers", give_peers, lab, always=True)
        story.check("refused with a VF attached", attached, lab)
        story.check("by QEMU's failover", moved, lab, "failover")
        story.check("by the manager", moved, lab, "manager")
        story.check("cancelled", stays, lab, "manager", cancel, "Cancelled")
        if whole:
            story.check("with the VF revoked before", moved, lab, "refuse")
            story.check("cancelled, by QEMU's failover", stays, lab, "failover", cancel,
                        "Cancelled")
            story.check("the destination dies", stays, lab, "manager", kill, "GenericError")
            story.check("the destination dies, by QEMU's failover", stays, lab, "failover", kill,
                        "GenericError")
            story.check("once more", moved, lab, "manager")
    return story.end()


if __name__ == "__main__":
    stories.run(main)
