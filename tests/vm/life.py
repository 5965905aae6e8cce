#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The life of a device and of a guest: interfaces go down, drivers leave and return, guests
reboot, are reset, panic and are killed. After each, traffic flows again, and whoever was not
concerned never noticed.
"""

import os
import re
import signal
import time

import story as stories
from lab import PORT, require, wait_for

UNSUPPORTED = {kernel: {
    "link events": "the driver ignores link events (EQE 133) before 6.18",
} for kernel in ("6.1", "6.12")}


def talk(lab, first="a", second="b"):
    a, b = lab.vm(first), lab.vm(second)
    a.run(f"ping -q -c 2 -i 0.2 -W 10 {b.address()}")
    a.run(f"ping -6 -q -c 2 -i 0.2 -W 10 {b.address(6)}")
    a.peer(f"send {b.address()} {PORT} {1 << 20} 2")


def gap(ping_output):
    """Longest time without an answer in the output of ping -D, seconds."""
    times = [float(t) for t in re.findall(r"^\[([\d.]+)\] \d+ bytes from", ping_output,
                                          re.MULTILINE)]
    require(len(times) > 3, f"hardly an answer: {ping_output[-500:]}")
    return max(later - earlier for earlier, later in zip(times, times[1:]))


def link_cycles(lab):
    """20 times down and up by the guest, a ping after each."""
    a, b = lab.vm("a"), lab.vm("b")
    a.run("for n in $(seq 20); do ip link set eth0 down && ip link set eth0 up || exit 1; "
          f"ping -q -c 1 -W 20 {b.address()} >/dev/null || {{ echo no answer after $n; exit 1; }}; "
          "done", timeout=300)
    a.run(f"ip -6 addr replace {a.address(6)}/64 dev eth0 nodad")
    talk(lab)


def reload_cycles(lab):
    """10 times rmmod and insmod while the other guest floods this one and it sends itself."""
    a, b = lab.vm("a"), lab.vm("b")
    flood = b.job(f"while :; do ping -q -i 0.002 -s 1000 -w 5 {a.address()} >/dev/null; done")
    own = a.job(f"while :; do ping -q -i 0.002 -s 1000 -w 5 {b.address()} >/dev/null 2>&1 || "
                "sleep 0.1; done")
    try:
        for _ in range(10):
            sent = a.stats()["mana"]["rx_packets"]
            wait_for(lambda: a.stats()["mana"]["rx_packets"] > sent + 20, 30, "traffic")
            a.run("modprobe -r mana && ! [ -e /sys/class/net/eth0 ]")
            require(a.vnic()["vf"]["state"] == "offered", f"still {a.vnic()['vf']['state']}")
            a.run("modprobe mana")
            a.wait_configured()
            a.run(f"ping -q -c 1 -W 20 {b.address()}")
    finally:
        for job in (flood, own):
            job.stop("KILL")
    talk(lab)


def rebind_cycles(lab):
    a = lab.vm("a")
    slot = a.out("basename $(readlink /sys/class/net/eth0/device)")
    for _ in range(3):
        a.run(f"echo {slot} >/sys/bus/pci/drivers/mana/unbind && ! [ -e /sys/class/net/eth0 ]")
        a.run(f"echo {slot} >/sys/bus/pci/drivers/mana/bind")
        a.wait_configured()
        talk(lab)


def boot_id(vm):
    return vm.out("cat /proc/sys/kernel/random/boot_id")


def boots_again(lab, begin, by):
    """After begin() guest a boots anew, and talks."""
    a = lab.vm("a")
    before, boots = boot_id(a), a.status()["boots"]
    begin(a)
    event = lab.events.wait_event("VM_REBOOT", 60, vm="a")
    require(event["data"]["by"] == by, f"by {event['data']['by']}")
    wait_for(lambda: a.status()["state"] == "ready" and boot_id(a) != before, 120, "a new boot")
    require(a.status()["boots"] == boots + 1, f"{a.status()['boots']} boots, {boots} before")
    a.wait_configured()
    a.give_peer()
    talk(lab)
    talk(lab, "b", "a")


def reboot_from_inside(vm):
    vm.run("(sleep 0.3; reboot) >/dev/null 2>&1 </dev/null &")


def link_of_host(lab, lacking):
    """The host takes the link away and gives it back: the guest's carrier follows."""
    a, b = lab.vm("a"), lab.vm("b")
    index = a.out("cat /sys/class/net/eth0/ifindex")
    lab.cli("link", "a/eth0", "down")
    if lacking:
        require(a.vnic()["vf"]["link"] is False, "the daemon says that the link is up")
        require(a.out("cat /sys/class/net/eth0/carrier") == "1", "supported after all")
    else:
        a.eventually("[ $(cat /sys/class/net/eth0/carrier) = 0 ]", 20)
    lost = b.run(f"ping -q -c 2 -i 0.2 -W 1 {a.address()}", check=False)
    require(lost.status, "traffic over a link that is down")
    lab.cli("link", "a/eth0", "up")
    a.eventually("[ $(cat /sys/class/net/eth0/carrier) = 1 ]", 20)
    require(a.out("cat /sys/class/net/eth0/ifindex") == index, "the interface is a new one")
    talk(lab)


def killed(lab):
    """QEMU dies: the daemon says so, the others go on, and the guest can be started again."""
    a, b, c = (lab.vm(n) for n in "abc")
    ids = boot_id(a), boot_id(b)
    ping = a.job(f"ping -D -i 0.1 {b.address()}")
    died = c.job("sleep 1000")
    os.kill(c.status()["pid"], signal.SIGKILL)
    event = lab.events.wait_event("VM_STATE", 30, vm="c", state="failed")
    require(event["data"].get("reason"), f"no reason: {event}")
    found = c.status()
    require(found["state"] == "failed" and found["reason"], f"the daemon says {found}")
    died.join(30)
    require(getattr(died.trouble, "error_class", None) == "GuestDead",
            f"the command in it ended with {died.trouble} {died.result}")
    require(lab.cli("exec", "c", "--", "true", check=False).returncode == 255, "exec: not 255")
    wait_for(lambda: c.vnic()["vf"]["state"] == "absent", 20, "the device is nobody's")
    started = time.monotonic()
    wait_for(lambda: time.monotonic() - started > 2, 3, "the ping has gone on for 2 s")
    text = ping.stop().out
    require(gap(text) < 3, f"no answer from b for {gap(text):.1f} s: {text[-300:]}")
    require((boot_id(a), boot_id(b)) == ids, "another guest booted anew")
    lab.control.call("vm-start", vm="c")
    c.wait_ready()
    c.wait_configured()
    c.run(f"ping -q -c 2 -i 0.2 -W 10 {b.address()}")


def panic(lab):
    """A guest's panic is noticed, named and reported; then it is reset and works."""
    a, b = lab.vm("a"), lab.vm("b")
    before = boot_id(b)
    a.run("(sleep 0.5; echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger) "
          ">/dev/null 2>&1 </dev/null &")
    event = lab.events.wait_event("VM_STATE", 60, vm="a", state="panicked")
    # the last lines are the end of the trace; why it panicked stands above them
    last = event["data"]["console"]
    require(last and last[-1].strip() in a.console(), f"the last console lines are {last}")
    found = a.status()
    require(found["state"] == "panicked" and "sysrq triggered crash" in found["reason"],
            f"the daemon says {found}")
    dead = lab.cli("exec", "a", "--", "true", check=False)
    require(dead.returncode == 255, f"exec ended with {dead.returncode}")
    require(b"panic" in dead.stderr, f"exec says {dead.stderr}")
    log = lab.cli("log", "a", "-n", "200").stdout.decode(errors="replace")
    require("Kernel panic" in log, f"hvlab log shows {log[-500:]}")
    require(boot_id(b) == before, "b booted anew")
    lab.cli("reset", "a")
    wait_for(lambda: a.status()["state"] == "ready", 120, "a is ready again")
    a.wait_configured()
    a.give_peer()
    talk(lab)


def main():
    story = stories.Story("life", __doc__, UNSUPPORTED)
    # the panic at the end; all before it is looked at without this
    allowed = r"sysrq|Kernel panic|Call Trace|Oops|BUG: kernel NULL pointer"
    with story.lab({"a": {}, "b": {}, "c": {"cpus": 1, "memory": "256M"}}, allowed=allowed) as lab:
        story.check("peers", lambda: [lab.vm(n).give_peer() for n in "ab"], always=True)
        story.check("20 times down and up", link_cycles, lab)
        story.check("10 times rmmod and insmod under traffic", reload_cycles, lab)
        story.check("unbind and bind", rebind_cycles, lab)
        why = story.why_unsupported("link events")
        story.check("link of the host" + (f" (carrier unsupported: {why})" if why else ""),
                    link_of_host, lab, why, capture="a/eth0")
        story.check("no complaint before the guests are hurt", story.quiet_until_now, lab)
        story.check("reboot by the guest", boots_again, lab, reboot_from_inside, "guest")
        if story.whole:
            story.check("reset by the host", boots_again, lab,
                        lambda _vm: lab.cli("reset", "a"), "host")
            story.check("QEMU killed", killed, lab)
            story.check("no complaint before the panic", story.quiet_until_now, lab)
            story.check("panic", panic, lab)
    return story.end()


if __name__ == "__main__":
    stories.run(main)
