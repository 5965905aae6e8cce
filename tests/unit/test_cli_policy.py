#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Claims about hvlab policy and hvlab explain: what they send, print and refuse."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli"))
sys.dont_write_bytecode = True

from base import CliTest  # noqa: E402

GOOD = """nsgs:
  - name: g
    rules:
      - {name: Ssh, priority: 100, direction: inbound, access: allow, protocol: tcp,
         source: 10.0.0.0/8, destination_ports: 22}
tests:
  - {packet: "tcp 10.0.0.9 10.0.0.4:22", nsg: g, direction: inbound, expect: allow, rule: Ssh}
"""
BAD = """nsgs:
  - name: g
    rules:
      - {name: A, priority: 5, direction: inbound, access: allow, source: Storage}
"""
CHANGED = {"files": [], "nics": [], "asgs": {}, "changed": 2, "flushed": False}


class PolicyTest(CliTest):
    """hvlab policy, hvlab explain."""

    def test_apply_sends_the_files_and_where(self):
        seen = []
        self.fake({"policy-apply": lambda a, f, c: seen.append(a) or CHANGED})
        path = self.write("p.yaml", GOOD)
        done = self.hvlab("policy", "apply", path, "--network", "blue", "--nic", "a/eth0", "--only")
        self.check(done, 0, out="2 NICs changed; connections that exist stay")
        self.assertEqual(seen, [{"files": {path: GOOD}, "networks": ["blue"], "nics": ["a/eth0"],
                                 "only": True}])

    def test_a_wrong_file_is_not_sent(self):
        self.fake({})
        path = self.write("bad.yaml", BAD)
        done = self.hvlab("policy", "apply", path)
        self.check(done, 1, err="bad.yaml:4:")
        self.assertIn("5 is out of range", done.err)
        self.assertIn('the service tag "Storage" is not known', done.err)
        self.assertIn("2 mistakes", done.err)

    def test_files_of_no_place(self):
        self.check(self.hvlab("policy", "apply"), 2, err="name a policy file")
        self.check(self.hvlab("policy", "apply", "/nonexistent"), 1, err="cannot read")
        self.check(self.hvlab("policy", "remove"), 2, err="--all")
        self.check(self.hvlab("policy", "show", "--flush"), 2, err="--flush")

    def test_test_needs_no_daemon(self):
        path = self.write("p.yaml", GOOD)
        self.check(self.hvlab("policy", "test", path), 0, out="1 passed, 0 failed")
        path = self.write("p.yaml", GOOD.replace("expect: allow", "expect: deny"))
        self.check(self.hvlab("policy", "test", path), 1, out="deny expected, but allowed by")

    def test_explain_joins_the_packet(self):
        seen = []
        answer = {"packet": "tcp x -> y", "verdict": "deny", "why": "policy", "at": "b/eth0",
                  "way": "port", "path": [
                      {"port": "b/eth0", "direction": "inbound", "policy": True,
                       "verdict": "deny", "packet": "p",
                       "decided_by": {"layer": "nsg-nic", "group": "g", "rule": "R"},
                       "steps": [{"layer": "nsg-nic", "group": "g", "rule": "R",
                                  "priority": 100, "verdict": "deny", "decides": True}]}]}
        self.fake({"explain": lambda a, f, c: seen.append(a) or answer})
        done = self.hvlab("explain", "b/eth0", "--in", "tcp", "8.8.8.8:5", "10.0.0.5:22")
        self.check(done, 0, out="b/eth0 inbound: denied by nsg-nic/g/R")
        self.assertIn("It is denied at b/eth0 (policy).", done.out)
        self.assertEqual(seen, [{"vnic": "b/eth0", "packet": "tcp 8.8.8.8:5 10.0.0.5:22",
                                 "direction": "inbound"}])
        self.check(self.hvlab("explain", "a/eth0"), 2, err="then a packet")


if __name__ == "__main__":
    unittest.main()
