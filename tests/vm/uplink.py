#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Networks with an uplink: a guest and who is not in the lab, both ways, on both paths of its NICs.

Network blue is external, over a veth pair whose other end is in a namespace of its own, as another
machine would be. Red and green are internal: this host has an address there; green's interface is
one "without checksum", so that the daemon cuts and sums. Needs root.
"""

import itertools
import json
import os
import subprocess

import story as stories
from lab import require, wait_for
from paths import BOTH, carried, restore, revoke, wait_pair

TAG = f"hvu{os.getpid() % 100000}"
NEAR, FAR, NETNS = TAG + "n", TAG + "f", TAG
RED, GREEN = TAG + "r", TAG + "g"
OTHER, OTHER6 = "10.77.0.200", "fd77::200"
HOST = {"red": "10.87.0.1", "green": "10.97.0.1"}
SECONDS = "1"
PORTS = itertools.count(5201)


def host(command, check=True):
    """Run on this host; what it prints."""
    done = subprocess.run(command.split(), capture_output=True, text=True, timeout=60, check=False)
    require(not check or not done.returncode, f"{command}: {done.stderr or done.stdout}")
    return done.stdout


def make_wire():
    host(f"ip link add {NEAR} type veth peer name {FAR} netns {NETNS}")
    host(f"ip -n {NETNS} address add {OTHER}/24 dev {FAR}")
    host(f"ip -n {NETNS} address add {OTHER6}/64 dev {FAR} nodad")
    host(f"ip -n {NETNS} link set dev {FAR} up")
    host(f"ip link set dev {NEAR} up")


def uplink(lab, network):
    return next(n for n in lab.status()["networks"] if n["name"] == network)["uplink"]


def figures(lab, network):
    return next(u for u in lab.control.call("stats")["uplinks"] if u["network"] == network)["port"]


def become(lab, network, state):
    wait_for(lambda: uplink(lab, network)["state"] == state, 20,
             f"the uplink of {network} is {state}; {uplink(lab, network)}")


def all_up(lab):
    kinds = {"blue": ("external", "packet"), "red": ("internal", "tap"),
             "green": ("internal", "tap")}
    for net in lab.status()["networks"]:
        found = net["uplink"]
        require((net["type"], found["kind"]) == kinds[net["name"]], f"{net}")
        require(found["state"] == "up" and not found["reason"] and not found["warning"], f"{found}")
    shown = lab.cli("status").stdout.decode()
    for name in (NEAR, RED, GREEN):
        require(name in shown, f"hvlab status does not name {name}: {shown}")
    wait_pair(lab.vm("a"))


def echoes(lab, nic, prefix, addresses):
    """Pings from outside, and from the guest to there."""
    a = lab.vm("a")
    for family, address in addresses.items():
        host(f"{prefix}ping -{family} -q -c 3 -i 0.2 -W 10 {a.address(family, nic)}")
        a.run(f"ping -{family} -q -c 3 -i 0.2 -W 10 {address}")


def streams(lab, nic, prefix):
    """iperf3 from outside, both ways: bytes that arrived at the guest, and outside."""
    a = lab.vm("a")
    sums = []
    for way in ("", " -R"):
        port = next(PORTS)
        a.run(f"iperf3 -s -1 -D -p {port}")
        a.eventually(f"ss -Hltn 'sport = :{port}' | grep -q .", 30, f"iperf3 serves port {port}")
        command = (f"{prefix}iperf3 -J -c {a.address(4, nic)} -p {port} -t {SECONDS} "
                   f"--connect-timeout 20000{way}")
        got = json.loads(host(command, check=False))
        require("error" not in got, f"{command}: {got.get('error')}")
        sums.append(got["end"]["sum_received"]["bytes"])
    require(min(sums) > 100000, f"iperf3 carried {sums} bytes")
    return sums


def on_path(lab, path, nic, prefix, addresses):
    """Both ways, by that path of the NIC and no other, and large packets whole on the wire."""
    a = lab.vm("a")
    network = a.vnic(nic)["network"]
    before, port = carried(a, nic), figures(lab, network)
    echoes(lab, nic, prefix, addresses)
    sums = streams(lab, nic, prefix)
    after, now = carried(a, nic), figures(lab, network)
    for p in after:
        moved = [after[p][k] - before[p][k] for k in (0, 1)]
        require(min(moved) > 50 if p == path else max(moved) < 50,
                f"{p} carried {moved} packets of {sums} bytes")
    require(now["tx_bytes"] - port["tx_bytes"] > sums[0] and
            now["rx_bytes"] - port["rx_bytes"] > sums[1],
            f"the uplink counts {port} and then {now}, {sums} bytes arrived")
    large = now["tx_gso"] - port["tx_gso"]
    require(large > 0 if network != "green" else large == 0, f"{network}: {large} large packets")


def external(lab, path):
    on_path(lab, path, "eth0", f"ip netns exec {NETNS} ", {4: OTHER, 6: OTHER6})


def internal(lab, path, nic, network):
    on_path(lab, path, nic, "", {4: HOST[network]})


def synthetic(lab):
    revoke(lab.vm("a"))


def accelerated(lab):
    restore(lab.vm("a"))
    wait_pair(lab.vm("a"))


def down_and_back(lab):
    """The interface goes down, is deleted, and comes back; the guest does not notice more."""
    a = lab.vm("a")
    host(f"ip link set dev {NEAR} down")
    become(lab, "blue", "down")
    require(f"ip link set dev {NEAR} up" in uplink(lab, "blue")["reason"], f"{uplink(lab, 'blue')}")
    host(f"ip link set dev {NEAR} up")
    become(lab, "blue", "up")
    host(f"ip link set dev {NEAR} mtu 1400")
    wait_for(lambda: uplink(lab, "blue")["warning"], 20, "a warning of the MTU")
    host(f"ip link del {NEAR}")
    become(lab, "blue", "gone")
    require(a.run("true").status == 0, "the guest is gone too")
    make_wire()
    become(lab, "blue", "up")
    require(not uplink(lab, "blue")["warning"], f"{uplink(lab, 'blue')}")
    # The far end's carrier is a moment later; the guest knows another MAC by that address.
    a.run("ip neigh flush all")
    wait_for(lambda: host(f"ip netns exec {NETNS} ping -q -c 1 -W 1 {a.address()}"), 30,
             "an echo through the new interface")
    echoes(lab, "eth0", f"ip netns exec {NETNS} ", {4: OTHER, 6: OTHER6})


def tap_again(lab):
    """Somebody deletes the host's interface: it is made again, with its address."""
    host(f"ip link del {RED}")
    become(lab, "red", "gone")
    become(lab, "red", "up")
    echoes(lab, "eth1", "", {4: HOST["red"]})


def taps_gone(_lab):
    for name in (RED, GREEN):
        require(not os.path.exists(f"/sys/class/net/{name}"), f"{name} is still there")


def main():
    story = stories.Story("uplink", __doc__)
    if os.geteuid():
        raise SystemExit("this story makes network interfaces: run it as root")
    host(f"ip netns add {NETNS}")
    try:
        make_wire()
        nics = [{"network": "blue", **BOTH}, {"network": "red"}, {"network": "green"}]
        links = {"blue": {"interface": NEAR}, "red": {"tap": RED, "address": HOST["red"]},
                 "green": {"tap": GREEN, "address": HOST["green"], "checksum": "off"}}
        with story.lab({"a": {"nics": nics}}, networks=("blue", "red", "green"),
                       uplinks=links) as lab:
            story.check("all uplinks are up", all_up, lab)
            story.check("external, VF", external, lab, "vf")
            story.check("internal, VF", internal, lab, "vf", "eth1", "red")
            story.check("internal without checksum, VF", internal, lab, "vf", "eth2", "green")
            story.check("the VF is revoked", synthetic, lab)
            story.check("external, synthetic", external, lab, "synthetic")
            story.check("the VF is back", accelerated, lab)
            story.check("the interface goes and comes back", down_and_back, lab)
            story.check("the TAP is made again", tap_again, lab)
        story.check("the TAPs are gone with the lab", taps_gone, None, always=True)
    finally:
        host(f"ip link del {NEAR}", check=False)
        host(f"ip netns del {NETNS}", check=False)
    return story.end()


if __name__ == "__main__":
    stories.run(main)
