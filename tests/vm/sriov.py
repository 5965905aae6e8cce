#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A VF beside its synthetic NIC, bonded by the guest (net_failover), through everything that LISA
asks of SR-IOV guests; the checks have the names of its tests.
"""

import re

import story as stories
from flows import Flows
from lab import PORT, require, wait_for
from paths import (BOTH, boot_id, carried, driver, exists, figure, give_peers, reboot, restore,
                   revoke, talk, travels, vf, wait_pair, wait_vf)

NICS = ("eth0", "eth1")
COPY = 200 << 20        # LISA's copy is 200 MB
TOGGLES = 4


def services(lab):
    """Drivers loaded, every NIC a pair of three interfaces that are up, nothing failed."""
    for vm in lab.vms():
        modules = vm.out("cut -d' ' -f1 /proc/modules").split()
        for module in ("mana", "virtio_net", "net_failover", "failover"):
            require(module in modules, f"{vm.name}: {module} is not loaded: {modules}")
        require(driver(vm, "eth0nsby") == "virtio_net", "the standby is no virtio_net")
        for nic in vm.vnic()["name"], "eth1":
            for dev in (nic, f"{nic}nsby", f"{nic}vf"):
                vm.eventually(f"[ $(cat /sys/class/net/{dev}/operstate) = up ]", 30,
                              f"{vm.name}: {dev} is up")
            info = vm.out(f"ethtool -i {nic}")
            require("driver: net_failover\n" in info, f"{nic} is no master: {info}")


def basic(lab):
    """As many VFs as NICs, the module bound to each, each NIC its address, on the master alone."""
    for vm in (lab.vm("a"), lab.vm("b")):
        bound = vm.out("ls -d /sys/bus/pci/drivers/mana/*:*:*.* | wc -l")
        require(bound == str(len(NICS)), f"{vm.name}: {bound} VFs for {len(NICS)} NICs")
        for nic in NICS:
            wait_pair(vm, nic)
            require(driver(vm, f"{nic}vf") == "mana", "the module is another")
            vm.wait_configured(nic)
            mac = vm.vnic(nic)["mac"]
            for dev in (nic, f"{nic}nsby", f"{nic}vf"):
                require(vm.out(f"cat /sys/class/net/{dev}/address") == mac, f"{dev}: another MAC")
            extra = vm.out(f"ip -o addr show dev {nic}vf; ip -o addr show dev {nic}nsby")
            require(not extra, f"{vm.name}: a part of the pair has an address: {extra}")


def connection(lab, nics, size):
    """A copy raises the counters of the VF on both sides, and hardly the standby's."""
    a, b = lab.vm("a"), lab.vm("b")
    for nic in nics:
        host, guest = carried(a, nic), figure(a, f"{nic}vf", "tx_bytes")
        standby = figure(a, f"{nic}nsby", "tx_packets") + figure(a, f"{nic}nsby", "rx_packets")
        a.peer(f"send {b.address(4, nic)} {PORT} {size}", timeout=240)
        moved = [n - o for o, n in zip(host["vf"], carried(a, nic)["vf"])]
        other = [n - o for o, n in zip(host["synthetic"], carried(a, nic)["synthetic"])]
        require(moved[0] > size // 66000 and moved[1] > 10, f"{nic}: the host's VF moved {moved}")
        require(figure(a, f"{nic}vf", "tx_bytes") - guest > size, "the guest's VF did not count")
        # groups and neighbour discovery of the guest itself may use the standby
        require(sum(other) < 20, f"{nic}: the host's synthetic path moved {other}")
        after = figure(a, f"{nic}nsby", "tx_packets") + figure(a, f"{nic}nsby", "rx_packets")
        require(after - standby < 20, f"{nic}nsby moved {after - standby} packets")


def on_path(lab, path):
    a, b = lab.vm("a"), lab.vm("b")
    travels(a, b, path)
    travels(b, a, "vf")


def toggles(lab, times):
    """The host takes the VF away and gives it back; traffic never ends."""
    a, b = lab.vm("a"), lab.vm("b")
    index = a.out("cat /sys/class/net/eth0/ifindex /sys/class/net/eth0nsby/ifindex")
    with Flows(a, b, rate=50) as flows:
        for _ in range(times):
            answer = revoke(a)
            require(answer["state"] == "revoked" and not answer["pending"], f"{answer}")
            a.eventually("! [ -e /sys/class/net/eth0vf ]", 20)
            flows.goes_on()
            on_path(lab, "synthetic")
            restore(a)
            wait_pair(a)
            flows.goes_on()
            on_path(lab, "vf")
        require(not flows.dropped(), f"the switch dropped {flows.dropped()}")
        flows.end()
    require(a.out("cat /sys/class/net/eth0/ifindex /sys/class/net/eth0nsby/ifindex") == index,
            "the pair's interfaces are new ones")
    found = vf(a)
    require(found["revocations"] >= times and found["failures"] == 0, f"{found}")


def toggles_pci(lab, times):
    """The guest unbinds its driver and binds it again; traffic never ends."""
    a, b = lab.vm("a"), lab.vm("b")
    slot = a.out("basename $(readlink /sys/class/net/eth0vf/device)")
    with Flows(a, b, rate=50) as flows:
        for _ in range(times):
            a.run(f"echo {slot} >/sys/bus/pci/drivers/mana/unbind && "
                  "! [ -e /sys/class/net/eth0vf ]")
            wait_vf(a, "offered")
            flows.goes_on()
            on_path(lab, "synthetic")
            a.run(f"echo {slot} >/sys/bus/pci/drivers/mana/bind")
            wait_pair(a)
            flows.goes_on()
            on_path(lab, "vf")
        require(not flows.dropped(), f"the switch dropped {flows.dropped()}")
        flows.end()


def on_guest(lab):
    """VF down in the guest: what the guest sends goes over the standby, whose counters rise.

    It stays enslaved, and net_failover takes nothing from the standby while there is a primary
    (net_failover_handle_frame(): RX_HANDLER_EXACT): what the host delivers there arrives, is
    counted, and reaches no socket. hv_netvsc would take it. With the VF up again all is well.
    """
    a, b = lab.vm("a"), lab.vm("b")
    travels(a, b, "vf")
    a.run("ip link set eth0vf down")
    try:
        wait_vf(a, "offered")
        require(a.out("basename $(readlink /sys/class/net/eth0vf/master)") == "eth0",
                "the VF is not enslaved any more")
        wait_for(lambda: vf(a)["receive"] == "synthetic", 20, "the host delivers to the standby")
        host = carried(a)["synthetic"]
        before = {w: figure(a, "eth0nsby", w) for w in ("tx_packets", "rx_packets",
                                                         "rx_nohandler")}
        lost = a.run(f"ping -q -c 10 -i 0.1 -W 2 {b.address()}", check=False)
        moved = {w: figure(a, "eth0nsby", w) - n for w, n in before.items()}
        now = [n - o for o, n in zip(host, carried(a)["synthetic"])]
        require(moved["tx_packets"] >= 10 and now[0] >= 10,
                f"the standby did not send: {moved}, host {now}")
        require(moved["rx_packets"] >= 10 and now[1] >= 10,
                f"the standby did not receive: {moved}, host {now}")
        require(lost.status and "100% packet loss" in lost.out,
                f"net_failover takes frames from the standby after all: {lost}")
        require(moved["rx_nohandler"] >= 10, f"whoever dropped them did not say so: {moved}")
    finally:
        a.run("ip link set eth0vf up")
    wait_pair(a)
    talk(lab)
    on_path(lab, "vf")


def reload_modules(lab):
    """mana out and in under traffic: the pair goes on with what is left of it. Then virtio_net,
    which takes the pair with it: the lone VF is there, and all is put together again."""
    a, b = lab.vm("a"), lab.vm("b")
    with Flows(a, b, rate=50) as flows:
        a.run("modprobe -r mana && ! [ -e /sys/class/net/eth0vf ]")
        wait_vf(a, "offered")
        flows.goes_on()
        on_path(lab, "synthetic")
        a.run("modprobe mana")
        for nic in NICS:
            wait_pair(a, nic)
        flows.goes_on()
        require(not flows.dropped(), f"the switch dropped {flows.dropped()}")
        flows.end()
    on_path(lab, "vf")
    a.run("modprobe -r virtio_net && ! [ -e /sys/class/net/eth0nsby ]")
    require(exists(a, "eth0vf") and not exists(a, "eth0"), "the VF did not stay alone")
    wait_for(lambda: a.vnic()["synthetic"]["state"] != "driven", 20, "no synthetic driver")
    a.run("modprobe virtio_net")
    for nic in NICS:
        a.wait_configured(nic)
        wait_pair(a, nic)
    talk(lab)
    on_path(lab, "vf")


def offload_synced(lab):
    """A setting of the master stays over toggles and rules both paths: it segments by itself
    before it hands a packet to either. The parts' own settings are the drivers' each time."""
    a, b = lab.vm("a"), lab.vm("b")

    def big(path):
        """Packets left for the host to segment, of a transfer."""
        before = a.stats()["paths"][path]
        a.peer(f"send {b.address()} {PORT} {2 << 20}")
        after = a.stats()["paths"][path]
        require(after["tx_packets"] > before["tx_packets"] + 20, f"{path} carried nothing")
        return after["tx_gso"] - before["tx_gso"]

    for state in ("off", "on"):
        a.run(f"ethtool -K eth0 tso {state}")
        for path in ("vf", "synthetic"):
            if path == "synthetic":
                revoke(a)
            require(f"tcp-segmentation-offload: {state}" in a.out("ethtool -k eth0"),
                    f"the master forgot tso {state}")
            count = big(path)
            require(count > 10 if state == "on" else count == 0,
                    f"tso {state}, {path}: the host got {count} big packets")
        restore(a)
        wait_pair(a)
        require("tcp-segmentation-offload: on" in a.out("ethtool -k eth0vf"),
                "the new VF does not have its driver's settings")
        require(f"tcp-segmentation-offload: {state}" in a.out("ethtool -k eth0"),
                f"the master forgot tso {state}")


def interrupts(lab):
    """Many flows: every queue of the VF has an interrupt of its own, and each rises."""
    a, b = lab.vm("a"), lab.vm("b")
    slot = a.out("basename $(readlink /sys/class/net/eth0vf/device)")
    count = len(a.out("ls -d /sys/class/net/eth0vf/queues/rx-*").split())
    require(count >= 2, f"the VF has {count} queues")

    def counts():
        text = a.out("cat /proc/interrupts")
        found = re.findall(rf"^ *\d+:((?: +\d+)+) .*mana_(?:q|msi)\d+@pci:{slot}", text,
                           re.MULTILINE)
        return [sum(map(int, line.split())) for line in found]

    before = counts()
    require(len(before) == count, f"{len(before)} vectors for {count} queues")
    a.peer(f"send {b.address()} {PORT} 65536 64", timeout=240)
    b.peer(f"send {a.address(6)} {PORT} 65536 64", timeout=240)
    idle = [n for n, (o, w) in enumerate(zip(before, counts())) if w == o]
    require(not idle, f"vectors {idle} did not fire")


def rebooted(lab):
    """After a reboot as before it."""
    a = lab.vm("a")
    before = boot_id(a)
    reboot(a)
    require(boot_id(a) != before, "no new boot")
    for nic in NICS:
        wait_pair(a, nic)
    a.give_peer()
    basic(lab)
    connection(lab, NICS, 4 << 20)
    talk(lab)


def revoked_over_reboot(lab):
    """A VF that was taken away stays away over a reboot, and comes when it is given back."""
    a = lab.vm("a")
    revoke(a)
    reboot(a)
    require(vf(a)["state"] == "revoked", f"it is {vf(a)['state']}")
    require(not exists(a, "eth0vf"), "the guest sees a VF")
    a.give_peer()
    talk(lab)
    restore(a)
    wait_pair(a)
    on_path(lab, "vf")


def main():
    story = stories.Story("sriov", __doc__)
    whole = story.whole
    times = TOGGLES if whole else 1
    nics = [{"network": "blue", "queues": 4, **BOTH}, {"network": "green", **BOTH}]
    with story.lab({"a": {"nics": nics}, "b": {"nics": nics}}, networks=("blue", "green")) as lab:
        story.check("peers", give_peers, lab, always=True)
        story.check("verify_services_state", services, lab)
        story.check("verify_sriov_basic", basic, lab)
        size = COPY if whole else 8 << 20
        story.check("verify_sriov_single_vf_connection", connection, lab, NICS[:1], size)
        story.check("verify_sriov_max_vf_connection", connection, lab, NICS, size)
        story.check("verify_sriov_disable_enable", toggles, lab, times)
        story.check("verify_sriov_disable_enable_pci", toggles_pci, lab, times)
        story.check("verify_sriov_disable_enable_on_guest", on_guest, lab, capture="a/eth0")
        story.check("verify_sriov_reload_modules", reload_modules, lab)
        story.check("verify_sriov_ethtool_offload_setting", offload_synced, lab)
        story.check("verify_sriov_interrupts_change", interrupts, lab)
        story.check("verify_sriov_provision_with_max_nics_reboot", rebooted, lab)
        if whole:
            story.check("revoked over a reboot", revoked_over_reboot, lab)
    return story.end()


if __name__ == "__main__":
    stories.run(main)
