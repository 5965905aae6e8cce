#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The synthetic path: the guest's own virtio_net on the switch's vhost-user port, alone, and
beside guests that have a VF.

The payload is compared at the far end in each check. The guests' own checksum-error counters
must stay at zero from the first packet to the last.
"""

import story as stories
import traffic
from lab import PORT, require, wait_for
from paths import BOTH, SYNTHETIC, VF_ONLY, carried, give_peers, reboot, talk, travels


def probe(lab):
    """The stock driver bound, offers what it should, and takes packets; there is no VF."""
    for name in ("a", "b"):
        vm = lab.vm(name)
        info = vm.out("ethtool -i eth0")
        require("driver: virtio_net\n" in info, f"the driver is not virtio_net: {info}")
        require(vm.out("cat /sys/class/net/eth0/carrier") == "1", "no carrier")
        found = vm.vnic()
        require(vm.out("cat /sys/class/net/eth0/address") == found["mac"], "another MAC")
        require(found["vf"] is None, f"there is a VF: {found['vf']}")
        require(found["synthetic"]["state"] == "driven", f"the daemon says {found['synthetic']}")
        require(not vm.run("ls /sys/bus/pci/drivers/mana/0000*", check=False).out,
                "mana has a device")
        shown = vm.out("ethtool -k eth0")
        for feature in ("tx-checksumming", "tcp-segmentation-offload", "scatter-gather",
                        "generic-receive-offload"):
            require(f"{feature}: on" in shown, f"{feature} is not on: {shown}")
        require(vm.stats()["vhost"]["guest_errors"] == 0, "the port refused a descriptor")


def set_mtu(lab, mtu):
    for vm in lab.vms():
        vm.run(f"ip link set dev eth0 mtu {mtu}")
        vm.wait_configured()


def big_file(lab, src, dst):
    """100 MB arrive as they left."""
    src, dst = lab.vm(src), lab.vm(dst)
    src.run(f"[ -s /tmp/big ] || head -c {traffic.FILE_SIZE} /dev/urandom >/tmp/big", timeout=120)
    want = src.out("sha256sum </tmp/big | cut -d' ' -f1", timeout=120)
    there = src.peer(f"file {dst.address()} {PORT} /tmp/big copy", timeout=240).out.split()
    require(there[0] == want, f"sent {want}, {there[0]} arrived")
    kept = dst.out("sha256sum </tmp/copy | cut -d' ' -f1; rm /tmp/copy", timeout=120)
    require(kept == want, f"{want} arrived, {kept} is in the file")


def offload(lab, tx, tso, rx, gro, first="a", second="b"):
    """With these features off or on in sender and receiver every byte is right, and the port's
    counters say who segmented: big packets come only from a guest that was told to send them."""
    a, b = lab.vm(first), lab.vm(second)
    a.run(f"ethtool -K eth0 tx {tx}; ethtool -K eth0 tso {tso}", check=False)
    b.run(f"ethtool -K eth0 rx {rx}; ethtool -K eth0 gro {gro}", check=False)
    try:
        shown = a.out("ethtool -k eth0")
        require(f"tcp-segmentation-offload: {tso}" in shown, f"tso is not {tso}: {shown}")
        for family in (4, 6):
            before = a.stats()["port"]["tx_gso"]
            a.peer(f"send {b.address(family)} {PORT} {2 << 20}")
            a.peer(f"udp {b.address(family)} {PORT} 1 18 999 1472 5000")
            moved = a.stats()["port"]["tx_gso"] - before
            require(moved > 10 if tso == "on" else moved == 0,
                    f"tso {tso}: {moved} big packets left the guest")
    finally:
        a.run("ethtool -K eth0 tx on; ethtool -K eth0 tso on", check=False)
        b.run("ethtool -K eth0 rx on; ethtool -K eth0 gro on", check=False)


def ufo(lab):
    """UDP: one big datagram of many fragments, and a train of datagrams segmented by the device
    or by the guest (tx-udp-segmentation); every one comes back unchanged."""
    a, b = lab.vm("a"), lab.vm("b")
    for vm in (a, b):
        for family in (4, 6):
            other = b if vm is a else a
            vm.peer(f"udp {other.address(family)} {PORT} 1 1472 1473 2960 8192 65000")
    offered = "tx-udp-segmentation: on" in a.out("ethtool -k eth0")
    for state in ("on", "off") if offered else ("off",):
        a.run(f"ethtool -K eth0 tx-udp-segmentation {state}", check=False)
        a.peer(f"train {b.address()} {PORT} 1200 20")
        a.peer(f"train {b.address(6)} {PORT} 1000 33")
    a.run("ethtool -K eth0 tx-udp-segmentation on", check=False)


def queues(lab, count):
    """Many flows: each queue of each guest sends and receives, and each vector fires."""
    a, b = lab.vm("a"), lab.vm("b")

    def figures(vm):
        found = [q for q in vm.stats()["synthetic_queues"] if q["index"] < count]
        irqs = vm.out("awk '/virtio[0-9]+-input\\.[0-9]+/ { n = 0; for (i = 2; i <= NF && $i ~ "
                      "/^[0-9]+$/; i++) n += $i; print n }' /proc/interrupts").split()
        return found, [int(n) for n in irqs]

    for vm in (a, b):
        shown = vm.out("ethtool -l eth0").split("Current")[1].split()
        require(shown[shown.index("Combined:") + 1] == str(count), f"not {count} queues: {shown}")
    before = {vm.name: figures(vm) for vm in (a, b)}
    a.peer(f"send {b.address()} {PORT} 65536 64", timeout=240)
    b.peer(f"send {a.address(6)} {PORT} 65536 64", timeout=240)
    for vm in (a, b):
        now = figures(vm)
        require(len(now[0]) == count, f"the port shows {len(now[0])} queues")
        for old, new in zip(before[vm.name][0], now[0]):
            for key in ("tx_packets", "rx_packets"):
                require(new[key] > old[key],
                        f"{vm.name} queue {new['index']}: {key} stays at {new[key]}")
        require(len(now[1]) >= count, f"{vm.name} has {len(now[1])} input vectors")
        idle = [n for n, (o, w) in enumerate(zip(before[vm.name][1], now[1])) if w == o]
        require(len(now[1]) - len(idle) >= count, f"{vm.name}: vectors {idle} did not fire")


def channels(lab):
    """-L: one queue pair, and back."""
    a = lab.vm("a")
    most = int(a.out("ethtool -l eth0").split("Combined:")[1].split()[0])
    for count in (1, most):
        a.run(f"ethtool -L eth0 combined {count}", check=False)
        shown = a.out("ethtool -l eth0").split("Combined:")[2].split()[0]
        require(shown == str(count), f"asked for {count} queues, has {shown}")
        talk(lab)


def link_of_guest(lab):
    a, b = lab.vm("a"), lab.vm("b")
    a.run("for n in $(seq 10); do ip link set eth0 down && ip link set eth0 up || exit 1; "
          f"ping -q -c 1 -W 20 {b.address()} >/dev/null || {{ echo no answer after $n; exit 1; }}; "
          "done", timeout=300)
    a.run(f"ip -6 addr replace {a.address(6)}/64 dev eth0 nodad")
    talk(lab)


def link_of_host(lab):
    """The host takes the link away and gives it back: the guest's carrier follows."""
    a, b = lab.vm("a"), lab.vm("b")
    lab.cli("link", "a/eth0", "down")
    a.eventually("[ $(cat /sys/class/net/eth0/carrier) = 0 ]", 20)
    lost = b.run(f"ping -q -c 2 -i 0.2 -W 1 {a.address()}", check=False)
    require(lost.status, "traffic over a link that is down")
    lab.cli("link", "a/eth0", "up")
    a.eventually("[ $(cat /sys/class/net/eth0/carrier) = 1 ]", 20)
    talk(lab)


def reload_driver(lab, times):
    """The driver leaves and returns while the other guest floods this one."""
    a, b = lab.vm("a"), lab.vm("b")
    flood = b.job(f"while :; do ping -q -i 0.002 -s 1000 -w 5 {a.address()} >/dev/null; done")
    try:
        for _ in range(times):
            sent = a.stats()["port"]["rx_packets"]
            wait_for(lambda: a.stats()["port"]["rx_packets"] > sent + 20, 30, "traffic")
            a.run("modprobe -r virtio_net && ! [ -e /sys/class/net/eth0 ]")
            wait_for(lambda: a.vnic()["synthetic"]["state"] != "driven", 20,
                     "the port has no driver")
            a.run("modprobe virtio_net")
            a.wait_configured()
            a.run(f"ping -q -c 1 -W 20 {b.address()}")
    finally:
        flood.stop("KILL")
    talk(lab)


def rebooted(lab):
    a = lab.vm("a")
    reboot(a)
    a.give_peer()
    talk(lab)


def mixed(lab, other, path):
    """A synthetic guest and one with a VF: what one leaves to the other's device is done there."""
    a, c = lab.vm("a"), lab.vm(other)
    talk(lab, "a", other)
    if path:
        travels(c, a, path)
    before = carried(c)
    for family in (4, 6):
        for src, dst in ((a, c), (c, a)):
            src.peer(f"send {dst.address(family)} {PORT} {2 << 20}")
            src.peer(f"udp {dst.address(family)} {PORT} 1 18 1472 9000")
    for src, dst in (("a", other), (other, "a")):
        offload(lab, "on", "off", "on", "on", src, dst)
        offload(lab, "off", "off", "off", "off", src, dst)
    if path:
        moved = {p: carried(c)[p][1] - n[1] for p, n in before.items()}
        require(moved[path] > 500, f"the paths of {other} moved {moved}")


def vlan(lab):
    """Tagged frames arrive in their VLAN, big ones too, and in no other."""
    a, b = lab.vm("a"), lab.vm("b")
    try:
        for number, vm in ((1, a), (2, b)):
            vm.run("ip link add link eth0 name eth0.100 type vlan id 100 && "
                   f"ip addr add 10.78.0.{number}/24 dev eth0.100 && "
                   f"ip -6 addr add fd78::{number}/64 dev eth0.100 nodad && "
                   "ip link set eth0.100 up")
        before = a.stats()["port"]["tx_gso"]
        a.run("ping -q -c 3 -i 0.2 -W 5 10.78.0.2 && ping -6 -q -c 3 -i 0.2 -W 5 fd78::2")
        a.peer(f"send 10.78.0.2 {PORT} {4 << 20}")
        b.peer(f"send fd78::1 {PORT} {4 << 20}")
        a.peer(f"udp 10.78.0.2 {PORT} 1 1000 1472 4000")
        require(a.stats()["port"]["tx_gso"] > before, "no tagged packet was left to segment")
        b.run("ip link set eth0.100 down && ip link add link eth0 name eth0.101 type vlan id 101 "
              "&& ip addr add 10.78.0.3/24 dev eth0.101 && ip link set eth0.101 up")
        leak = a.run("ping -q -c 2 -i 0.2 -W 1 10.78.0.3", check=False)
        require(leak.status, "VLAN 100 reached VLAN 101")
    finally:
        for vm in (a, b):
            vm.run("ip link del eth0.100; ip link del eth0.101; true")


def main():
    story = stories.Story("synthetic", __doc__)
    whole = story.whole
    small = {"cpus": 1, "memory": "256M"}
    vms = {"a": SYNTHETIC, "b": SYNTHETIC, "c": {**small, **VF_ONLY}}
    if whole:
        vms["d"] = {**small, **BOTH}
    with story.lab(vms, mtu=9000) as lab:
        story.check("probe", probe, lab)
        story.check("mtu 1500", set_mtu, lab, 1500, always=True)
        story.check("peers", give_peers, lab, always=True)
        story.check("ping v4", traffic.ping, lab, 4, capture="a/eth0")
        if whole:
            story.check("ping v6", traffic.ping, lab, 6, capture="a/eth0")
            story.check("multicast, broadcast", traffic.group, lab, capture="a/eth0")
        story.check("TCP and UDP both ways", talk, lab)
        story.check("UDP sizes, fragments, segmentation", ufo, lab, capture="a/eth0")
        if whole:
            story.check("100 MB at mtu 1500", big_file, lab, "a", "b")
        settings = [("on", "on", "on", "on"), ("off", "off", "off", "off")]
        if whole:
            settings += [("on", "off", "off", "on"), ("on", "on", "off", "off")]
        for setting in settings:
            story.check("tx {} tso {} to rx {} gro {}".format(*setting), offload, lab, *setting,
                        capture="a/eth0")
        if whole:
            story.check("vlan", vlan, lab)
            story.check("ethtool -L", channels, lab)
        story.check("2 queues", queues, lab, 2)
        story.check("with a VF guest", mixed, lab, "c", "vf")
        if whole:
            story.check("with a guest of both paths", mixed, lab, "d", "vf")
        story.check("mtu 9000", set_mtu, lab, 9000)
        story.check("100 MB at mtu 9000", big_file, lab, *("ba" if whole else "ac"))
        story.check("interface down and up", link_of_guest, lab)
        story.check("link of the host", link_of_host, lab, capture="a/eth0")
        story.check("driver unloaded and loaded under traffic", reload_driver, lab,
                    5 if whole else 2)
        if whole:
            story.check("reboot", rebooted, lab)
        story.check("no checksum errors", traffic.checksum_errors, lab)
    return story.end()


if __name__ == "__main__":
    stories.run(main)
