#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Claims about hvlab fabric, hvlab check of a fleet, and the choice of a host: what they print and
how they fail. The daemon is cli/fake.py.
"""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli"))
sys.dont_write_bytecode = True

from base import CliTest  # noqa: E402
from fake import Refuse, status  # noqa: E402

FLEET = """fabric: {hosts: [{name: h1, address: 192.0.2.1}, {name: h2, address: 192.0.2.2}]}
networks: [{name: o, mode: vxlan}]
vms: [{name: a, host: h1}, {name: b, host: h2}]
"""


def fabric(**more):
    """What query-fabric returns."""
    return {"host": "h1", "registry": "etcd", "state": "synced", "reason": None, "since_ms": 91000,
            "retry_ms": None, "heard_ms": 1200, "n_guests": 1, "refused": 0,
            "etcd": {"endpoint": "http://192.0.2.9:2379"},
            "hosts": [{"name": "h1", "address": "192.0.2.1", "state": "here", "since_ms": 91000,
                       "guests": 0, "parts": {}},
                      {"name": "h2", "address": "192.0.2.2", "state": "dead", "since_ms": 4000,
                       "guests": 1, "parts": {}}],
            "networks": [{"name": "o", "mode": "vxlan", "vni": 100, "macs": 1,
                          "floods": ["192.0.2.2"]},
                         {"name": "r", "mode": "routed", "gateway": "10.100.0.1", "missing": 1,
                          "routes": [{"prefix": "10.100.1.0/24", "via": "192.0.2.2"}]}],
            "tunnel": None,
            "guests": [{"vm": "b", "nic": "eth0", "network": "o", "mac": "00:15:5d:00:00:02",
                        "ip": "10.0.0.5", "ip6": "fd00::5", "host": "h2"}], **more}


class FabricTest(CliTest):
    """hvlab fabric."""

    def show(self, answer, *words):
        self.fake({"query-fabric": lambda a, f, c: answer})
        return self.hvlab("fabric", *words)

    def test_hosts_networks_and_guests(self):
        done = self.show(fabric())
        self.check(done, 0, out="Host h1, registry etcd at http://192.0.2.9:2379: synced for 91.0 s")
        self.assertRegex(done.out, r"h2 +192\.0\.2\.2 +dead +4\.0 s +1\n")
        self.assertRegex(done.out, r"o +vxlan +100 +1 +192\.0\.2\.2")
        self.assertRegex(done.out, r"r +routed .*10\.100\.0\.1 +10\.100\.1\.0/24 by 192\.0\.2\.2 +1")
        self.assertRegex(done.out, r"b/eth0 +o +00:15:5d:00:00:02 +10\.0\.0\.5 +fd00::5 +h2")

    def test_a_lost_etcd_says_what_goes_on(self):
        done = self.show(fabric(state="lost", reason="192.0.2.9:2379: no connection"), "show")
        self.check(done, 0, out="lost for 91.0 s, last heard of 1.2 s ago: 192.0.2.9:2379: no conn")
        self.assertIn("Packets go by the last that was known.", done.out)

    def test_static(self):
        self.check(self.show(fabric(state="static", registry="static", heard_ms=None)), 0,
                   out="Host h1, registry static: what the lab file says")

    def test_json_is_the_daemons(self):
        self.assertEqual(json.loads(self.show(fabric(), "--json").out), fabric())

    def test_no_fabric(self):
        def refuse(_args, _fds, _conn):
            raise Refuse("InvalidState", "lab x has no fabric", hint="the key fabric")
        self.fake({"query-fabric": refuse})
        self.check(self.hvlab("fabric"), 1, err="lab x has no fabric")

    def test_wrong_words(self):
        self.check(self.hvlab("fabric", "shwo"), 2, err='did you mean "show"?')
        self.check(self.hvlab("fabric", "show", "x"), 2)

    def test_status_tells_of_it(self):
        told = status()
        told["fabric"] = {"host": "h1", "registry": "etcd", "state": "lost", "reason": "gone",
                          "since_ms": 5}
        self.fake({"query-status": lambda a, f, c: told})
        self.check(self.hvlab("status"), 0,
                   out="fabric  host h1, registry etcd, lost: gone; packets go by the last that")


class FleetTest(CliTest):
    """A lab file for several hosts."""

    def test_check_shows_hosts_and_modes(self):
        done = self.hvlab("check", self.write("fleet.yaml", FLEET))
        self.check(done, 0, out="is valid")
        self.assertRegex(done.out, r"h2 +192\.0\.2\.2\n")
        self.assertRegex(done.out, r"o +10\.0\.0\.0/24 .* vxlan")
        self.assertRegex(done.out, r"b +6\.12 .* h2\n")

    def test_up_wants_to_know_which_host(self):
        path = self.write("fleet.yaml", FLEET)
        self.check(self.hvlab("up", path), 1, err="--host says which: h1, h2")
        self.check(self.hvlab("up", "--host", "h7", path), 1, err='"h7" is no host of lab fleet')

    def test_a_lab_without_hosts_takes_none(self):
        path = self.write("one.yaml", "vms: [{name: a}]\n")
        self.check(self.hvlab("up", "--host", "h1", path), 1, err="has no fabric")


if __name__ == "__main__":
    unittest.main()
