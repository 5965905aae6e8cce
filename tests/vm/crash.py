#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""QEMU, a guest's kernel or the daemon dies, in every state of a VF. What is left is legal, what
died can be started again and works, and nothing is left behind.
"""

import os
import signal

import lab as labs
import story as stories
from lab import require, wait_for
from paths import BOTH, boot_id, exists, restore, revoke, travels, vf, wait_pair, wait_vf

SYSRQ = ("(sleep 0.3; echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger) "
         ">/dev/null 2>&1 </dev/null &")


def to_offered(vm):
    vm.run("modprobe -r mana")


def to_draining(vm):
    """It does not hear of the request (revoke.py), and the deadline is far."""
    vm.run("echo mask >/sys/firmware/acpi/interrupts/gpe01")
    revoke(vm, wait=False, deadline_ms=600000)


def to_revoked(vm):
    revoke(vm)


def to_restoring(vm):
    """The driver is not to be had until the next boot."""
    revoke(vm)
    vm.run("echo blacklist mana >/etc/modprobe.d/none.conf && modprobe -r mana")
    restore(vm, wait=False, deadline_ms=600000)
    wait_for(lambda: vm.vnic()["vf"]["guest"] == "offered", 30, "it is plugged")


# state: how to bring a guest that drives its VF into it
STATES = {"offered": to_offered, "driven": lambda vm: None, "draining": to_draining,
          "revoked": to_revoked, "restoring": to_restoring}


def bring(vm, state):
    STATES[state](vm)
    wait_for(lambda: vf(vm)["state"] == state, 30, f"{vm.name}'s VF is {state}")


def up_again(vm, peer, revoked=False):
    """It boots, and its pair works; a VF that had been taken away stays away until it is given
    back."""
    vm.wait_ready(300)
    vm.wait_configured(deadline=120)
    if revoked:
        wait_vf(vm, "revoked")
        require(not exists(vm, "eth0vf"), "the guest sees the VF")
        travels(vm, peer, "synthetic")
        restore(vm)
    wait_pair(vm, deadline=120)
    travels(vm, peer, "vf")


def guests_die(lab, state):
    """QEMU of a is killed and the kernel of b panics, both with their VF in that state."""
    a, b, c = (lab.vm(n) for n in "abc")
    for vm in (a, b):
        wait_vf(vm, "driven", deadline=300)
    bring(a, state)
    bring(b, state)
    c_boot = boot_id(c)
    os.kill(a.status()["pid"], signal.SIGKILL)
    b.run(SYSRQ)
    wait_for(lambda: a.status()["state"] == "failed", 30, "the daemon has seen QEMU's end")
    found = vf(a)
    require(found["state"] == "absent" and not found["pending"] and not found["busy"] and
            found["receive"] in ("none", "synthetic"), f"QEMU is gone, and the VF is {found}")
    require(a.stats()["receive"]["parked_now"] == 0, f"{a.stats()['receive']}")
    wait_for(lambda: b.status()["state"] == "panicked", 60, "the daemon has seen the panic")
    require(vf(b)["state"] in (state, "offered", "revoked"), f"b panicked, its VF is {vf(b)}")
    require(boot_id(c) == c_boot, "c, who was not concerned, booted anew")
    before = b.status()["boots"]
    lab.control.call("vm-start", vm="a")
    lab.control.call("vm-reset", vm="b")
    wait_for(lambda: b.status()["boots"] > before and b.status()["state"] == "ready", 300,
             "b is ready again")
    up_again(a, c)
    up_again(b, c, revoked=state in ("revoked", "draining"))


def killed_absent(lab):
    """QEMU is killed before its guest has asked for the VF."""
    a, c = lab.vm("a"), lab.vm("c")
    os.kill(a.status()["pid"], signal.SIGKILL)
    wait_for(lambda: a.status()["state"] == "failed", 30, "the daemon has seen QEMU's end")
    lab.control.call("vm-start", vm="a")
    require(vf(a)["state"] == "absent", f"{vf(a)}")
    os.kill(a.status()["pid"], signal.SIGKILL)
    wait_for(lambda: a.status()["state"] == "failed", 30, "the daemon has seen QEMU's end")
    require(vf(a)["state"] == "absent" and not vf(a)["busy"], f"{vf(a)}")
    lab.control.call("vm-start", vm="a")
    up_again(a, c)


def panic_absent(lab):
    """The kernel of a guest that has no failover driver, and so never asks for its VF, panics."""
    d = lab.vm("d")
    require(vf(d)["state"] == "absent", f"{vf(d)}")
    d.run(SYSRQ)
    wait_for(lambda: d.status()["state"] == "panicked", 60, "the daemon has seen the panic")
    require(vf(d)["state"] == "absent" and not vf(d)["busy"], f"{vf(d)}")
    before = d.status()["boots"]
    lab.control.call("vm-reset", vm="d")
    wait_for(lambda: d.status()["boots"] > before and d.status()["state"] == "ready", 300,
             "d is ready again")
    require(vf(d)["state"] == "absent", f"{vf(d)}")


def daemon_dies(lab, states):
    """The daemon is killed with the VFs of a and b in those states: its guests die with it,
    nobody's sockets stop the next one, and the same lab comes up and works."""
    a, b = vms = [lab.vm(name) for name in "ab"]
    for vm, state in zip(vms, states):
        if state == "absent":           # its guest has not asked for it yet
            lab.control.call("vm-kill", vm=vm.name)
            wait_for(lambda vm=vm: vm.status()["state"] == "exited", 30, f"{vm.name} is gone")
        else:
            bring(vm, state)
    for vm, state in zip(vms, states):
        if state == "absent":
            lab.control.call("vm-start", vm=vm.name)
        require(vf(vm)["state"] == state, f"{vf(vm)}")
    for control in (lab.control, lab.events):
        control.close()
    lab.daemon.kill()
    lab.daemon.wait()
    wait_for(lambda: not labs.processes_naming(lab.runtime), 30,
             f"nothing of it runs; {labs.processes_naming(lab.runtime)}")
    lab.start_daemon()
    lab.cli("up", lab.file, "--wait", "--timeout", "240", timeout=300)
    for vm in vms:
        vm.wait_configured()
        wait_pair(vm)
    travels(a, b, "vf")
    travels(b, a, "vf")


def main():
    story = stories.Story("crash", __doc__)
    # panics, and what a driver says whose device is gone
    allowed = (r"sysrq|Kernel panic|Call Trace|Oops|BUG: kernel NULL pointer|"
               r"mana \S+: .*(HWC|hwc|[Ff]ailed|[Tt]ime)")
    small = {"cpus": 1, "memory": "256M"}
    with story.lab({"a": {**small, **BOTH}, "b": {**small, **BOTH},
                    "c": {**small, "synthetic": "none"},
                    "d": {**small, "append": "modprobe.blacklist=virtio_net", **BOTH}},
                   allowed=allowed, drivers=False) as lab:
        story.check("pairs", lambda: [wait_pair(lab.vm(name)) for name in "ab"], always=True)
        story.check("QEMU killed, VF absent", killed_absent, lab)
        story.check("kernel panic, VF absent", panic_absent, lab)
        for state in STATES:
            story.check(f"QEMU killed and kernel panic, VF {state}", guests_die, lab, state)
    with story.lab({"a": {**small, **BOTH}, "b": {**small, **BOTH}}, allowed=allowed) as lab:
        for states in (("offered", "absent"), ("driven", "draining"), ("revoked", "restoring")):
            story.check(f"daemon killed, VFs {' and '.join(states)}", daemon_dies, lab, states)
    return story.end()


if __name__ == "__main__":
    stories.run(main)
