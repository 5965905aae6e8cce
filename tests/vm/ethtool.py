#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The settings that ethtool reaches: channels, rings, features, RSS, statistics, link. Each is
read, changed, seen to act on real traffic, and put back.
"""

import ipaddress
import re

import story as stories
from lab import PORT, require, wait_for

# What a kernel's driver does not have. The story asserts that the kernel says so.
NO_LINK = "mana_ethtool_ops of this kernel has no get_link_ksettings"
NO_COALESCE = "mana_ethtool_ops of this kernel has no set_coalesce"
UNSUPPORTED = {
    "6.1": {"link settings": NO_LINK, "coalesced completions": NO_COALESCE,
            "-G rings": "its driver has no set_ringparam, unless a stable update brought it"},
    "6.12": {"link settings": NO_LINK, "coalesced completions": NO_COALESCE},
}


def channels_now(vm):
    """(most, now) of ethtool -l."""
    found = re.findall(r"Combined:\s*(\d+)", vm.out("ethtool -l eth0"))
    return int(found[0]), int(found[1])


def still_talks(lab):
    a, b = lab.vm("a"), lab.vm("b")
    a.run(f"ping -q -c 2 -i 0.2 -W 10 {b.address()}")
    a.peer(f"send {b.address()} {PORT} 65536 16")
    b.peer(f"send {a.address()} {PORT} 65536 16")


def channels(lab):
    """-L from the least to the most and back; the device has as many queues as the driver says."""
    a = lab.vm("a")
    most, before = channels_now(a)
    require(most == 4, f"4 CPUs and 8 queues, and at most {most} channels")
    for count in (1, 3, most, before):
        a.run(f"ethtool -L eth0 combined {count} 2>&1 || [ {count} = {channels_now(a)[1]} ]")
        require(channels_now(a)[1] == count, f"not {count} channels")
        device = a.stats()["mana"]
        require((device["txqs"], device["rxqs"]) == (count, count),
                f"{count} channels, but the device has {device['txqs']} and {device['rxqs']}")
        names = set(re.findall(r"rx_(\d+)_packets", a.out("ethtool -S eth0")))
        require(len(names) == count, f"-S shows the queues {names}")
        still_talks(lab)
    for count in (0, most + 1):
        require(a.run(f"ethtool -L eth0 combined {count}", check=False).status,
                f"{count} channels were accepted")
    require(channels_now(a)[1] == before, "a refused -L changed the channels")


def rings_now(vm):
    """(most rx, most tx, rx, tx) of ethtool -g."""
    text = vm.out("ethtool -g eth0")
    rx = re.findall(r"^RX:\s*(\d+)", text, re.MULTILINE)
    tx = re.findall(r"^TX:\s*(\d+)", text, re.MULTILINE)
    return int(rx[0]), int(tx[0]), int(rx[1]), int(tx[1])


def rings(lab, lacking):
    """-G from the least upward and back; what the driver lacks is refused."""
    a = lab.vm("a")
    if lacking and a.run("grep -q ' mana_set_ringparam' /proc/kallsyms", check=False).status:
        for command in ("-g eth0", "-G eth0 rx 256"):
            refused = a.run(f"ethtool {command}", check=False)
            require(refused.status and "not supported" in refused.err, f"{command}: {refused}")
        return
    most_rx, most_tx, rx0, tx0 = rings_now(a)
    require((most_rx, most_tx) == (8192, 16384), f"at most {most_rx}, {most_tx}")
    for rx, tx in ((128, 128), (2048, 4096), (rx0, tx0)):
        a.run(f"ethtool -G eth0 rx {rx} tx {tx}")
        require(rings_now(a)[2:] == (rx, tx), f"{rings_now(a)} after -G rx {rx} tx {tx}")
        still_talks(lab)
    for options in ("rx 64", "tx 64", f"rx {most_rx + 1}"):
        require(a.run(f"ethtool -G eth0 {options}", check=False).status, f"{options} was accepted")
    require(rings_now(a)[2:] == (rx0, tx0), "a refused -G changed the rings")


def features(lab):
    """-K each feature off and on again; the others stay."""
    a = lab.vm("a")

    def now():
        return dict(re.findall(r"^\s*([\w-]+): (on|off)", a.out("ethtool -k eth0"), re.MULTILINE))

    before = now()
    for name in ("rx-checksumming", "tx-checksumming", "tcp-segmentation-offload",
                 "scatter-gather", "receive-hashing", "generic-receive-offload"):
        require(before[name] == "on", f"{name} is {before[name]} at first")
    for option, name in (("rx", "rx-checksumming"), ("tx", "tx-checksumming"),
                         ("tso", "tcp-segmentation-offload"), ("sg", "scatter-gather"),
                         ("rxhash", "receive-hashing"), ("gro", "generic-receive-offload")):
        a.run(f"ethtool -K eth0 {option} off")
        require(now()[name] == "off", f"{name} stays on")
        sends = lab.vm("b") if option in ("rx", "rxhash", "gro") else a     # the side concerned
        takes = a if sends.name == "b" else lab.vm("b")
        sends.peer(f"send {takes.address()} {PORT} 300000 4")
        a.run(f"ethtool -K eth0 {option} on && ethtool -K eth0 tso on")
        require(now() == before, f"after {option} off and on: "
                f"{[(k, v) for k, v in now().items() if before[k] != v]}")


def rss_now(vm):
    """(table, key) of ethtool -x."""
    text = vm.out("ethtool -x eth0")
    table = [int(n) for row in re.findall(r"^\s*\d+:\s+([\d ]+)$", text, re.MULTILINE)
             for n in row.split()]
    key = re.search(r"\b((?:[0-9a-f]{2}:){39}[0-9a-f]{2})\b", text)
    require(table and key, f"no table or no key: {text}")
    return table, key[1]


def set_rss(vm, kernel, table=None, key=None, check=True):
    """A table (a list, or "default") or a key. By ethtool -X, where it understands the kernel."""
    if kernel == "6.1":     # ethtool 6.14 gets EINVAL: it fills a field that 6.1 wants to be zero
        text = ",".join(map(str, table)) if isinstance(table, list) else table or "-"
        return vm.peer(f"rss eth0 {text} {key.replace(':', '') if key else '-'}", check=check)
    if key:
        return vm.run(f"ethtool -X eth0 hkey {key}", check=check)
    if table == "default":
        return vm.run("ethtool -X eth0 default", check=check)
    counts = [table.count(n) for n in range(max(table) + 1)]
    used = [n for n in counts if n]
    if len(set(used)) == 1 and counts.count(0) == len(counts) - len(used) == counts.index(used[0]):
        return vm.run(f"ethtool -X eth0 start {counts.index(used[0])} equal {len(used)}", check=check)
    return vm.run(f"ethtool -X eth0 weight {' '.join(map(str, counts))}", check=check)


def rss(lab, kernel):
    """-X: table and key are kept, and wrong ones refused; one queue in the table, one in use."""
    a, b = lab.vm("a"), lab.vm("b")
    table, key = rss_now(a)
    size = len(table)
    require(size >= 64 and size & (size - 1) == 0, f"the table has {size} entries")
    require(set(table) == {0, 1, 2, 3}, f"the default table names the queues {set(table)}")
    set_rss(a, kernel, [0] * (size // 4) + [2] * (size - size // 4))
    found = rss_now(a)[0]
    require((found.count(0), found.count(2)) == (size // 4, size - size // 4), f"weights: {found}")
    set_rss(a, kernel, [2] * size)
    require(rss_now(a)[0] == [2] * size, f"not queue 2 alone: {rss_now(a)[0]}")
    before = received(a)
    b.peer(f"send {a.address()} {PORT} 65536 16")
    moved = [n - o for o, n in zip(before, received(a))]
    require(moved[2] > 100 and not moved[0] and not moved[1] and not moved[3],
            f"queue 2 only, but they received {moved}")
    require(set_rss(a, kernel, [n % 5 for n in range(size - size % 5)] + [0] * (size % 5),
                    check=False).status, "a queue too many was accepted")
    other = ":".join(f"{n:02x}" for n in range(40))
    set_rss(a, kernel, key=other)
    require(rss_now(a)[1] == other, "the key is another")
    set_rss(a, kernel, "default")
    require(rss_now(a)[0] == table, "the default table is another")
    set_rss(a, kernel, key=key)
    require(rss_now(a) == (table, key), "not as before")
    still_talks(lab)


def received(vm):
    return [q["rx_packets"] for q in vm.stats()["queues"]][:4]


def toeplitz(key, data):
    """The hash of the Microsoft RSS specification ("Verifying the RSS Hash Calculation")."""
    window = int.from_bytes(key, "big")
    bits = len(key) * 8
    result = 0
    for number in range(len(data) * 8):
        if data[number // 8] >> (7 - number % 8) & 1:
            result ^= window >> (bits - 32 - number) & 0xffffffff
    return result


def rss_hash(lab, kernel):
    """Each flow reaches the queue that the guest's key and table say, IPv4 and IPv6."""
    # The published example: 66.9.149.187:2794 to 161.142.100.80:1766
    published = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b4"
                              "77cb2da38030f20c6a42b73bbeac01fa")
    require(toeplitz(published, bytes.fromhex("420995bba18e64500aea06e6")) == 0x51ccc178,
            "the test's own Toeplitz is wrong")
    a, b = lab.vm("a"), lab.vm("b")
    text = ":".join(f"{byte:02x}" for byte in published)
    _, old = rss_now(a)
    set_rss(a, kernel, key=text)
    table = rss_now(a)[0]
    try:
        for family in (4, 6):
            src, dst = b.address(family), a.address(family)
            for port in (40001, 40002, 40003, 40004):
                flow = (ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed +
                        port.to_bytes(2, "big") + PORT.to_bytes(2, "big"))
                want = table[toeplitz(published, flow) % len(table)]
                before = received(a)
                b.peer(f"flow {dst} {PORT} 300 {port}")
                moved = [n - o for o, n in zip(before, received(a))]
                # writes may share a packet; now and then a neighbour asks for an address
                require(moved[want] > 6 and sum(moved) - moved[want] <= 2,
                        f"IPv{family} port {port}: queue {want} expected, packets {moved}")
    finally:
        set_rss(a, kernel, key=old)


def statistics(lab):
    """Per-queue counters of the driver, the interface's, and the device's tell one story."""
    a, b = lab.vm("a"), lab.vm("b")

    def figures():
        text = a.out("ethtool -S eth0; cat /sys/class/net/eth0/statistics/[rt]x_packets")
        driver = {}
        for direction in ("rx", "tx"):
            for what in ("packets", "bytes"):
                driver[f"{direction}_{what}"] = sum(int(n) for n in re.findall(
                    rf"^\s*{direction}_\d+_{what}: (\d+)", text, re.MULTILINE))
        interface = [int(n) for n in text.split()[-2:]]
        return driver, interface, a.stats()

    a.run("ethtool -K eth0 tso off gso off")    # one packet for the driver is one on the wire
    try:
        first = figures()
        a.peer(f"udp {b.address()} {PORT} 1 100 1000 1472 4000")
        a.peer(f"send {b.address()} {PORT} 300000 4")
        b.peer(f"send {a.address()} {PORT} 300000 4")

        def agree():
            driver, interface, device = figures()
            ours = {k: v - first[0][k] for k, v in driver.items()}
            theirs = {k: device["mana"][k] - first[2]["mana"][k] for k in ours}
            require(ours == theirs, f"the driver counted {ours}, the device {theirs}")
            queues = {k: sum(q[k] for q in device["queues"]) for k in ours}
            require(all(queues[k] == device["mana"][k] for k in ours),
                    f"the queues add up to {queues}, the device says {device['mana']}")
            # GRO merges packets after the driver counted them
            require(interface[1] - first[1][1] == ours["tx_packets"],
                    f"the interface counted {interface}, before {first[1]}")
            require(ours["tx_packets"] > 400 and ours["rx_packets"] > 400, f"too few: {ours}")
            return True

        wait_for(agree, 20, "the counters agree")
    finally:
        a.run("ethtool -K eth0 gso on tso on")


def hardware_statistics(lab):
    """The hc_ counters, which the driver asks the device for."""
    a, b = lab.vm("a"), lab.vm("b")

    def hardware():
        return {k: int(v) for k, v in re.findall(r"^\s*(hc_\w+): (\d+)", a.out("ethtool -S eth0"),
                                                 re.MULTILINE)}

    def total(found, direction, unit):
        return sum(found[f"hc_{direction}_{cast}_{unit}"] for cast in ("ucast", "bcast", "mcast"))

    require(hardware(), "no hc_ counters")
    a.run(f"ping -6 -q -c 2 -i 0.2 -W 5 ff02::1%eth0; ping -q -c 3 -i 0.2 {b.address()}")

    def agree():
        found, device = hardware(), a.stats()["mana"]
        for direction in ("rx", "tx"):
            require(total(found, direction, "pkts") == device[f"{direction}_packets"],
                    f"{direction}: the guest was told {found}, the device has {device}")
            require(total(found, direction, "bytes") == device[f"{direction}_bytes"],
                    f"{direction}: the guest was told {found}, the device has {device}")
        require(found["hc_rx_ucast_pkts"] > 3 and found["hc_tx_mcast_pkts"] > 1,
                f"too few: {found}")
        bad = {k: v for k, v in found.items() if "_err_" in k and v}
        require(not bad, f"errors: {bad}")
        return True

    wait_for(agree, 30, "the hardware counters agree")     # 7.2 asks every 2 s


def link_settings(lab, lacking):
    text = lab.vm("a").run("ethtool eth0 2>&1", check=False).out
    if lacking:
        require("Speed:" not in text, f"supported after all: {text}")
        return
    for line in ("Speed: 200000Mb/s", "Duplex: Full", "Link detected: yes"):
        require(line in text, f"no `{line}` in: {text}")


def coalesced(lab, lacking):
    """Up to four packets in one completion, when the driver asks for it."""
    a, b = lab.vm("a"), lab.vm("b")
    now = a.peer("coalesce eth0", check=False)
    if lacking:
        require(now.status and "unsupported" in now.err, f"supported after all: {now}")
        return
    require(now.status == 0, str(now))
    for frames in (4, 1):
        require(a.peer(f"coalesce eth0 {frames}").out.strip() == str(frames), "not set")
        before = a.stats()["mana"]["rx_coalesced"]
        b.peer(f"send {a.address()} {PORT} {4 << 20} 2")
        b.peer(f"udp {a.address(6)} {PORT} 1 1000 8000")
        moved = a.stats()["mana"]["rx_coalesced"] - before
        require(moved > 0 if frames == 4 else moved == 0,
                f"{frames} packets per completion: {moved} were coalesced")
    a.peer(f"coalesce eth0 {now.out.strip()}")


def main():
    story = stories.Story("ethtool", __doc__, UNSUPPORTED)
    with story.lab({"a": {"cpus": 4, "queues": 8}, "b": {}}) as lab:
        story.check("peers", lambda: [vm.give_peer() for vm in lab.vms()], always=True)
        story.check("-S adds up with the device", statistics, lab)
        story.check("-S hardware counters", hardware_statistics, lab)
        story.check("-K features", features, lab)
        story.check("-X table and key", rss, lab, story.kernel)
        story.check("-X Toeplitz", rss_hash, lab, story.kernel)
        story.check("-L channels", channels, lab)
        for name, func in (("-G rings", rings), ("link settings", link_settings),
                           ("coalesced completions", coalesced)):
            why = story.why_unsupported(name)
            story.check(name + (f" (unsupported: {why})" if why else ""), func, lab, why)
    return story.end()


if __name__ == "__main__":
    stories.run(main)
