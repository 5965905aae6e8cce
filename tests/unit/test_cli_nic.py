#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Claims about hvlab nic and hvlab vf: what they ask the daemon, what they print, how they fail.

The daemon is cli/fake.py.
"""

import json
import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli"))
sys.dont_write_bytecode = True

from base import WAIT, CliTest  # noqa: E402
from fake import Refuse, status  # noqa: E402


def nic(name, **more):
    """A NIC as nic-add returns it and nic-list lists it."""
    return {"id": f"a/{name}", "vm": "a", "name": name, "network": "blue",
            "mac": "00:15:5d:00:00:07", "mtu": 1500, "queues": 16, "weight": 100,
            "moderation": "off", "link": True, "receive": "vf",
            "addresses": ["10.0.0.9/24"], "vf": {"state": "driven"},
            "synthetic": {"state": "driven"}, **more}


STEPS = [{"step": "plugged", "ms": 12.25}, {"step": "driven", "ms": 480.0}]


class NicTest(CliTest):
    """hvlab nic."""

    def adding(self, **more):
        def add(args, _fds, _conn):
            return {"nic": nic(args.get("name", "eth1")), "steps": STEPS}
        return self.fake({"nic-add": add, **more})

    def test_add_asks_for_no_more_than_was_said(self):
        daemon = self.adding()
        self.check(self.hvlab("nic", "add", "a"), 0, out="a/eth1 added: network blue, MAC 00:15")
        self.assertEqual(daemon.seen("nic-add"), [{"vm": "a", "wait": False}])

    def test_add_passes_every_option_on(self):
        daemon = self.adding()
        done = self.hvlab("nic", "add", "a", "--network", "blue", "--name", "eth5", "--mac",
                          "02:00:00:00:00:01", "--ip", "10.0.0.9", "--ip6", "none", "--queues",
                          "4", "--mtu", "1400", "--vf", "off", "--synthetic", "virtio",
                          "--weight", "50", "--moderation", "adaptive", "--wait=2.5")
        self.check(done, 0, out="      12.2 ms  plugged\n     480.0 ms  driven\n")
        self.assertEqual(daemon.seen("nic-add"), [{
            "vm": "a", "network": "blue", "name": "eth5", "mac": "02:00:00:00:00:01",
            "ip": "10.0.0.9", "ip6": "none", "queues": 4, "mtu": 1400, "vf": False,
            "synthetic": "virtio", "weight": 50, "moderation": "adaptive", "wait": True,
            "timeout_ms": 2500}])

    def test_add_as_json(self):
        self.adding()
        value = json.loads(self.hvlab("nic", "add", "a", "--json", "--wait").out)
        self.assertEqual(value, {"nic": nic("eth1"), "steps": STEPS})
        values = json.loads(self.hvlab("nic", "add", "a", "--json", "--count", "1").out)
        self.assertEqual(values, [{"nic": nic("eth1"), "steps": STEPS}])

    def test_several_are_asked_for_at_once(self):
        """No answer before every request is there: one after the other would hang."""
        barrier = threading.Barrier(7, timeout=WAIT)

        def add(_args, _fds, _conn):
            return {"nic": nic(f"eth{barrier.wait() + 1}"), "steps": []}
        add.slow = True
        daemon = self.fake({"nic-add": add})
        done = self.hvlab("nic", "add", "a", "--count", "7")
        self.check(done, 0, out="a/eth7 added")
        self.assertEqual(len(daemon.seen("nic-add")), 7)
        self.assertEqual(done.out.count(" added"), 7)

    def test_some_of_several_may_fail(self):
        asked = []

        def add(_args, _fds, _conn):
            asked.append(1)
            if len(asked) == 2:
                raise Refuse("InvalidState", "VM a: all its root ports are taken",
                             hint="give the VM more spare_nics")
            return {"nic": nic(f"eth{len(asked)}"), "steps": []}
        self.fake({"nic-add": add})
        done = self.hvlab("nic", "add", "a", "--count", "3", "--json")
        self.check(done, 1, err="root ports are taken\nhvlab: remedy: give the VM more spare_nics")
        self.assertEqual([v["nic"]["name"] for v in json.loads(done.out)], ["eth1", "eth3"])

    def test_a_refused_add_says_why(self):
        def add(_args, _fds, _conn):
            raise Refuse("Timeout", "a/eth1: the guest has not taken it", hint="ip link set up")
        self.fake({"nic-add": add})
        done = self.hvlab("nic", "add", "a", "--wait")
        self.check(done, 1, err="a/eth1: the guest has not taken it\nhvlab: remedy: ip link set")
        self.assertEqual(done.out, "")

    def test_del(self):
        daemon = self.fake({"nic-del": lambda a, f, c: {"steps": STEPS},
                            "query-status": lambda a, f, c: status()})
        done = self.hvlab("nic", "del", "a/eth1", "b")
        self.check(done, 0)
        self.assertEqual(done.out, "")
        self.assertEqual(daemon.seen("nic-del"), [{"vnic": "a/eth1", "wait": False},
                                                  {"vnic": "b/eth0", "wait": False}])
        self.check(self.hvlab("nic", "del", "a/eth1", "--wait=3"), 0, out="12.2 ms  plugged")
        self.assertEqual(daemon.seen("nic-del")[2], {"vnic": "a/eth1", "wait": True,
                                                     "timeout_ms": 3000})
        value = json.loads(self.hvlab("nic", "del", "a/eth1", "--wait", "--json").out)
        self.assertEqual(value, {"vnic": "a/eth1", "steps": STEPS})
        values = json.loads(self.hvlab("nic", "del", "a/eth1", "a/eth2", "--json").out)
        self.assertEqual([v["vnic"] for v in values], ["a/eth1", "a/eth2"])

    def test_del_of_an_unknown_vm(self):
        daemon = self.fake({"query-status": lambda a, f, c: status()})
        self.check(self.hvlab("nic", "del", "z"), 1, err='there is no VM "z"')
        self.assertEqual(daemon.seen("nic-del"), [])

    def test_set(self):
        daemon = self.fake({"nic-set": lambda a, f, c: {"nic": nic("eth0"), "steps": []}})
        self.check(self.hvlab("nic", "set", "a/eth0", "--weight", "0", "--wait"), 0)
        self.check(self.hvlab("nic", "set", "a/eth0", "--vf", "on", "--queues", "2",
                              "--moderation", "high", "--link", "down"), 0)
        self.assertEqual(daemon.seen("nic-set"), [
            {"vnic": "a/eth0", "weight": 0, "wait": True},
            {"vnic": "a/eth0", "vf": True, "queues": 2, "moderation": "high", "link": False,
             "wait": False}])

    def test_port_features(self):
        daemon = self.adding(**{"nic-set": lambda a, f, c: {"nic": nic("eth0"), "steps": []}})
        self.check(self.hvlab("nic", "set", "a/eth0", "--vlan", "trunk 10-20 native 1",
                              "--mac-spoofing", "off", "--dhcp-guard", "on", "--router-guard",
                              "off", "--mirror", "source", "--storm-pps", "100", "--max-mbps",
                              "200", "--min-mbps", "10", "--min-weight", "3", "--offload",
                              "off", "--offload-flows", "9"), 0)
        features = {"vlan": "trunk 10-20 native 1", "mac_spoofing": False, "dhcp_guard": True,
                    "router_guard": False, "mirror": "source", "storm_pps": 100,
                    "max_mbps": 200, "min_mbps": 10, "min_weight": 3,
                    "offload": False, "offload_flows": 9}
        self.assertEqual(daemon.seen("nic-set"), [
            {"vnic": "a/eth0", **features, "wait": False}])
        self.check(self.hvlab("nic", "add", "a", "--vlan", "access 7", "--mirror", "none"), 0)
        self.assertEqual(daemon.seen("nic-add"), [
            {"vm": "a", "vlan": "access 7", "mirror": "none", "wait": False}])
        for args, text in ((["--mirror", "both"], '"both" is none of none, source, destination'),
                           (["--mac-spoofing", "no"], '"no" is none of on, off'),
                           (["--storm-pps", "-1"], "--storm-pps"),
                           (["--max-mbps", "4000001"], "--max-mbps"),
                           (["--min-weight", "101"], "--min-weight"),
                           (["--offload-flows", "0"], "--offload-flows")):
            self.check(self.hvlab("nic", "set", "a/eth0", *args), 2, err=text)
        self.check(self.hvlab("nic", "del", "a/eth0", "--vlan", "none"), 2, err="--vlan")

    def test_list(self):
        nics = {"nics": [nic("eth0"), nic("eth1", vf=None, receive="synthetic")]}
        daemon = self.fake({"nic-list": lambda a, f, c: nics})
        done = self.hvlab("nic", "list")
        self.check(done, 0, out="a/eth0")
        self.assertRegex(done.out, r"a/eth1 +blue +00:15:5d:00:00:07 +- +driven +synthetic +up")
        self.assertEqual(json.loads(self.hvlab("nic", "list", "a", "--json").out), nics)
        self.assertEqual(daemon.seen("nic-list")[1], {"vm": "a"})


def vf(vnic, **more):
    """A VF as vf-list lists it."""
    return {"vnic": vnic, "mac": "00:15:5d:00:00:07", "state": "driven", "pending": False,
            "busy": False, "receive": "vf", "since_ms": 1234, "operation": None,
            "not_driven": False, "revocations": 3, "restorations": 3, "failures": 0,
            "synthetic": "driven", "last": None, **more}


class VfTest(CliTest):
    """hvlab vf."""

    def test_revoke(self):
        daemon = self.fake({"vf-revoke": lambda a, f, c: {"state": "revoked", "pending": False,
                                                          "steps": STEPS}})
        done = self.hvlab("vf", "revoke", "a/eth0")
        self.check(done, 0)
        self.assertEqual(done.out, "")
        self.check(self.hvlab("vf", "revoke", "a/eth0", "--way", "abrupt", "--drain", "1",
                              "--quiet", "2", "--deadline", "3", "--no-escalate", "--wait=9"), 0,
                   out="the VF is revoked\n      12.2 ms  plugged\n")
        self.assertEqual(daemon.seen("vf-revoke"), [
            {"vnic": "a/eth0", "wait": False},
            {"vnic": "a/eth0", "way": "abrupt", "drain_ms": 1, "quiet_ms": 2, "deadline_ms": 3,
             "no_escalate": True, "wait": True}])

    def test_a_revocation_by_force_is_told(self):
        self.fake({"vf-revoke": lambda a, f, c: {"state": "revoked", "pending": True,
                                                 "steps": []}})
        done = self.hvlab("vf", "revoke", "a/eth0", "--wait")
        self.check(done, 0, out="QEMU still has the device")
        value = json.loads(self.hvlab("vf", "revoke", "a/eth0", "--wait", "--json").out)
        self.assertTrue(value["pending"])

    def test_restore(self):
        daemon = self.fake({"vf-restore": lambda a, f, c: {"state": "driven", "pending": False,
                                                           "steps": STEPS},
                            "query-status": lambda a, f, c: status()})
        self.check(self.hvlab("vf", "restore", "a", "--link-delay", "1", "--hold", "2",
                              "--wait=1.5"), 0, out="the VF is driven")
        self.assertEqual(daemon.seen("vf-restore"), [
            {"vnic": "a/eth0", "link_delay_ms": 1, "hold_ms": 2, "deadline_ms": 1500,
             "wait": True}])

    def test_refusals_name_object_and_remedy(self):
        def refuse(_args, _fds, _conn):
            raise Refuse("Busy", "a/eth0: the VF is draining", hint="hvlab vf list")
        self.fake({"vf-revoke": refuse, "vf-restore": refuse})
        for word in ("revoke", "restore"):
            self.check(self.hvlab("vf", word, "a/eth0"), 1,
                       err="a/eth0: the VF is draining\nhvlab: remedy: hvlab vf list")

    def test_list(self):
        vfs = {"vfs": [vf("a/eth0"),
                       vf("b/eth0", state="offered", not_driven=True, last={
                           "operation": "restore", "rc": -110, "why": "not in time",
                           "steps": []})]}
        daemon = self.fake({"vf-list": lambda a, f, c: vfs})
        done = self.hvlab("vf", "list")
        self.check(done, 0, out="b/eth0: the guest sees the VF and does not drive it\n")
        self.assertIn("b/eth0: the last restore failed: not in time\n", done.out)
        self.assertRegex(done.out, r"a/eth0 +driven +1.2 s +- +no +vf +driven +3 +3 +0")
        self.assertEqual(json.loads(self.hvlab("vf", "list", "--json").out), vfs)
        self.hvlab("vf", "list", "a")
        self.assertEqual(daemon.seen("vf-list")[-1], {"vm": "a"})


class MigrateTest(CliTest):
    """hvlab migrate."""

    def test_migrate(self):
        daemon = self.fake({"vm-migrate": lambda a, f, c: {"steps": STEPS},
                            "vm-migrate-cancel": lambda a, f, c: {}})
        self.check(self.hvlab("migrate", "a", "--vf", "failover", "--wait=5"), 0,
                   out="12.2 ms  plugged")
        self.check(self.hvlab("migrate", "a"), 0)
        self.check(self.hvlab("migrate", "a", "--cancel"), 0)
        self.assertEqual(daemon.seen("vm-migrate"), [
            {"vm": "a", "vf": "failover", "wait": True, "timeout_ms": 5000},
            {"vm": "a", "wait": False}])
        self.assertEqual(daemon.seen("vm-migrate-cancel"), [{"vm": "a"}])

    def test_wrong_usage(self):
        self.check(self.hvlab("migrate"), 2, err="VM missing")
        self.check(self.hvlab("migrate", "a", "--vf", "x"), 2, err='"x" is none of refuse')
        self.check(self.hvlab("migrate", "a", "--cancel", "--wait"), 2, err="stands alone")

    def test_a_refusal(self):
        def refuse(_args, _fds, _conn):
            raise Refuse("InvalidState", "VM a: the VF of a/eth0 is attached", hint="failover")
        self.fake({"vm-migrate": refuse})
        self.check(self.hvlab("migrate", "a"), 1, err="is attached\nhvlab: remedy: failover")


if __name__ == "__main__":
    unittest.main()
