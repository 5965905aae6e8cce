#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Traffic between two stock guests: every kind of packet, every offload, every queue.

The payload is compared at the far end in each check. The guests' own checksum-error counters
must stay at zero from the first packet to the last.
"""

import json
import os

import lab as labs
import story as stories
from lab import PORT, require, wait_for

FILE_SIZE = 100 << 20
VLAN4, VLAN6 = "10.78.0", "fd78::"


def probe(lab, kernel):
    """The stock driver bound, said who it is, and turned receive on."""
    for vm in lab.vms():
        info = vm.out("ethtool -i eth0")
        require("driver: mana\n" in info, f"the driver is not mana: {info}")
        require(vm.out("cat /sys/class/net/eth0/carrier") == "1", "no carrier")
        require(vm.out("uname -r").startswith(kernel + "."), "another kernel than asked for")
        found = vm.vnic()
        require(vm.out("cat /sys/class/net/eth0/address") == found["mac"], "another MAC")
        require(vm.out("cat /sys/class/net/eth0/mtu") == str(found["mtu"]), "another MTU")
        require(found["vf"]["state"] == "driven", f"the daemon says {found['vf']}")
        require(found["vf"]["driver"]["os"] == "Linux", f"the driver said {found['vf']['driver']}")
        require(vm.stats()["mana"]["guest_errors"] == 0, "the device refused a queue entry")


def rdma(lab, lacking):
    """mana_ib, which the image does not load by itself, finds no RDMA function, harms nothing.

    Since Linux 6.17 it also makes a device of the Ethernet function, manae_N, for raw packets.
    """
    a, b = lab.vm("a"), lab.vm("b")
    loaded = a.run("modprobe mana_ib", check=False)
    require(bool(loaded.status) == bool(lacking), f"modprobe mana_ib: {loaded}")
    found = a.out("ls /sys/class/infiniband 2>/dev/null; true").split()
    require(all(name.startswith("manae_") for name in found), f"there is an RDMA device: {found}")
    a.run(f"ping -q -c 2 -i 0.2 -W 10 {b.address()}")
    if not lacking:
        a.run("rmmod mana_ib")      # modprobe -r would take mana with it


def set_mtu(lab, mtu):
    for vm in lab.vms():
        vm.run(f"ip link set dev eth0 mtu {mtu}")
        vm.wait_configured()


def ping(lab, family):
    """Small, full-sized without fragmentation, and the largest, in fragments; both ways."""
    a, b = lab.vm("a"), lab.vm("b")
    head = 28 if family == 4 else 48
    for src, dst in ((a, b), (b, a)):
        host = dst.address(family)
        src.run(f"ping -{family} -q -c 5 -i 0.2 -W 5 {host}")
        src.run(f"ping -{family} -q -c 3 -i 0.2 -W 5 -M do -s {1500 - head} {host}")
        refused = src.run(f"ping -{family} -q -c 1 -W 0.2 -M do -s {1501 - head} {host}", check=False)
        require(refused.status, "a frame beyond the MTU went out")
        # One at a time: of several ping waits for the last no longer than the others took twice.
        for _ in range(5):
            src.run(f"ping -{family} -q -c 1 -W 20 -s 65000 {host}")


def group(lab):
    """Multicast and broadcast reach the other guest."""
    a, b = lab.vm("a"), lab.vm("b")
    b.run("echo 0 >/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts")
    broadcast = a.out("ip -4 -o addr show dev eth0 | sed -n 's/.* brd \\([0-9.]*\\) .*/\\1/p'")
    a.run(f"ping -q -b -c 2 -i 0.2 -W 5 {broadcast}")
    text = a.out("ping -6 -c 2 -i 0.2 -W 5 ff02::1%eth0 2>&1; true")
    own = b.out("ip -6 -o addr show dev eth0 scope link | sed 's/.*inet6 \\([^/]*\\).*/\\1/'")
    require(own and own in text, f"no answer from {own} to a multicast: {text}")


def iperf(src, dst, family, options, least):
    """A run of iperf3 whose receiver saw at least that many bytes; dst serves."""
    text = src.out(f"iperf3 -{family} -c {dst.address(family)} -J {options}", timeout=120)
    end = json.loads(text)["end"]
    total = end.get("sum_received") or end["sum"]
    require(total["bytes"] >= least, f"only {total['bytes']} bytes arrived")
    return end


def iperf_tcp(lab):
    a, b = lab.vm("a"), lab.vm("b")
    for family in (4, 6):
        for direction in ("", "-R"):
            iperf(a, b, family, f"-t 1 {direction}", 2 << 20)


def iperf_udp(lab):
    """Whatever does not arrive is in somebody's counter: a full socket or a full ring."""
    a, b = lab.vm("a"), lab.vm("b")

    def counted():
        """Datagrams dropped by the guests' full sockets and by the devices' full rings."""
        total = 0
        for vm in (a, b):
            text = vm.out("awk '/^Udp:/ && $2 ~ /^[0-9]/ { print $6 }' /proc/net/snmp; "
                          "awk '/^Udp6RcvbufErrors/ { print $2 }' /proc/net/snmp6")
            total += sum(map(int, text.split()))
            total += sum(vm.stats()["port"]["rx_drops"].values())
        return total

    for family in (4, 6):
        for direction in ("", "-R"):
            before = counted()
            total = iperf(a, b, family, f"-u -b 4M -l 1200 -t 1 {direction}", 150000)["sum"]
            missing = total["lost_packets"] - (counted() - before)
            require(missing <= total["packets"] // 50,
                    f"{total['lost_packets']} of {total['packets']} lost, {missing} uncounted")


def udp_sizes(lab):
    """Every size near a border, and datagrams of many fragments; the kernel checks each sum."""
    a, b = lab.vm("a"), lab.vm("b")
    sizes = [1, 2, 3, 7, 8, 17, 18, 19, 31, 255, 256, 257, 1023, 1451, 1452, 1453, 1471, 1472,
             1473, 2960, 8192, 65000]
    text = " ".join(map(str, sizes))
    for family in (4, 6):
        a.peer(f"udp {b.address(family)} {PORT} {text}")
        b.peer(f"udp {a.address(family)} {PORT} {text}")


def big_file(lab):
    """100 MB there, and what arrived back again, is the file it was."""
    a, b = lab.vm("a"), lab.vm("b")
    if a.run("test -s /tmp/big.sum", check=False).status:
        a.run(f"head -c {FILE_SIZE} /dev/urandom >/tmp/big && "
              "sha256sum </tmp/big | cut -d' ' -f1 >/tmp/big.sum", timeout=120)
    want = a.out("cat /tmp/big.sum")
    there = a.peer(f"file {b.address()} {PORT} /tmp/big copy", timeout=240).out.split()
    require(there[0] == want, f"sent {want}, {there[0]} arrived")
    kept = b.out("sha256sum </tmp/copy | cut -d' ' -f1", timeout=120)
    require(kept == want, f"{want} arrived, {kept} is in the file")
    back = b.peer(f"file {a.address()} {PORT} /tmp/copy -", timeout=240).out.split()
    require(back[0] == want, f"sent back {want}, {back[0]} arrived")
    require(b.run("stat -c %s /tmp/copy").out.strip() == str(FILE_SIZE), "another size")
    b.run("rm /tmp/copy")


def queue_sum(vm, suffix):
    """Sum over the queues of a counter of ethtool -S that ends so."""
    return int(vm.out(f"ethtool -S eth0 | awk '/_[0-9]+_{suffix}:/ {{ n += $2 }} "
                      "END { print n + 0 }'"))


def offload(lab, sender, receiver, family):
    """TCP and UDP with these features; the counters say that the device did the work, or not.

    sender: (tx, tso), receiver: rx
    """
    a, b = lab.vm("a"), lab.vm("b")
    tx, tso = sender
    a.run(f"ethtool -K eth0 tx {tx} && ethtool -K eth0 tso {tso}")
    b.run(f"ethtool -K eth0 rx {receiver}")
    try:
        shown = a.out("ethtool -k eth0")
        for feature, value in (("tcp-segmentation-offload", tso), ("tx-checksumming", tx)):
            require(f"{feature}: {value}" in shown, f"{feature} is not {value}: {shown}")
        before = (a.stats()["mana"]["tx_tso"], queue_sum(a, "csum_partial"))
        host = b.address(family)
        a.peer(f"send {host} {PORT} {4 << 20}")
        a.peer(f"udp {host} {PORT} 1 18 999 1472 5000")
        after = (a.stats()["mana"]["tx_tso"], queue_sum(a, "csum_partial"))
        moved = tuple(n - o for o, n in zip(before, after))
        require((moved[0] > 20) if tso == "on" else (moved[0] == 0),
                f"tso {tso}: the device segmented {moved[0]} packets")
        require((moved[1] > 0) if tx == "on" else (moved[1] == 0),
                f"tx {tx}: the driver asked for {moved[1]} checksums")
    finally:
        a.run("ethtool -K eth0 tx on && ethtool -K eth0 tso on")
        b.run("ethtool -K eth0 rx on")


def checksum_errors(lab):
    """What the guests' stacks found wrong since they booted."""
    for vm in lab.vms():
        text = vm.out("awk '/^(Tcp|Udp|Icmp|Ip):/ { if ($1 in h) { split(h[$1], k); for (i = 2; "
                      "i <= NF; i++) print $1 k[i], $i } else h[$1] = $0 }' /proc/net/snmp; "
                      "cat /proc/net/snmp6")
        bad = [line for line in text.splitlines()
               if ("CsumErrors" in line or "InHdrErrors" in line) and line.split()[1] != "0"]
        require(not bad, f"{vm.name} counted {bad}")


def vlan(lab):
    """Tagged frames arrive in their VLAN and in no other; with and without tag offloads."""
    a, b = lab.vm("a"), lab.vm("b")
    try:
        for number, vm in ((1, a), (2, b)):
            vm.run("ip link add link eth0 name eth0.100 type vlan id 100 && "
                   f"ip addr add {VLAN4}.{number}/24 dev eth0.100 && "
                   f"ip -6 addr add {VLAN6}{number}/64 dev eth0.100 nodad && "
                   "ip link set eth0.100 up")
        before = a.stats()["mana"]["tx_tso"]
        a.run(f"ping -q -c 3 -i 0.2 -W 5 {VLAN4}.2")
        a.run(f"ping -6 -q -c 3 -i 0.2 -W 5 {VLAN6}2")
        a.peer(f"send {VLAN4}.2 {PORT} {4 << 20}")
        b.peer(f"send {VLAN6}1 {PORT} {4 << 20}")
        a.peer(f"udp {VLAN4}.2 {PORT} 1 1000 1472 4000")
        require(a.stats()["mana"]["tx_tso"] > before, "no tagged packet was segmented")
        a.run("ethtool -K eth0 tso off")
        a.peer(f"send {VLAN4}.2 {PORT} {1 << 20}")
        path = os.path.join(lab.dir, "vlan.pcapng")
        tap = labs.Capture(lab, "b/eth0", path)
        wait_for(lambda: b.vnic()["capture"], 20, "the capture runs")
        a.run(f"ping -q -c 2 -i 0.2 -W 5 {VLAN4}.2")
        tap.stop()
        with open(path, "rb") as src:
            require(src.read().count(b"\x81\x00\x00\x64\x08\x00\x45") == 4,
                    "the wire did not see four packets tagged 100")
        b.run("ip link set eth0.100 down && ip link add link eth0 name eth0.101 type vlan id 101 "
              f"&& ip addr add {VLAN4}.3/24 dev eth0.101 && ip link set eth0.101 up")
        leak = a.run(f"ping -q -c 2 -i 0.2 -W 1 {VLAN4}.3", check=False)
        require(leak.status, "VLAN 100 reached VLAN 101")
    finally:
        for vm in (a, b):
            vm.run("ip link del eth0.100; ip link del eth0.101; ethtool -K eth0 tso on; true")


def small_mtu(lab):
    """68, the least that IPv4 allows, and no more than what the adapter offers."""
    a, b = lab.vm("a"), lab.vm("b")
    for vm in (a, b):
        vm.run("ip link set dev eth0 mtu 68")
    a.run(f"ping -q -c 2 -i 0.2 -W 5 -M do -s 40 {b.address()}")
    # 42 fragments; ping makes its buffer too small for so many unless told (-S)
    text = a.out(f"ping -S 200000 -c 2 -i 0.2 -W 5 -s 2000 {b.address()}")
    require(" 0% packet loss" in text, text)
    most = a.vnic()["mtu"]
    require(a.run(f"ip link set dev eth0 mtu {most + 1}", check=False).status,
            f"an MTU of {most + 1} was accepted")
    for vm in (a, b):
        vm.run(f"ip link set dev eth0 mtu {most} && "
               f"ip -6 addr replace {vm.address(6)}/64 dev eth0 nodad")


def queues(lab, count):
    """Many flows: each queue of each guest sends and receives, each vector fires."""
    a, b = lab.vm("a"), lab.vm("b")
    for vm in (a, b):
        shown = vm.out("ethtool -l eth0")
        require(shown.split("Current")[1].count(f"Combined:\t\t{count}") or
                f"Combined:{count}" in shown.split("Current")[1].replace("\t", "").replace(" ", ""),
                f"not {count} queues: {shown}")

    def figures(vm):
        found = [q for q in vm.stats()["queues"] if q["index"] < count]
        irqs = vm.out("awk '/mana_(q|msi)[0-9]/ { n = 0; for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) "
                      "n += $i; print n }' /proc/interrupts").split()
        return found, [int(n) for n in irqs]

    before = {vm.name: figures(vm) for vm in (a, b)}
    a.peer(f"send {b.address()} {PORT} 65536 64", timeout=240)
    b.peer(f"send {a.address(6)} {PORT} 65536 64", timeout=240)
    for vm in (a, b):
        now = figures(vm)
        require(len(now[0]) == count, f"the device shows {len(now[0])} queues")
        for old, new in zip(before[vm.name][0], now[0]):
            for key in ("tx_packets", "rx_packets"):
                require(new[key] > old[key],
                        f"{vm.name} queue {new['index']}: {key} stays at {new[key]}")
        require(len(now[1]) == count, f"{vm.name} has {len(now[1])} queue vectors")
        idle = [n for n, (o, w) in enumerate(zip(before[vm.name][1], now[1])) if w == o]
        require(not idle, f"{vm.name}: vectors {idle} did not fire")


UNSUPPORTED = {"6.1": {"mana_ib": "Debian's cloud kernel 6.1 is built without it"}}


def main():
    story = stories.Story("traffic", __doc__, UNSUPPORTED)
    # what mana_ib says when it gives up
    allowed = (r"Failed hw_channel req: 0xffffffff|Failed to query (adapter|device) caps|"
               r"mana_ib\.rdma mana\.rdma\.\d+: probe with driver")
    with story.lab({"a": {}, "b": {}}, mtu=9000, allowed=allowed) as lab:
        story.check("probe", probe, lab, story.kernel)
        why = story.why_unsupported("mana_ib")
        story.check("mana_ib" + (f" (unsupported: {why})" if why else ""), rdma, lab, why)
        story.check("mtu 1500", set_mtu, lab, 1500, always=True)
        story.check("peers", lambda: [vm.give_peer() for vm in lab.vms()], always=True)
        story.check("iperf server", lambda: lab.vm("b").run("iperf3 -s -D"), always=True)
        for family in (4, 6):
            story.check(f"ping v{family}", ping, lab, family, capture="a/eth0")
        story.check("multicast, broadcast", group, lab, capture="a/eth0")
        story.check("iperf3 tcp", iperf_tcp, lab)
        story.check("iperf3 udp", iperf_udp, lab)
        story.check("udp sizes", udp_sizes, lab, capture="a/eth0")
        story.check("100 MB at mtu 1500", big_file, lab)
        for family in (4, 6):
            for sender in (("on", "on"), ("on", "off"), ("off", "off")):
                for receiver in ("on", "off"):
                    story.check(f"v{family} tx {sender[0]} tso {sender[1]} to rx {receiver}",
                                offload, lab, sender, receiver, family, capture="a/eth0")
        story.check("vlan", vlan, lab)
        story.check("2 queues", queues, lab, 2)
        story.check("mtu 9000", set_mtu, lab, 9000)
        story.check("100 MB at mtu 9000", big_file, lab)
        story.check("mtu 68", small_mtu, lab, capture="a/eth0")
        story.check("no checksum errors", checksum_errors, lab)
    if story.whole:
        with story.lab({"a": {"cpus": 4, "queues": 4}, "b": {"cpus": 4, "queues": 4}}) as lab:
            story.check("peers of 4 CPUs", lambda: [vm.give_peer() for vm in lab.vms()],
                        always=True)
            story.check("4 queues", queues, lab, 4)
            story.check("no checksum errors with 4 queues", checksum_errors, lab)
    return story.end()


if __name__ == "__main__":
    stories.run(main)
