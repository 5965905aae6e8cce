#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Features of a switch's ports on real guests: VLANs, guards, mirroring, the storm limit and
bandwidth are the same on the accelerated and on the synthetic path.
"""

import contextlib
import itertools
import json
import os
import time

import lab as labs
import story as stories
from lab import require, wait_for
from paths import BOTH, carried, revoke, wait_pair, wait_vf

HELPER = "/tmp/features_guest.py"
PLAIN = ("--vlan", "none", "--mac-spoofing", "on", "--dhcp-guard", "off", "--router-guard", "off",
         "--mirror", "none", "--storm-pps", "0", "--max-mbps", "0")
DRAIN = 7100
MBPS, SECONDS = 20, 10
tags = (f"t{n:05}" for n in itertools.count())


def prepare(lab):
    with open(os.path.join(labs.HERE, "features_guest.py"), "rb") as src:
        text = src.read()
    for name in "abc":
        lab.vm(name).run(f"cat >{HELPER}", stdin=text)


@contextlib.contextmanager
def features(lab, **settings):
    """Features of a, b and c, each a string; a check leaves none behind."""
    try:
        for name, words in settings.items():
            lab.cli("nic", "set", f"{name}/eth0", *words)
        yield
    finally:
        for name in settings:
            lab.cli("nic", "set", f"{name}/eth0", *PLAIN)


@contextlib.contextmanager
def hearing(*vms, dev="eth0"):
    """Functions that say what each of these guests has heard so far: {what: frames}."""
    jobs = []
    try:
        for vm in vms:
            vm.run("rm -f /tmp/heard")
            jobs.append(vm.job(f"python3 {HELPER} hear {dev} /tmp/heard"))
            vm.eventually("test -s /tmp/heard", 60, f"{vm.name} listens")
        yield [lambda vm=vm: json.loads(vm.out("cat /tmp/heard")) for vm in vms]
    finally:
        for job in jobs:
            job.stop("KILL")


def shout(vm, kind="broadcast", count=10, gap=0):
    """(tag, seconds) of frames that left the guest's interface."""
    tag = next(tags)
    took = vm.out(f"python3 {HELPER} shout eth0 {kind} {tag} {count} {gap}", timeout=120)
    return tag, float(took)


def heard(ear, tag, count=10):
    wait_for(lambda: ear().get(tag) == count, 30, f"{count} frames {tag} come; {ear()}")


def pings(src, dst, address=None):
    src.run(f"ping -q -c 3 -i 0.2 -W 20 {address or dst.address()}")


def silent(src, dst):
    """No answer, with a neighbour entry that would let a request out."""
    done = src.run(f"ip neigh replace {dst.address()} lladdr {dst.vnic()['mac']} dev eth0; "
                   f"ping -q -c 2 -i 0.2 -W 1 {dst.address()}; status=$?; "
                   f"ip neigh del {dst.address()} dev eth0; exit $status", check=False)
    require(done.status == 1 and "100% packet loss" in done.out, f"{src.name} to {dst.name}: {done}")


def drops(lab, name, reason):
    """As a user reads it: what a guest sent and its port dropped."""
    found = lab.cli_json("stats", f"{name}/eth0")
    found = found["vnics"] if isinstance(found, dict) else found
    return found[0]["port"]["tx_drops"].get(reason, 0)


def on_path(lab, path, names="ab"):
    """What these guests send takes that path."""
    for name in names:
        vm = lab.vm(name)
        before = carried(vm)
        shout(vm)
        moved = {p: n[0] - before[p][0] for p, n in carried(vm).items()}
        require(moved.pop(path) >= 10 and all(n < 10 for n in moved.values()),
                f"{name}: not on the path {path}: {carried(vm)}, before {before}")


def access(lab):
    """VLAN 10 talks, and hears nothing of VLAN 20."""
    a, b, c = (lab.vm(n) for n in "abc")
    with features(lab, a=("--vlan", "access 10"), b=("--vlan", "10"), c=("--vlan", "access 20")), \
            hearing(a, c) as (a_hears, c_hears):
        pings(a, b)
        silent(c, a)
        silent(a, c)
        require(drops(lab, "a", "vlan") > 0, "a's packets for c are not counted as vlan")
        foreign, own = shout(c)[0], shout(b)[0]
        heard(a_hears, own)
        require(foreign not in a_hears(), f"a heard VLAN 20: {a_hears()}")
        require(own not in c_hears(), f"c heard VLAN 10: {c_hears()}")


def trunk(lab):
    """A trunk guest's VLAN interface is among the access ports; its untagged NIC is not."""
    a, b, c = (lab.vm(n) for n in "abc")
    try:
        with features(lab, a=("--vlan", "access 10"), b=("--vlan", "access 10"),
                      c=("--vlan", "trunk 10,20")):
            for number, vm in ((1, a), (2, b)):
                vm.run(f"ip addr add 10.78.0.{number}/24 dev eth0")
            c.run("ip link add link eth0 name eth0.10 type vlan id 10 && "
                  "ip addr add 10.78.0.3/24 dev eth0.10 && ip link set eth0.10 up")
            for number, vm in ((1, a), (2, b)):
                pings(c, vm, f"10.78.0.{number}")
                pings(vm, c, "10.78.0.3")
            silent(c, a)
            c.run("ip link del eth0.10 && "
                  "ip link add link eth0 name eth0.20 type vlan id 20 && "
                  "ip addr add 10.78.0.3/24 dev eth0.20 && ip link set eth0.20 up")
            lost = c.run("ping -q -c 2 -i 0.2 -W 1 10.78.0.1", check=False)
            require(lost.status == 1, f"VLAN 20 of the trunk reached VLAN 10: {lost}")
    finally:
        c.run("ip link del eth0.10; ip link del eth0.20; true")
        for vm in (a, b):
            vm.run("ip addr flush dev eth0 to 10.78.0.0/24")


def private(lab):
    """Isolated guests hear the promiscuous one, it hears them, and they do not hear each other."""
    a, b, c = (lab.vm(n) for n in "abc")
    with features(lab, a=("--vlan", "isolated 100 101"), b=("--vlan", "isolated 100 101"),
                  c=("--vlan", "promiscuous 100 101")), hearing(a, b, c) as ears:
        for vm in (a, b):
            pings(vm, c)
            pings(c, vm)
        silent(a, b)
        silent(b, a)
        said = {vm.name: shout(vm)[0] for vm in (a, b, c)}
        for name, ear in zip("abc", ears):
            for of in {"a": "c", "b": "c", "c": "ab"}[name]:
                heard(ear, said[of])
        require(said["b"] not in ears[0]() and said["a"] not in ears[1](),
                f"isolated guests heard each other: {ears[0]()} {ears[1]()}")


def guard(lab, kind, on, reason):
    """What b heard of a is dropped with the guard on, counted as what it was, and heard again."""
    a, b = lab.vm("a"), lab.vm("b")
    with hearing(b) as (ear,):
        heard(ear, shout(a, kind)[0])
        with features(lab, a=on):
            before = drops(lab, "a", reason)
            refused = shout(a, kind)[0]
            wait_for(lambda: drops(lab, "a", reason) == before + 10, 30,
                     f"10 frames are dropped as {reason}")
            heard(ear, shout(a)[0])
            pings(a, b)
            require(drops(lab, "a", reason) == before + 10, f"more was dropped as {reason}")
            require(refused not in ear(), f"b heard what {reason} counts: {ear()}")
        heard(ear, shout(a, kind)[0])


def mirror(lab, path):
    """c's standby hears a's and b's echoes while a is a source, and not before. It listens there
    since net_failover does not make its slaves promiscuous."""
    a, b, c = (lab.vm(n) for n in "abc")
    if path == "vf":
        lab.cli("nic", "set", "c/eth0", "--weight", "0", "--wait")
    try:
        with hearing(c, dev="eth0nsby") as (ear,):
            pings(a, b)
            heard(ear, shout(a)[0])
            require(not any(" " in what for what in ear()), f"without a mirror c heard {ear()}")
            with features(lab, a=("--mirror", "source"), c=("--mirror", "destination")):
                pings(a, b)
                pings(b, a)
                for src, dst in ((a, b), (b, a)):
                    heard(ear, f"ping {src.address()} {dst.address()}", 3)
                    heard(ear, f"pong {src.address()} {dst.address()}", 3)
    finally:
        if path == "vf":
            lab.cli("nic", "set", "c/eth0", "--weight", "100", "--wait")
            wait_pair(c)


def storm(lab):
    """1000 broadcasts: 50 a second are heard, the others counted, and nobody else is slowed."""
    a, b, c = (lab.vm(n) for n in "abc")
    with features(lab, a=("--storm-pps", "50")), hearing(b) as (ear,):
        before, tag = drops(lab, "a", "storm"), next(tags)
        job = a.job(f"python3 {HELPER} shout eth0 broadcast {tag} 1000 0.002")
        pings(c, b)
        pings(b, c)
        took = float(job.wait(120).out)
        pings(a, b)
        last = wait_for(lambda: ear().get(tag), 30, "b hears some")
        wait_for(lambda: last + drops(lab, "a", "storm") - before >= 1000, 30,
                 f"{last} were heard, the others are dropped as storm")
        require(ear()[tag] == last <= 50 * (took + 2), f"{last} were heard in {took} s")
        # a's own broadcasts and multicasts beside them: neighbour requests, MLD.
        require(drops(lab, "a", "storm") - before <= 1000 - last + 50, "more was dropped than sent")


def rate(vm, seconds):
    """Mbit/s that left the guest, as the switch counts: Ethernet frames after segmentation with
    header and tags, without preamble, FCS and gap; and in which part of the time a packet waited
    for bandwidth. A moment is the middle of the question."""
    def figures():
        asked = time.monotonic()
        port = vm.stats()["port"]
        return (asked + time.monotonic()) / 2, port["tx_bytes"], port["tx_delayed_ns"]
    first = figures()
    time.sleep(seconds)
    passed, sent, waited = (now - then for now, then in zip(figures(), first))
    return sent * 8e-6 / passed, waited * 1e-9 / passed


def bandwidth(lab, path):
    """A guest that always has more to send is within 5 % of its limit, by that path alone. Ten
    seconds in which it was not asked for all the time say nothing of the limit but that it held."""
    a, b = lab.vm("a"), lab.vm("b")
    drain = b.job(f"python3 {HELPER} drain {DRAIN}")
    b.eventually(f"ss -Hltn 'sport = :{DRAIN}' | grep -q .", 60, "b listens")
    pour = a.job(f"python3 {HELPER} pour {b.address()} {DRAIN}")
    try:
        wait_for(lambda: rate(a, 1)[0] > 2 * MBPS, 30, f"a sends twice {MBPS} Mbit/s without limit")
        with features(lab, a=("--max-mbps", str(MBPS))):
            wait_for(lambda: rate(a, 0.5)[1] > 0, 30, "packets wait for bandwidth")

            def busy():
                before = carried(a)
                found, waited = rate(a, SECONDS)
                moved = {p: n[0] - before[p][0] for p, n in carried(a).items()}
                lab.note(f"{found:.2f} Mbit/s, packets waited {waited:.0%} of the time, {moved}")
                if found > 1.05 * MBPS:
                    return found, moved
                require(waited > 0.9, f"{found:.2f} Mbit/s, packets waited {waited:.0%} of the time")
                return found, moved

            found, moved = wait_for(busy, 30, "ten seconds in which a had more to send")
        require(0.95 * MBPS <= found <= 1.05 * MBPS, f"{found:.2f} Mbit/s for {MBPS}")
        require(moved.pop(path) > 1000 and sum(moved.values()) < 10, f"not by the path alone: {moved}")
    finally:
        pour.stop("KILL")
        drain.stop("KILL")


def all_of_it(story, lab, path):
    def check(name, func, *args, **options):
        story.check(f"{name} on the {path} path", func, lab, *args, **options)

    check("what leaves is", on_path, path)
    check("access VLANs", access, capture="a/eth0")
    check("a trunk", trunk, capture="c/eth0")
    check("private VLANs", private, capture="c/eth0")
    check("MAC guard", guard, "spoof", ("--mac-spoofing", "off"), "spoof", capture="a/eth0")
    check("DHCP guard", guard, "dhcp", ("--dhcp-guard", "on"), "dhcp-guard", capture="a/eth0")
    check("router guard", guard, "ra", ("--router-guard", "on"), "router-guard", capture="a/eth0")
    check("mirror", mirror, path, capture="c/eth0")
    check("storm limit", storm, capture="b/eth0")
    check("bandwidth", bandwidth, path)


def main():
    story = stories.Story("features", __doc__)
    small = {"cpus": 1, "memory": "256M", **BOTH}
    with story.lab({"a": small, "b": small, "c": small}) as lab:
        story.check("pairs", lambda: [wait_pair(lab.vm(name)) for name in "abc"], always=True)
        story.check("helpers", prepare, lab, always=True)
        all_of_it(story, lab, "vf")
        story.check("VFs are revoked", lambda: [
            (revoke(lab.vm(n)), wait_vf(lab.vm(n), "revoked")) for n in "abc"], always=True)
        all_of_it(story, lab, "synthetic")
    return story.end()


if __name__ == "__main__":
    stories.run(main)
