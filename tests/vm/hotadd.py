#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""NICs that come to a guest and go: one, eight at once, one by one, of each kind, over reboots, in
the middle of a boot, with the VM down. Each gets its address by itself, from the network's DHCP.
"""

import random

import story as stories
from flows import Flows
from lab import PORT, require, wait_for
from paths import (BOTH, boot_id, carried, exists, figure, give_peers, reboot, talk, travels, vf,
                   wait_pair, wait_vf)

MAX_ADDED = 8


def nics(vm):
    return {nic["name"]: nic for nic in
            vm.lab.control.call("nic-list", vm=vm.name)["nics"]}


def add(vm, timeout=120, wait=True, **options):
    """What the daemon says of the new NIC."""
    return vm.lab.control.call("nic-add", timeout=timeout + 30, vm=vm.name, wait=wait,
                               timeout_ms=timeout * 1000, **options)["nic"]


def remove(vm, name, timeout=30):
    vm.lab.control.call("nic-del", timeout=timeout + 30, vnic=f"{vm.name}/{name}",
                        timeout_ms=timeout * 1000)


def settled(vm, name, deadline=90):
    """The guest has it, under its name, with its MAC, and DHCP has given it its addresses."""
    nic = nics(vm)[name]
    vm.eventually(f"[ \"$(cat /sys/class/net/{name}/address)\" = {nic['mac']} ]", deadline,
                  f"{vm.name} has {name} with {nic['mac']}")
    for address in nic["addresses"]:
        plain = address.split("/")[0]
        vm.eventually(f"ip addr show dev {name} up | grep -qF '{plain}/'", deadline,
                      f"{vm.name}/{name} has {plain}")
    if nic["vf"] and nic["synthetic"]:
        wait_pair(vm, name)
    elif nic["vf"]:
        wait_vf(vm, "driven", name)
    else:
        wait_for(lambda: nics(vm)[name]["synthetic"]["state"] == "driven", deadline,
                 f"{name}'s synthetic path is driven")
    return nic


def reaches(vm, name, peer):
    """Traffic leaves by that NIC and comes back to it."""
    before = vm.stats(name)["port"]
    vm.run(f"ping -q -c 3 -i 0.2 -W 20 -I {name} {peer.address(4, 'eth1')}")
    after = vm.stats(name)["port"]
    for key in ("tx_packets", "rx_packets"):
        require(after[key] >= before[key] + 3, f"{name}: {key} from {before[key]} to {after[key]}")


def gone(vm, name):
    """Neither side has it. For some ms of its life the kernel calls another NIC's VF, which comes
    last, by the first free name: whoever asks after a boot waits for the pairs that stay first."""
    require(name not in nics(vm), f"the daemon still has {name}")
    for dev in (name, f"{name}nsby", f"{name}vf"):
        require(not exists(vm, dev), f"the guest still has {dev}")


def own_answers(vm):
    """Several NICs of one subnet: each answers for itself alone."""
    vm.run("echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore; "
           "echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce")


def founding(lab):
    """A vNIC is added: eth1 appears, DHCP gives it an address, traffic flows. It is removed: the
    device goes, and its connections drop, while those of eth0 live."""
    a, b = lab.vm("a"), lab.vm("b")
    own_answers(a)
    found = lab.cli_json("nic", "add", "a", "--network", "green", "--wait")
    require("eth1" in str(found), f"it printed {found}")
    nic = settled(a, "eth1")
    require(nic["addresses"], "the daemon gave it no address")
    reaches(a, "eth1", b)
    travels(a, b, "vf", "eth1", "eth1")
    a.run("echo 3 >/proc/sys/net/ipv4/tcp_retries2")
    with Flows(a, b, "--tcp 1", rate=20, host=b.address()) as flows:
        a.run(f"setsid python3 -c 'import socket, time\n"
              f"s = socket.create_connection((\"{b.address(4, 'eth1')}\", 7000))\n"
              "s.sendall(b\"- 1000000\\n\")\n"
              "open(\"/tmp/held\", \"w\").write(\"up\")\n"
              "try:\n"
              "    while True: s.sendall(b\"x\"); time.sleep(0.05)\n"
              "except OSError as e: open(\"/tmp/held\", \"w\").write(\"down\")' "
              "</dev/null >/tmp/held.log 2>&1 &")
        a.eventually("[ $(cat /tmp/held) = up ]", 30, "a connection over eth1")
        lab.cli("nic", "del", "a/eth1", "--wait")
        gone(a, "eth1")
        a.eventually("[ $(cat /tmp/held) = down ]", 90, "the connection over eth1 drops")
        lost = a.run(f"ping -q -c 1 -W 1 {b.address(4, 'eth1')}", check=False)
        require(lost.status, "the removed NIC's network still answers")
        flows.goes_on()
        flows.end()


def at_once(lab, count, *options):
    """So many at the same time; each gets its address, none gets another's."""
    a, b = lab.vm("a"), lab.vm("b")
    lab.cli("nic", "add", "a", "--network", "green", "--count", str(count), "--wait=150", *options,
            timeout=200)
    names = sorted(set(nics(a)) - {"eth0"})
    require(names == [f"eth{n + 1}" for n in range(count)], f"they are called {names}")
    found = [settled(a, name) for name in names]
    for key in ("mac", "addresses"):
        require(len({str(nic[key]) for nic in found}) == count, f"the same {key} twice: {found}")
    for name in names:
        reaches(a, name, b)
    bound = a.out("ls -d /sys/bus/pci/drivers/mana/*:*:*.* | wc -l")
    vfs = 1 + sum(1 for nic in found if nic["vf"])
    require(bound == str(vfs), f"{bound} VFs bound of {vfs}")
    talk(lab)


def copies(lab, size):
    """A copy over each added NIC raises the counters of its VF on both sides."""
    a, b = lab.vm("a"), lab.vm("b")
    there = b.address(4, "eth1")
    try:
        for name in sorted(set(nics(a)) - {"eth0"}):
            here = next(n for n in nics(a)[name]["addresses"] if ":" not in n).split("/")[0]
            a.run(f"ip route replace {there} dev {name} src {here}")
            host, guest = carried(a, name)["vf"], figure(a, f"{name}vf", "tx_bytes")
            a.peer(f"send {there} {PORT} {size}", timeout=240)
            moved = [n - o for o, n in zip(host, carried(a, name)["vf"])]
            require(moved[0] > size // 66000 and moved[1] > 10, f"{name}: the VF moved {moved}")
            require(figure(a, f"{name}vf", "tx_bytes") - guest > size, f"{name}vf did not count")
    finally:
        a.run(f"ip route del {there}", check=False)


def all_removed(lab):
    """One after the other, back to the NIC of the lab file."""
    a = lab.vm("a")
    for name in sorted(set(nics(a)) - {"eth0"}):
        remove(a, name)
        gone(a, name)
    talk(lab)


def services(lab):
    """Of each network's dnsmasq: its process, and how often it refused a guest its own address."""
    return {net["name"]: (net["services"]["pid"], net["services"]["refused"])
            for net in lab.status()["networks"]}


def as_before(lab, again):
    """The same NICs, MACs, names and addresses after again() started the guest anew, and the same
    client to the network's services: nobody was refused, nothing had to start again."""
    a, b = lab.vm("a"), lab.vm("b")
    before, serving = nics(a), services(lab)
    again()
    own_answers(a)
    a.give_peer()
    after = nics(a)
    require({n: v["mac"] for n, v in before.items()} == {n: v["mac"] for n, v in after.items()},
            f"before {before}, after {after}")
    for name in before:
        settled(a, name)
    require(services(lab) == serving, f"the services were {serving}, are {services(lab)}")
    for name in sorted(set(before) - {"eth0"}):
        reaches(a, name, b)


def after_reboot(lab):
    as_before(lab, lambda: reboot(lab.vm("a")))


def after_stop_start(lab):
    a = lab.vm("a")

    def again():
        lab.control.call("vm-shutdown", timeout=60, vm="a")
        wait_for(lambda: a.status()["state"] == "exited", 60, "a is down")
        lab.control.call("vm-start", vm="a")
        a.wait_ready(300)

    as_before(lab, again)


def any_order(lab):
    """Removed in any order; what stays is not touched. Added again by name: the same MACs."""
    a, b = lab.vm("a"), lab.vm("b")
    give_peers(lab)
    macs = {name: nic["mac"] for name, nic in nics(a).items()}
    names = sorted(set(macs) - {"eth0"})
    order = random.Random(5).sample(names, len(names))
    for number, name in enumerate(order):
        remove(a, name)
        gone(a, name)
        for other in order[number + 1:][:1]:
            reaches(a, other, b)
    require(list(nics(a)) == ["eth0"], f"left: {list(nics(a))}")
    talk(lab)
    for name in order[:2]:
        nic = add(a, network="green", name=name)
        require(nic["mac"] == macs[name], f"{name} had {macs[name]}, has {nic['mac']} now")
        settled(a, name)
        reaches(a, name, b)
    for name in order[:2]:
        remove(a, name)
        gone(a, name)


def one_by_one(lab, count, options):
    """Each is in use before the next one comes; then each goes."""
    a, b = lab.vm("a"), lab.vm("b")
    names = []
    for _ in range(count):
        names.append(add(a, network="green", **options)["name"])
        settled(a, names[-1])
        reaches(a, names[-1], b)
    require(names == [f"eth{n + 1}" for n in range(count)], f"they are called {names}")
    for name in names:
        remove(a, name)
        gone(a, name)


def kind(lab, options, driver):
    """Synthetic alone, the VF alone, both: each comes, carries traffic, and goes."""
    a, b = lab.vm("a"), lab.vm("b")
    nic = add(a, network="green", **options)
    name = nic["name"]
    require((nic["vf"] is None, nic["synthetic"] is None) ==
            (options.get("vf") is False, options.get("synthetic") == "none"), f"{nic}")
    settled(a, name)
    info = a.out(f"ethtool -i {name}")
    require(f"driver: {driver}\n" in info, f"the driver is not {driver}: {info}")
    mtu = a.out(f"cat /sys/class/net/{name}/mtu")
    require(mtu == str(options.get("mtu", 1500)), f"its MTU is {mtu} with DHCP's word")
    reaches(a, name, b)
    a.run(f"ping -6 -q -c 2 -i 0.2 -W 20 -I {name} {b.address(6, 'eth1')}")
    remove(a, name)
    gone(a, name)


def while_booting(lab):
    """Added while the guest boots: it is there when the guest is up. Removed while it boots: it
    goes as soon as the guest hears of it."""
    a, b = lab.vm("a"), lab.vm("b")
    before = boot_id(a)
    lab.control.call("vm-reset", vm="a")
    nic = add(a, network="green", timeout=300)
    wait_for(lambda: a.status()["state"] == "ready" and boot_id(a) != before, 300, "a is up")
    own_answers(a)
    settled(a, nic["name"])
    reaches(a, nic["name"], b)
    before = boot_id(a)
    lab.control.call("vm-reset", vm="a")
    remove(a, nic["name"], timeout=300)
    wait_for(lambda: a.status()["state"] == "ready" and boot_id(a) != before, 300, "a is up")
    settled(a, "eth0")
    gone(a, nic["name"])


def while_down(lab):
    """Added to and removed from a VM that is down: so it is at the next start."""
    a, b = lab.vm("a"), lab.vm("b")
    lab.control.call("vm-shutdown", timeout=60, vm="a")
    wait_for(lambda: a.status()["state"] == "exited", 30, "a is down")
    nic = add(a, network="green", wait=False)
    other = add(a, network="green", wait=False, vf=False)
    remove(a, other["name"])
    lab.control.call("vm-start", vm="a")
    a.wait_ready(300)
    own_answers(a)
    settled(a, "eth0")
    settled(a, nic["name"])
    reaches(a, nic["name"], b)
    gone(a, other["name"])
    lab.control.call("vm-shutdown", timeout=60, vm="a")
    wait_for(lambda: a.status()["state"] == "exited", 30, "a is down")
    remove(a, nic["name"])
    lab.control.call("vm-start", vm="a")
    a.wait_ready(300)
    settled(a, "eth0")
    gone(a, nic["name"])


def weight(lab):
    """Weight 0 takes the VF away, any other gives it back; vf: off likewise."""
    a, b = lab.vm("a"), lab.vm("b")
    for off, on in (({"weight": 0}, {"weight": 50}), ({"vf": False}, {"vf": True})):
        lab.control.call("nic-set", vnic="a/eth0", **off)
        require(vf(a)["state"] == "revoked" and not exists(a, "eth0vf"), f"{vf(a)}")
        travels(a, b, "synthetic")
        lab.control.call("nic-set", timeout=90, vnic="a/eth0", **on)
        wait_pair(a)
        travels(a, b, "vf")


def main():
    story = stories.Story("hotadd", __doc__)
    whole = story.whole
    count = MAX_ADDED if whole else 3
    peer = {"nics": [{"network": "blue", **BOTH}, {"network": "green", "synthetic": "none"}]}
    with story.lab({"a": {"spare_nics": 8, **BOTH}, "b": peer}, networks=("blue", "green"),
                   dhcp=True) as lab:
        story.check("peers", give_peers, lab, always=True)
        story.check("add one, use it, remove it", founding, lab)
        story.check("verify_sriov_add_max_nics", at_once, lab, count)
        if whole:
            story.check("verify_sriov_max_vf_connection", copies, lab, 4 << 20)
            story.check("verify_sriov_provision_with_max_nics_stop_start", after_stop_start, lab)
            story.check("verify_sriov_provision_with_max_nics_reboot", after_reboot, lab)
        story.check("removed in any order, added again", any_order, lab)
        if whole:
            story.check("verify_sriov_add_max_nics_one_by_one", one_by_one, lab, MAX_ADDED, {})
            story.check("verify_synthetic_add_max_nics_one_time", at_once, lab, MAX_ADDED,
                        "--vf", "off")
            story.check("all of them removed", all_removed, lab)
            story.check("verify_synthetic_add_max_nics_one_by_one", one_by_one, lab, MAX_ADDED,
                        {"vf": False})
            story.check("synthetic alone", kind, lab, {"vf": False, "mtu": 1400},
                        "virtio_net")
            story.check("the VF alone", kind, lab, {"synthetic": "none"}, "mana")
            story.check("both paths", kind, lab, {}, "net_failover")
            story.check("weight", weight, lab)
            story.check("while the guest boots", while_booting, lab)
            story.check("with the VM down", while_down, lab)
    return story.end()


if __name__ == "__main__":
    stories.run(main)
