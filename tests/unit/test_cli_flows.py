#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Claims about hvlab flows and hvlab drops. See test_cli.py."""

import json
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli"))
sys.dont_write_bytecode = True

from base import WAIT, CliTest  # noqa: E402
from fake import Refuse, Then, event, status  # noqa: E402


def flow(**more):
    """A connection as query-flows tells it."""
    return {**{"vnic": "b/eth0", "proto": "tcp", "vlan": 0, "local": "10.0.0.5", "local_port": 22,
               "remote": "10.0.0.4", "remote_port": 49152, "origin": "inbound",
               "state": "established", "tx": {"packets": 9, "bytes": 1120},
               "rx": {"packets": 11, "bytes": 1340}, "age_ms": 5120, "idle_ms": 310,
               "expires_ms": 7999690, "offloaded": False, "stale": False, "kept": False,
               "mark": 0, "translated": None,
               "allowed_by": {"layer": "nsg-nic", "group": "web", "rule": "AllowSsh"}}, **more}


def pages(*answers):
    """query-flows: one answer after the other, with what they need to be followed."""
    left = list(answers)

    def handler(_args, _fds, _conn):
        flows = left.pop(0)
        return {"flows": flows, "more": bool(left), "next": f"0.0.{len(left)}" if left else None}
    return handler


class FlowsTest(CliTest):
    """flows"""

    def test_a_table(self):
        self.fake({"query-flows": pages([
            flow(),
            flow(proto="udp", local="fd00::5", remote="fd00::4", allowed_by=None, kept=True,
                 stale=True),
            flow(translated={"address": "192.0.2.1", "port": 1024}, offloaded=True)])})
        done = self.hvlab("flows")
        self.check(done, 0, out="10.0.0.5:22")
        lines = done.out.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertIn("nsg-nic/web/AllowSsh", lines[1])
        self.assertIn("[fd00::5]:22", lines[2])
        self.assertIn("kept, stale", lines[2])
        self.assertIn("as 192.0.2.1:1024, offloaded", lines[3])

    def test_none(self):
        self.fake({"query-flows": pages([])})
        self.check(self.hvlab("flows"), 0, out="no connections\n")

    def test_filters_go_to_the_daemon(self):
        daemon = self.fake({"query-flows": lambda a, f, c: {"flows": [], "more": False,
                                                            "next": None},
                            "query-status": lambda a, f, c: status()})
        self.check(self.hvlab("flows", "a", "--proto", "tcp", "--local", "10.0.0.0/24",
                              "--remote", "10.0.0.5:22", "--state", "new", "--offloaded", "no",
                              "--stale", "--kept"), 0)
        self.check(self.hvlab("flows", "a/eth0", "--remote", ":53", "--local", "[fd00::1]:80"), 0)
        self.check(self.hvlab("flows", "--remote", "fd00::1", "--limit", "5"), 0)
        self.assertEqual(daemon.seen("query-flows"), [
            {"vnic": "a/eth0", "proto": "tcp", "local": "10.0.0.0/24", "remote": "10.0.0.5",
             "remote_port": 22, "state": "new", "offloaded": False, "stale": True, "kept": True,
             "limit": 200},
            {"vnic": "a/eth0", "remote_port": 53, "local": "fd00::1", "local_port": 80,
             "limit": 200},
            {"remote": "fd00::1", "limit": 5}])

    def test_pages(self):
        daemon = self.fake({"query-flows": pages([flow()] * 1000, [flow()] * 1000, [flow()])})
        done = self.hvlab("flows", "--limit", "0", "--json")
        self.check(done, 0)
        value = json.loads(done.out)
        self.assertEqual((len(value["flows"]), value["more"]), (2001, False))
        self.assertEqual([a.get("from") for a in daemon.seen("query-flows")],
                         [None, "0.0.2", "0.0.1"])

    def test_enough_is_enough(self):
        daemon = self.fake({"query-flows": pages([flow()] * 1000, [flow()] * 200, [])})
        done = self.hvlab("flows", "--limit", "1200")
        self.check(done, 0, out="There are more")
        self.assertEqual([a["limit"] for a in daemon.seen("query-flows")], [1000, 200])

    def test_count(self):
        daemon = self.fake({"query-flows": lambda a, f, c: {"count": 12345}})
        self.check(self.hvlab("flows", "--count", "--proto", "udp"), 0, out="12345\n")
        self.assertEqual(daemon.seen("query-flows"), [{"proto": "udp", "count": True}])
        self.assertEqual(json.loads(self.hvlab("flows", "--count", "--json").out),
                         {"count": 12345})

    def test_flush(self):
        daemon = self.fake({"flows-flush": lambda a, f, c: {"cut": 1}})
        self.check(self.hvlab("flows", "flush", "a/eth0", "--remote", "10.0.0.5"), 0,
                   out="1 connection ended\n")
        self.check(self.hvlab("flows", "flush"), 0)
        self.assertEqual(daemon.seen("flows-flush"),
                         [{"vnic": "a/eth0", "remote": "10.0.0.5"}, {}])

    def test_wrong_usage(self):
        for args in (["--state", "nope"], ["--offloaded", "maybe"], ["--limit", "-1"],
                     ["--remote", "10.0.0.1:99999"], ["--local", "[fd00::1"], ["a", "b"],
                     ["flush", "--count"], ["flush", "--limit", "3"]):
            self.check(self.hvlab("flows", *args), 2)

    def test_refusals(self):
        def refuse(_args, _fds, _conn):
            raise Refuse("InvalidArgument", "argument 'remote' must be an address", hint="so it is")
        self.fake({"query-flows": refuse})
        self.check(self.hvlab("flows", "--remote", "x"), 1, err="argument 'remote'")


def stats(_args, _fds, _conn):
    """Of two NICs, one of which lost something."""
    quiet = {"policy": 0, "no-buffer": 0}
    return {"workers": [], "vnics": [
        {"id": "a/eth0", "vm": "a", "port": {"tx_drops": {"policy": 3, "no-buffer": 0},
                                             "rx_drops": quiet}},
        {"id": "b/eth0", "vm": "b", "port": {"tx_drops": quiet,
                                             "rx_drops": {"policy": 3, "no-buffer": 2}}}]}


def drop(**more):
    """The data of a DROP."""
    return {**{"time_ns": 1700000000123456789, "port": "b/eth0", "path": None,
               "direction": "inbound", "reason": "policy", "from": "a/eth0", "to": "b/eth0",
               "denied_by": {"layer": "nsg-nic", "group": "web", "rule": "DenyAll",
                             "generation": 4}, "repeated": 0,
               "packet": {"length": 74, "frames": 1, "vlan": 0, "bytes": "", "eth_type": 2048,
                          "src_mac": "00:15:5d:00:00:01", "dst_mac": "00:15:5d:00:00:02",
                          "proto": "tcp", "src": "10.0.0.4", "dst": "10.0.0.5",
                          "src_port": 49152, "dst_port": 23}}, **more}


class DropsTest(CliTest):
    """drops"""

    def test_counters(self):
        self.fake({"stats": stats})
        done = self.hvlab("drops")
        self.check(done, 0, out="hvlab explain")
        self.assertEqual([line.split()[:4] for line in done.out.splitlines()[1:]],
                         [["a/eth0", "outbound", "policy", "3"],
                          ["b/eth0", "inbound", "policy", "3"],
                          ["b/eth0", "inbound", "no-buffer", "2"]])
        done = self.hvlab("drops", "b", "--reason", "no-buffer", "--json")
        self.assertEqual([(d["vnic"], d["packets"]) for d in json.loads(done.out)["drops"]],
                         [("b/eth0", 2)])
        self.check(self.hvlab("drops", "a", "--reason", "no-buffer"), 0,
                   out="no packet was dropped")
        self.check(self.hvlab("drops", "c"), 1, err='there is no VM "c"')

    def follow(self, *events):
        def subscribe(args, _fds, conn):
            self.assertEqual(args, {"events": ["DROP"]})
            return Then({}, lambda: [event(conn, "DROP", data) for data in events])
        return self.fake({"stats": stats, "events-subscribe": subscribe})

    def test_following(self):
        self.follow(drop(),
                    drop(**{"from": None, "denied_by": None, "reason": "malformed",
                            "packet": {"length": 20, "frames": 1, "vlan": 0, "bytes": ""}}),
                    drop(repeated=77),
                    drop(packet=None, repeated=500),
                    {"lost": 9},
                    drop(packet=dict(drop()["packet"], proto="icmpv6", src="fd00::4",
                                     dst="fd00::5", type=128, code=0)),
                    drop())
        done = self.hvlab("drops", "--follow", "-n", "6")
        self.check(done, 0)
        lines = done.out.splitlines()
        self.assertRegex(lines[0], r"^\d\d:\d\d:\d\d\.123456  b/eth0 inbound  policy  tcp "
                                   r"10\.0\.0\.4:49152 > 10\.0\.0\.5:23, 74 bytes, from a/eth0, "
                                   r"denied by nsg-nic/web/DenyAll$")
        self.assertRegex(lines[1], "malformed, 20 bytes$")
        self.assertIn("(and 77 more before it)", lines[2])
        self.assertIn("500 more like those", lines[3])
        self.assertIn("9 drops could not be told", lines[4])
        self.assertIn("type 128", lines[5])
        self.assertEqual(len(lines), 7)

    def test_following_one(self):
        self.follow(drop(port="a/eth0"), drop(reason="no-buffer"), drop(port="b/eth01"),
                    drop(repeated=1), drop())
        done = self.hvlab("drops", "b/eth0", "-f", "--reason", "policy", "-n", "1", "--json")
        self.check(done, 0)
        self.assertEqual(json.loads(done.out)["data"]["repeated"], 1)

    def test_following_a_vm(self):
        self.follow(drop(port="bb/eth0"), drop(port="b/eth1", repeated=1))
        done = self.hvlab("drops", "b", "-f", "-n", "1", "--json")
        self.assertEqual(json.loads(done.out)["data"]["port"], "b/eth1")

    def test_ends(self):
        daemon = self.follow(drop())
        child = self.start("drops", "-f")
        self.assertIn(b"policy", child.stdout.readline())
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(WAIT), 0)
        child = self.start("drops", "-f")
        child.stdout.readline()
        daemon.close()
        self.assertEqual(child.wait(WAIT), 0)

    def test_a_time_limit(self):
        self.follow()
        self.check(self.hvlab("drops", "-f", "--timeout", "0.1"), 0, out="")

    def test_wrong_usage(self):
        self.check(self.hvlab("drops", "--reason", "nope"), 2, err="no-buffer")
        self.check(self.hvlab("drops", "-n", "1"), 2, err="--follow")
        self.check(self.hvlab("drops", "a", "b"), 2)


if __name__ == "__main__":
    unittest.main()
