#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""VFs taken away and given back under load: gracefully, abruptly, by surprise, slowly, against the
guest's will, while it is paused, while QEMU or the daemon stands still; and many times in a row.

Of the time that traffic stands still the longest is printed, and not judged: the machine is shared
and its CPUs are emulated. What is judged: no connection ends, no record changes or comes twice,
and a graceful revocation and its restoration lose no datagram and no echo, but for what the guest's
own kernel throws away because its driver does not know that the VF's link has gone.
"""

import contextlib
import os
import signal
import threading
import time

import story as stories
from control import Control, Refused
from flows import Flows
from lab import CheckFailed, require, wait_for
from paths import (BOTH, boot_id, carried, exists, give_peers, restore, revoke, steps, talk,
                   travels, vf, wait_pair, wait_vf)

LOAD = "--tcp 1 --udp --ping"


def refused(func, error_class):
    """What the daemon says when it refuses."""
    try:
        answer = func()
    except Refused as error:
        require(error.error_class == error_class, f"not {error_class}: {error}")
        return error
    require(False, f"it was not refused: {answer}")
    return None


def in_order(answer, *names):
    """The steps hold these, in this order."""
    found = steps(answer)
    rest = iter(found)
    require(all(any(name == step for step in rest) for name in names), f"the steps are {found}")


def conserved(vm, name="eth0"):
    """What the switch delivered to the vNIC arrived on its paths, and none is parked."""
    found = vm.stats(name)
    paths = sum(port["rx_packets"] for port in found["paths"].values())
    require(found["port"]["rx_packets"] == paths,
            f"the vNIC got {found['port']['rx_packets']} frames, its paths {paths}")
    require(found["receive"]["parked_now"] == 0 and found["receive"]["park_lost"] == 0,
            f"parked: {found['receive']}")


def graceful(lab, kernel, times):
    """Traffic leaves the VF before it goes: nothing that the switch accepted is lost."""
    a, b = lab.vm("a"), lab.vm("b")
    aware = kernel == "7.2"
    with Flows(a, b, LOAD) as flows:
        for _ in range(times):
            answer = revoke(a)
            in_order(answer, "link-down", "unplug", "receive-off", "released", "unplugged", "done")
            # Linux before 6.17 does not know of a VF's link: there is nothing to wait for.
            want = {"drained", "drain-limit"} if aware else {"no-drain"}
            require(want & set(steps(answer)), f"{steps(answer)}")
            flows.goes_on()
            answer = restore(a)
            in_order(answer, "plug", "driven", "done")
            wait_pair(a)
            flows.goes_on()
        ended = flows.end()
        require(not flows.dropped(), f"the switch dropped {flows.dropped()}")
        # An older driver's guest sends on the VF until it is unplugged. What its kernel has queued
        # for it then it throws away, and no host ever sees it.
        lost = flows.lost if aware else flows.lost_on_the_way_back
        require(not lost(ended), f"{lost(ended)} lost: " + "; ".join(map(str, ended)))
    conserved(a)
    conserved(b)


def abrupt(lab):
    """Unplugged without a word: connections live."""
    a, b = lab.vm("a"), lab.vm("b")
    with Flows(a, b, LOAD) as flows:
        answer = revoke(a, way="abrupt")
        require("link-down" not in steps(answer), f"the link was taken first: {steps(answer)}")
        in_order(answer, "unplug", "unplugged", "done")
        flows.goes_on()
        restore(a)
        wait_pair(a)
        flows.goes_on()
        flows.end()


def surprise(lab):
    """The device dies under its driver, then is unplugged: connections live. The driver of 6.12
    waits for minutes (docs/drills.md), so this is what it takes, and no deadline of a drill."""
    a, b = lab.vm("a"), lab.vm("b")
    with Flows(a, b, LOAD) as flows:
        revoke(a, way="surprise", wait=False, deadline_ms=1200000)
        while vf(a)["busy"]:
            with contextlib.suppress(CheckFailed):
                wait_for(lambda: not vf(a)["busy"], 60, "it is over")
            flows.look()        # a load that nobody asks after ends
        found = vf(a)
        require(found["state"] == "revoked" and not found["pending"], f"{found}")
        in_order(found["last"], "cut", "unplug", "unplugged", "done")
        require("unplug-again" not in steps(found["last"]), f"asked twice: {found['last']}")
        flows.goes_on(deadline=120)
        restore(a)
        wait_pair(a)
        flows.goes_on()
        flows.end()


def slow(lab):
    """PCIe's own hot plug takes more than five seconds to let a device go."""
    a, b = lab.vm("a"), lab.vm("b")
    with Flows(a, b, LOAD) as flows:
        answer = revoke(b, deadline_ms=60000, timeout=90)
        in_order(answer, "link-down", "unplug", "unplugged", "done")
        require(vf(b)["state"] == "revoked" and not exists(b, "eth0vf"), f"{vf(b)}")
        flows.goes_on()
        restore(b)
        wait_pair(b)
        flows.goes_on()
        require(not flows.dropped(), f"the switch dropped {flows.dropped()}")
        flows.end()


def deaf(vm, state):
    """QEMU's ACPI hot plug raises general purpose event 1; masked, the guest hears of nothing."""
    vm.run(f"echo {'mask' if state else 'unmask'} >/sys/firmware/acpi/interrupts/gpe01")


def unwilling(lab):
    """A guest that does not let go. Without escalation it keeps the VF and goes on with it; and
    it loses it when it listens at last."""
    a, b = lab.vm("a"), lab.vm("b")
    with Flows(a, b, LOAD) as flows:
        deaf(a, True)
        try:
            refused(lambda: revoke(a, deadline_ms=2000, no_escalate=True), "Timeout")
            require(vf(a)["state"] == "driven", f"the VF is {vf(a)}")
            flows.goes_on()
            travels(a, b, "vf")
        finally:
            deaf(a, False)
        wait_vf(a, "revoked")
        flows.goes_on()
        restore(a)
        wait_pair(a)
        flows.goes_on()
        require(not flows.dropped(), f"the switch dropped {flows.dropped()}")
        flows.end()


def escalated(lab):
    """With escalation the device is cut: the VF is revoked with its removal pending, nothing else
    is allowed meanwhile, and it is over when the guest listens. Connections live."""
    a, b = lab.vm("a"), lab.vm("b")
    with Flows(a, b, LOAD) as flows:
        deaf(a, True)
        try:
            answer = revoke(a, deadline_ms=2000)
            in_order(answer, "unplug", "cut", "done")
            require(answer["state"] == "revoked" and answer["pending"], f"{answer}")
            found = vf(a)
            require(found["state"] == "revoked" and found["pending"], f"{found}")
            refused(lambda: restore(a), "Busy")
            refused(lambda: revoke(a), "InvalidState")
        finally:
            deaf(a, False)
        wait_vf(a, "revoked", deadline=120)
        flows.goes_on(deadline=120)
        restore(a)
        wait_pair(a)
        flows.goes_on()
        flows.end()


def windows(lab):
    """The race windows: the link comes late; both paths are visible and packets stay on the old."""
    a, b = lab.vm("a"), lab.vm("b")
    revoke(a)
    restore(a, link_delay_ms=1500, hold_ms=1, wait=False)
    a.eventually("[ -e /sys/class/net/eth0vf ]", 30)
    wait_pair(a)
    in_order(vf(a)["last"], "plug", "link-up", "done")
    revoke(a)
    restore(a, hold_ms=60000, deadline_ms=80000, wait=False)
    wait_for(lambda: a.vnic()["vf"]["guest"] == "driven", 30, "the guest drives the VF")
    a.eventually("[ $(cat /sys/class/net/eth0vf/operstate) = up ]", 30)
    found = vf(a)
    require(found["state"] == "restoring" and found["receive"] == "synthetic", f"{found}")
    refused(lambda: revoke(a), "Busy")
    before = carried(a)
    # The guest sends over the VF already, and takes nothing from the standby any more.
    lost = a.run(f"ping -q -c 5 -i 0.1 -W 1 {b.address()}", check=False)
    after = carried(a)
    require(lost.status, f"both paths visible, and the guest takes frames from the standby: {lost}")
    require(after["vf"][0] - before["vf"][0] >= 5, f"the guest does not send on the VF: {after}")
    require(after["synthetic"][1] - before["synthetic"][1] >= 5, f"not to the standby: {after}")
    # the whole of it again without the window, by taking the driver away in it
    a.run("modprobe -r mana && modprobe mana")
    wait_for(lambda: vf(a)["state"] == "restoring", 10, "still restoring")
    lab.control.call("vm-reset", vm="a")
    wait_for(lambda: a.status()["state"] == "ready", 300, "a is ready")


def not_driven(lab, watch):
    """A guest without the driver: the VF is offered, not driven, and the host is told so once."""
    c = lab.vm("c")
    event = watch.wait_event("VF_NOT_DRIVEN", 90, vnic="c/eth0")
    require(event["data"]["ms"] >= 30000, f"{event}")
    found = vf(c)
    require(found["state"] == "offered" and found["not_driven"], f"{found}")
    require(found["receive"] == "synthetic", f"its traffic goes to {found['receive']}")
    require(not exists(c, "eth0vf"), "the guest has an interface of it")
    c.run(f"ping -q -c 2 -i 0.2 -W 10 {lab.vm('b').address()}")


def not_driven_either(lab):
    """Nor when it is taken away and given back: that ends at its deadline, and the VF stays."""
    c = lab.vm("c")
    revoke(c)
    error = refused(lambda: restore(c, deadline_ms=2000), "Timeout")
    require("driven" in [s["step"] for s in error.error["steps"]] or
            error.error["steps"][-1]["step"] == "failed", f"{error.error}")
    require(vf(c)["state"] == "offered" and vf(c)["not_driven"], f"{vf(c)}")
    c.run(f"ping -q -c 2 -i 0.2 -W 10 {lab.vm('b').address()}")


def paused(lab):
    """A paused guest (its kernel panicked) cannot let go: the removal is pending until it runs
    again. Its reset ends it."""
    c = lab.vm("c")
    c.run("(sleep 0.3; echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger) "
          ">/dev/null 2>&1 </dev/null &")
    lab.events.wait_event("VM_STATE", 60, vm="c", state="panicked")
    answer = revoke(c, deadline_ms=2000)
    require(answer["state"] == "revoked" and answer["pending"], f"{answer}")
    refused(lambda: restore(c), "Busy")
    lab.control.call("vm-reset", vm="c")
    wait_for(lambda: c.status()["state"] == "ready", 300, "c is ready again")
    wait_vf(c, "revoked")
    c.wait_configured()
    c.run(f"ping -q -c 2 -i 0.2 -W 10 {lab.vm('b').address()}")


class Asked(threading.Thread):
    """A request on a connection of its own, answered when it is."""

    def __init__(self, lab, command, timeout=120, **arguments):
        super().__init__(daemon=True)
        self.socket, self.request = lab.socket, (command, timeout, arguments)
        self.answer = self.error = None
        self.start()

    def run(self):
        command, timeout, arguments = self.request
        try:
            with Control(self.socket) as control:
                self.answer = control.call(command, timeout=timeout, **arguments)
        except (Refused, TimeoutError, OSError) as error:
            self.error = error

    def result(self, timeout):
        self.join(timeout)
        require(not self.is_alive(), f"{self.request[0]}: no answer in {timeout} s")
        if self.error:
            raise self.error
        return self.answer


def stalled_qemu(lab):
    """QEMU stands still in the middle: the daemon serves everybody else, and it goes on after."""
    a, b = lab.vm("a"), lab.vm("b")
    pid = a.status()["pid"]
    with Flows(b, lab.vm("c"), "--tcp 1 --ping", rate=20) as others:
        os.kill(pid, signal.SIGSTOP)
        try:
            asked = Asked(lab, "vf-revoke", vnic="a/eth0", deadline_ms=60000)
            wait_for(lambda: vf(a)["state"] == "draining", 10, "the revocation has begun")
            others.goes_on(30)
            require(asked.is_alive(), f"it is over: {asked.answer}")
        finally:
            os.kill(pid, signal.SIGCONT)
        require(asked.result(90)["state"] == "revoked", "it is not revoked")
        others.end()
    restore(a)
    wait_pair(a)
    talk(lab)


def stalled_daemon(lab):
    """The daemon stands still for three seconds: so do the guests that need its answer, no longer,
    and nobody loses a connection."""
    a, b = lab.vm("a"), lab.vm("b")
    with Flows(a, b, LOAD) as flows:
        for state in ("driven", "revoked"):
            os.kill(lab.daemon.pid, signal.SIGSTOP)
            time.sleep(3)               # the provocation itself
            os.kill(lab.daemon.pid, signal.SIGCONT)
            flows.goes_on()
            require(vf(a)["state"] == state, f"the VF is {vf(a)['state']}")
            if state == "driven":
                revoke(a)
        restore(a)
        wait_pair(a)
        flows.goes_on()
        flows.end()


def storm(lab, switches):
    """So many switches in a row under TCP: no connection lost, the counts right, none failed."""
    a, b = lab.vm("a"), lab.vm("b")
    before = vf(a)
    with Flows(a, b, "--tcp 2 --ping", rate=30) as flows:
        for number in range(switches):
            (restore if number % 2 else revoke)(a)
            if number % 10 == 9:
                flows.goes_on()
        flows.goes_on()
        require(not flows.dropped(), f"the switch dropped {flows.dropped()}")
        flows.end()
    after = vf(a)
    require(after["revocations"] - before["revocations"] == (switches + 1) // 2 and
            after["restorations"] - before["restorations"] == switches // 2 and
            after["failures"] == before["failures"], f"before {before}, after {after}")
    conserved(a)
    wait_pair(a)
    talk(lab)
    travels(a, b, "vf")


def wrong_moment(lab):
    """What a state does not allow is refused and changes nothing."""
    a = lab.vm("a")
    refused(lambda: restore(a), "InvalidState")
    revoke(a)
    refused(lambda: revoke(a), "InvalidState")
    require(vf(a)["state"] == "revoked", f"{vf(a)}")
    before = boot_id(a)
    restore(a)
    wait_pair(a)
    require(boot_id(a) == before, "another boot")


def main():
    story = stories.Story("revoke", __doc__)
    whole = story.whole
    # a device that dies, what its driver says then, and the panic
    allowed = (r"mana \S+: .*(HWC|hwc|[Ff]ailed|[Tt]ime|-110|-71|-19|-32)|mana .*eth0vf|"
               r"blocked for more than|Call Trace|"
               r"sysrq|Kernel panic|Oops|BUG: kernel NULL pointer")
    vms = {"a": {"queues": 4, **BOTH}, "b": {"queues": 4, "hotplug": "native", **BOTH}}
    if whole:
        vms["c"] = {"cpus": 1, "memory": "256M", "append": "modprobe.blacklist=mana", **BOTH}
    with story.lab(vms, allowed=allowed, drivers=not whole) as lab:
        watch = Control(lab.socket)
        watch.call("events-subscribe", events=["VF_NOT_DRIVEN"])
        story.check("peers", give_peers, lab, always=True)
        story.check("pairs", lambda: [wait_pair(lab.vm(name)) for name in "ab"], always=True)
        story.check("graceful", graceful, lab, story.kernel, 3 if whole else 2, capture="b/eth0")
        story.check("not allowed now", wrong_moment, lab)
        story.check("abrupt", abrupt, lab)
        if whole:
            story.check("slow", slow, lab)
            story.check("VF_NOT_DRIVEN", not_driven, lab, watch)
            story.check("restored, not driven", not_driven_either, lab)
            story.check("refused, not escalated", unwilling, lab)
            story.check("QEMU stands still", stalled_qemu, lab)
            story.check("the daemon stands still", stalled_daemon, lab)
        story.check("stress_sriov_disable_enable", storm, lab, 50 if whole else 10)
        story.check("no complaint before the guests are hurt", story.quiet_until_now, lab)
        # Eight minutes of waiting on 6.12, six on 7.2, so only when asked for.
        if story.args.whole:
            story.check("surprise", surprise, lab)
        if whole:
            story.check("refused, escalated", escalated, lab)
            story.check("paused", paused, lab)
            story.check("windows", windows, lab)
        watch.close()
    return story.end()


if __name__ == "__main__":
    stories.run(main)
