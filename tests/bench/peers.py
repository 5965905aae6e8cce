# SPDX-License-Identifier: BSD-2-Clause
"""DPDK's testpmd and Open vSwitch with DPDK, unpacked privately for scripts/bench paths.

Installing dpdk-dev would bring an init system and udev to a machine that has none, and Open
vSwitch would start a service. So both are unpacked into the cache of scripts/parts, with their
own libraries and loader, and run from there. Nothing outside the cache changes.
"""

import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))), "scripts"))

from partslib.archive import Archive, unpack  # noqa: E402  (the path is set above)
from partslib.common import run, say  # noqa: E402

SUITE = "bookworm"
ABI = "23"          # of DPDK 22.11

# What testpmd is linked with, and the drivers it loads.
LIBRARIES = """bitratestats bpf bus-auxiliary bus-dpaa bus-pci bus-vdev cmdline common-dpaax
    common-iavf common-mlx5- crypto-scheduler cryptodev eal ethdev eventdev gro gso hash ip-frag
    kvargs latencystats mbuf mempool mempool-dpaa mempool-ring meter metrics net net-bnxt net-bond
    net-dpaa net-i40e net-ice net-ixgbe net-mlx5- net-vhost net-virtio pcapng pci pdump rcu
    reorder ring sched security telemetry timer vhost""".split()
DROP = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/perl5",
        "usr/lib/python3", "var", "etc", "bin/systemctl")

TESTPMD = "usr/bin/dpdk-testpmd"
VSWITCHD = "usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"


class Peers:
    """The unpacked tree and how to run what is in it."""

    def __init__(self, top, part):
        self.root = os.path.join(top, "root")
        self.lib = os.path.join(self.root, "usr/lib/x86_64-linux-gnu")
        self.dpdk = part["dpdk"]
        self.ovs = part["ovs"]

    def command(self, program, *args):
        """argv of a program of the tree; exec keeps the process id."""
        return [os.path.join(self.root, "usr/lib64/ld-linux-x86-64.so.2"), "--inhibit-cache",
                "--library-path", self.lib, os.path.join(self.root, program), *args]

    def testpmd(self, *args):
        """argv of testpmd, with the two drivers it needs."""
        drivers = [x for name in ("bus_vdev", "mempool_ring", "net_vhost", "net_virtio")
                   for x in ("-d", os.path.join(self.lib, f"librte_{name}.so.{ABI}"))]
        return self.command(TESTPMD, *drivers, *args)

    @property
    def ovs_share(self):
        """The folder with the database's schema."""
        return os.path.join(self.root, "usr/share/openvswitch")


def flatten(root):
    """Where the packages still use /lib and /lib64 beside /usr/lib: one library folder, loader."""
    for name in ("lib", "lib64"):
        old = os.path.join(root, name)
        if not os.path.isdir(old) or os.path.islink(old):
            continue
        shutil.copytree(old, os.path.join(root, "usr", name), symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(old)
    loader = os.path.join(root, "usr/lib64/ld-linux-x86-64.so.2")
    real = os.path.join(root, "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    if os.path.exists(real):    # the link is absolute: /lib/x86_64-linux-gnu/...
        os.makedirs(os.path.dirname(loader), exist_ok=True)
        if os.path.lexists(loader):
            os.unlink(loader)
        os.symlink("../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", loader)


def get(cache):
    """The peers; downloads about 60 MB once."""
    part = cache.read("peers")
    if not part or part.get("suite") != SUITE:
        cache.lock()
        say("the peers (dpdk-dev, openvswitch-switch-dpdk) are not here: unpacking them "
            f"privately from {SUITE}; nothing is installed")
        archive = Archive(cache)
        wanted = [f"librte-{name}{ABI}" for name in LIBRARIES] + [
            "openvswitch-switch-dpdk", "openvswitch-switch", "openvswitch-common", "libbsd0",
            "libpcap0.8", "libjansson4", "ibverbs-providers"]
        debs, paths = archive.fetch(lambda _a: wanted, SUITE, "the peers", depends=True)
        more, tool = archive.fetch(lambda _a: ["dpdk-dev"], SUITE, "testpmd", depends=False)
        cache.need_space(4 * sum(d.size for d in debs + more), "the peers")
        with cache.staging() as tmp:
            root = os.path.join(tmp, "root")
            os.mkdir(root)
            unpack(paths + tool, root, "the peers")
            for name in DROP:
                shutil.rmtree(os.path.join(root, name), ignore_errors=True)
            flatten(root)
            version = {d.package: d.version for d in debs + more}
            part = {"suite": SUITE, "dpdk": version["dpdk-dev"],
                    "ovs": version["openvswitch-switch-dpdk"]}
            probe = Peers(tmp, part)
            run(probe.testpmd("-h"), "starting testpmd")
            said = run(probe.command(VSWITCHD, "--version"), "starting Open vSwitch")
            if not re.search(r"DPDK", said):
                run(["false"], "Open vSwitch is built without DPDK")
            cache.install(tmp, part, "peers")
    return Peers(cache.path("peers"), part)
