#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Live migration between two QEMUs on this host: TCP connections and a running iperf3 survive it,
VFs are taken away before and given back after. What fails, is cancelled or refused leaves the guest
where it was, with its VF.
"""

import os
import signal

import story as stories
from control import Refused
from flows import Flows
from lab import processes_naming, require, wait_for
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


def moved(lab, mode):
    """The guest runs on in another process, with its connections and, at the end, its VF."""
    a, b = lab.vm("a"), lab.vm("b")
    pid, boot, mac = a.status()["pid"], boot_id(a), a.vnic()["mac"]
    if mode == "refuse":
        revoke(a)
    with Flows(a, b, LOAD, rate=30) as flows:
        answer = migrate(a, mode)
        found = iter(steps(answer))
        require(all(any(want == step for step in found) for want in
                    ("start-destination", "completed", "runs-on-destination", "done")),
                f"the steps are {steps(answer)}")
        flows.goes_on()
        if mode == "refuse":
            restore(a)
        wait_pair(a)
        flows.goes_on()
        flows.end()
    require(a.status()["pid"] != pid and not os.path.exists(f"/proc/{pid}"), "the same QEMU")
    require(boot_id(a) == boot and a.vnic()["mac"] == mac, "not the same guest")
    travels(a, b, "vf")
    talk(lab)


def cancelled(lab):
    """In the middle: the guest runs on where it was and has its VF again."""
    a, b = lab.vm("a"), lab.vm("b")
    pid = a.status()["pid"]
    with Flows(a, b, LOAD, rate=30) as flows:
        asked = Asked(lab, "vm-migrate", timeout=270, vm="a", vf="manager", timeout_ms=240000)
        lab.events.wait_event("MIGRATION", 120, vm="a", step="destination-ready")
        lab.control.call("vm-migrate-cancel", vm="a")
        refused(lambda: asked.result(120), "Cancelled")
        wait_pair(a)
        flows.goes_on()
        flows.end()
    require(a.status()["pid"] == pid, "another QEMU")
    travels(a, b, "vf")
    left = [p for p, line in processes_naming(lab.runtime + "/vm/a").items() if p != pid]
    wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in left), 20,
             "the destination is gone")
    refused(lambda: lab.control.call("vm-migrate-cancel", vm="a"), "InvalidState")


def destination_dies(lab):
    """The destination's QEMU is killed: as if it had not been."""
    a, b = lab.vm("a"), lab.vm("b")
    pid = a.status()["pid"]
    before = set(processes_naming(lab.runtime))
    with Flows(a, b, LOAD, rate=30) as flows:
        asked = Asked(lab, "vm-migrate", timeout=270, vm="a", vf="manager", timeout_ms=240000)
        lab.events.wait_event("MIGRATION", 120, vm="a", step="destination-ready")
        new = [p for p, line in processes_naming(lab.runtime).items()
               if p not in before and "-incoming" in line]
        require(len(new) == 1, f"the destination is {new}")
        os.kill(new[0], signal.SIGKILL)
        try:
            answer = asked.result(150)
            require(False, f"it ended well: {steps(answer)}")
        except Refused as error:
            require(error.error_class in ("GenericError", "Cancelled"), f"{error}")
        wait_pair(a)
        flows.goes_on()
        flows.end()
    require(a.status()["pid"] == pid and a.status()["state"] == "ready", "another QEMU")
    travels(a, b, "vf")


def main():
    story = stories.Story("migrate", __doc__)
    small = {"cpus": 1, "memory": "256M"}
    with story.lab({"a": {**small, **BOTH}, "b": {**small, **BOTH}}) as lab:
        story.check("peers", give_peers, lab, always=True)
        story.check("refused with a VF attached", attached, lab)
        story.check("by QEMU's failover", moved, lab, "failover")
        story.check("by the manager", moved, lab, "manager")
        story.check("with the VF revoked before", moved, lab, "refuse")
        story.check("cancelled", cancelled, lab)
        story.check("the destination dies", destination_dies, lab)
        story.check("once more", moved, lab, "manager")
    return story.end()


if __name__ == "__main__":
    stories.run(main)
