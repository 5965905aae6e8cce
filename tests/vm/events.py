#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Service events to the guest's driver: 135 asks it to reset its channel, 132 to be found anew.
A device that leaves its statistics requests unanswered makes the driver reset by itself.
"""

import re
import time

import story as stories
from lab import PORT, require, wait_for

UNSUPPORTED = {kernel: {
    "service events": "mana_gd_process_eqe() ignores EQE types 132 and 135 before 6.18",
} for kernel in ("6.1", "6.12")}


def identity(vm):
    return vm.out("cat /sys/class/net/eth0/ifindex /sys/class/net/eth0/address; "
                  "ip -o addr show dev eth0 scope global | awk '{ print $4 }'").split()


def talk(lab):
    a, b = lab.vm("a"), lab.vm("b")
    for src, dst in ((a, b), (b, a)):
        src.run(f"ping -q -c 2 -i 0.2 -W 10 {dst.address()}")
        src.run(f"ping -6 -q -c 2 -i 0.2 -W 10 {dst.address(6)}")
        src.peer(f"send {dst.address()} {PORT} {1 << 20} 2")


def ignored(lab):
    """A driver that does not know the events goes on as if nothing had come."""
    a, b = lab.vm("a"), lab.vm("b")
    before, ping = identity(a), b.job(f"ping -D -i 0.1 {a.address()}")
    requests = a.stats()["mana"]["hwc_requests"]
    for kind in (135, 132):
        lab.control.call("mana-event", vnic="a/eth0", type=kind)
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > 3, 5, "3 s of quiet")
    text = ping.stop().out
    times = [float(t) for t in re.findall(r"^\[([\d.]+)\] \d+ bytes", text, re.MULTILINE)]
    require(max(n - o for o, n in zip(times, times[1:])) < 2, f"traffic stopped: {text[-300:]}")
    require(identity(a) == before, "the interface changed")
    require(a.stats()["mana"]["hwc_requests"] == requests, "the driver acted on an event")
    talk(lab)


def reset_request(lab):
    """135: the driver sets its channel up again; the interface and its addresses survive."""
    a, b = lab.vm("a"), lab.vm("b")
    before = identity(a)
    ping = b.job(f"ping -D -i 0.1 {a.address()}")
    lab.control.call("mana-event", vnic="a/eth0", type=135)
    lab.events.wait_event("VNIC_STATE", 30, vnic="a/eth0", previous="driven")
    lab.events.wait_event("VNIC_STATE", 90, vnic="a/eth0", state="driven")
    a.run(f"ping -q -c 1 -W 20 {b.address()}")
    ping.stop()
    require(identity(a) == before, f"was {before}, is {identity(a)}")
    talk(lab)


def reconfigure(lab):
    """132: the driver removes the device and finds it anew; the interface is set up again."""
    a, b = lab.vm("a"), lab.vm("b")
    before = identity(a)
    lab.control.call("mana-event", vnic="a/eth0", type=132)
    lab.events.wait_event("VNIC_STATE", 30, vnic="a/eth0", previous="driven")
    lab.events.wait_event("VNIC_STATE", 90, vnic="a/eth0", state="driven")
    a.wait_configured()
    a.run(f"ping -q -c 1 -W 20 {b.address()}")
    require(identity(a)[0] != before[0], "the interface is the old one")
    require(identity(a)[1:] == before[1:], f"was {before}, is {identity(a)}")
    talk(lab)


def main():
    story = stories.Story("events", __doc__, UNSUPPORTED)
    # The driver reports what it was asked to do at the level of an error.
    with story.lab({"a": {}, "b": {}}) as lab:
        story.check("peers", lambda: [vm.give_peer() for vm in lab.vms()], always=True)
        why = story.why_unsupported("service events")
        if why:
            story.check(f"135 and 132 (unsupported: {why})", ignored, lab)
        else:
            story.check("135 reset request", reset_request, lab, capture="a/eth0")
            story.check("132 reconfigure", reconfigure, lab, capture="a/eth0")
    return story.end()


if __name__ == "__main__":
    stories.run(main)
