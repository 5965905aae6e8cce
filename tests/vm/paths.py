# SPDX-License-Identifier: BSD-2-Clause
"""The two paths of a vNIC, as the host counts them and as a guest sees them.

In a guest a pair is three interfaces: eth0 the master (net_failover), eth0nsby the standby
(virtio_net), eth0vf the primary (mana); guest/rootfs/usr/lib/hvlab/nics names them.
"""

from lab import PORT, require, wait_for

BOTH = {"synthetic": "virtio"}
SYNTHETIC = {"synthetic": "virtio", "vf": "off"}
VF_ONLY = {"synthetic": "none"}


def vf(vm, name="eth0"):
    """What vf-list says of the VF of a NIC."""
    found = vm.lab.control.call("vf-list", vm=vm.name)["vfs"]
    return next(v for v in found if v["vnic"] == f"{vm.name}/{name}")


def wait_vf(vm, state, name="eth0", deadline=60, pending=False):
    """Until the VF is in that state and nothing is under way."""
    def there():
        found = vf(vm, name)
        require(found["state"] == state and found["pending"] == pending and not found["busy"],
                f"{found['state']}, pending {found['pending']}, busy {found['busy']}")
        return found
    return wait_for(there, deadline, f"the VF of {vm.name}/{name} is {state}")


def revoke(vm, name="eth0", timeout=60, **options):
    return vm.lab.control.call("vf-revoke", timeout=timeout, vnic=f"{vm.name}/{name}", **options)


def restore(vm, name="eth0", timeout=90, **options):
    return vm.lab.control.call("vf-restore", timeout=timeout, vnic=f"{vm.name}/{name}", **options)


def steps(answer):
    """The names of an answer's steps, in order."""
    return [step["step"] for step in answer["steps"]]


def carried(vm, name="eth0"):
    """{path: (packets that left the guest, packets that reached it)} as the host counts."""
    return {path: (port["tx_packets"], port["rx_packets"])
            for path, port in vm.stats(name)["paths"].items()}


def figure(vm, dev, which):
    """A counter of an interface in the guest."""
    return int(vm.out(f"cat /sys/class/net/{dev}/statistics/{which}"))


def exists(vm, dev):
    return not vm.run(f"[ -e /sys/class/net/{dev} ]", check=False).status


def driver(vm, dev):
    return vm.out(f"basename $(readlink /sys/class/net/{dev}/device/driver)")


def wait_pair(vm, name="eth0", deadline=60):
    """Until the guest uses the VF of a pair: enslaved, up, under its name."""
    wait_vf(vm, "driven", name, deadline)
    vm.eventually(f"[ -e /sys/class/net/{name}vf ] && "
                  f"[ $(cat /sys/class/net/{name}vf/operstate) = up ] && "
                  f"[ $(basename $(readlink /sys/class/net/{name}vf/master)) = {name} ]", deadline,
                  f"{name}vf is up and {vm.name}/{name}'s")


def travels(vm, peer, path, name="eth0", peer_nic="eth0", family=4):
    """Traffic of a vNIC takes that path, both ways, by the host's counters and by the guest's."""
    other = {"vf": "synthetic", "synthetic": "vf"}[path]
    dev = {"vf": f"{name}vf", "synthetic": f"{name}nsby"}[path]
    if not exists(vm, dev):
        dev = name      # no pair: the NIC is this path alone
    vm.run(f"ping -{family} -q -c 1 -W 20 {peer.address(family, peer_nic)}")      # neighbours know each other
    before, guest = carried(vm, name), [figure(vm, dev, w) for w in ("tx_packets", "rx_packets")]
    vm.run(f"ping -{family} -q -c 10 -i 0.05 -W 20 {peer.address(family, peer_nic)}")
    after = carried(vm, name)
    now = [figure(vm, dev, w) for w in ("tx_packets", "rx_packets")]
    moved = {p: (after[p][0] - before[p][0], after[p][1] - before[p][1]) for p in after}
    # ping ends twice the longest round trip after its last request: an answer may come later
    require(min(moved[path]) >= 8, f"10 echoes and the paths moved {moved}")
    require(other not in moved or max(moved[other]) < 8, f"10 echoes and the paths moved {moved}")
    require(now[0] - guest[0] >= 8 and now[1] - guest[1] >= 8,
            f"{dev} counted {now}, before {guest}")


def talk(lab, first="a", second="b", size=1 << 20, name="eth0"):
    """Ping and TCP, both families, both ways."""
    a, b = lab.vm(first), lab.vm(second)
    for src, dst in ((a, b), (b, a)):
        src.run(f"ping -q -c 2 -i 0.2 -W 10 {dst.address(4, name)}")
        src.run(f"ping -6 -q -c 2 -i 0.2 -W 10 {dst.address(6, name)}")
    a.peer(f"send {b.address(4, name)} {PORT} {size} 2")
    b.peer(f"send {a.address(6, name)} {PORT} {size} 2")


def boot_id(vm):
    return vm.out("cat /proc/sys/kernel/random/boot_id")


def reboot(vm, deadline=300):
    """From inside; back when its NICs are set up again."""
    before = boot_id(vm)
    vm.lab.control.call("vm-reboot", timeout=deadline + 10, vm=vm.name, timeout_ms=deadline * 1000)
    require(boot_id(vm) != before, "the same boot")
    for nic in vm.status()["vnics"]:
        vm.wait_configured(nic["name"])


def give_peers(lab):
    for vm in lab.vms():
        vm.give_peer()
