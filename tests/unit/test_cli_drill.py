#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Claims about hvlab drill and hvlab compare: what they ask for, when they fail, what they clean up.

The daemon is cli/fake.py; its guests answer the scripts that a drill runs in them. HVLAB_BIN names
the hvlab under test.
"""

import json
import os
import re
import signal
import sys
import threading
import time
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli"))
sys.dont_write_bytecode = True

from base import CliTest  # noqa: E402
from fake import Refuse, b64, event, status  # noqa: E402

COMMANDS = ["vf-revoke", "vf-restore", "link-set", "mana-event", "nic-add", "nic-del",
            "sampler-start", "vm-migrate"]


def gaps(*ms):
    """Gaps as the load tells them."""
    return [[m * 1_000_000, 5_000_000_000, 0] for m in ms]


class Guests:
    """A lab of two guests with both paths, behind a fake daemon."""

    def __init__(self):
        self.vf = {"a/eth0": "driven", "b/eth0": "driven"}
        self.pending = False
        self.drops = 0
        self.gaps = []              # of the paced TCP stream, in the next answer
        self.dead = None            # why its connection was lost
        self.lost = 0
        self.dmesg = ""
        self.load = set()           # VMs in which load runs
        self.sampler = False
        self.counted = {"mana": 1000, "virtio_net": 1000}
        self.refuse = {}            # command -> the error's words, once
        self.on_revoke = None
        self.ask = 0
        self.packets = {}           # what the sampler counts, by port; None: on the right path

    def handlers(self):
        names = {"query-status": self.status, "query-schema": self.schema, "stats": self.stats,
                 "vm-exec": self.exec, "vm-log": lambda a, f, c: {"path": "/nonexistent", "lines": []},
                 "vf-revoke": self.revoke, "vf-restore": self.restore,
                 "sampler-start": self.start, "sampler-stop": self.stop,
                 "vm-migrate": lambda a, f, c: {"steps": [{"step": "done", "ms": 900}]},
                 "link-set": lambda a, f, c: {}, "mana-event": lambda a, f, c: {}}
        return names

    def status(self, _args, _fds, _conn):
        state = status()
        for vm in state["vms"]:
            for nic in vm["vnics"]:
                nic["vf"]["state"] = self.vf[nic["id"]]
                nic["vf"]["pending"] = self.pending and nic["id"] == "a/eth0"
                nic["synthetic"] = {"state": "driven"}
                nic["addresses"] = ["10.0.0.4/24"]
        return state

    @staticmethod
    def schema(args, _fds, _conn):
        if args["command"] not in COMMANDS:
            raise Refuse("NotFound", "no such command")
        return [{}]

    def stats(self, args, _fds, _conn):
        drops = {"no-buffer": self.drops, "link-down": 0, "no-port": 77}
        return {"vnics": [{"id": args.get("vnic", "a/eth0"), "receive": {"parked": 0},
                           "port": {"rx_drops": drops, "tx_drops": {}}}]}

    def say_no(self, command):
        if command in self.refuse:
            raise Refuse("GenericError", self.refuse.pop(command))

    def revoke(self, args, _fds, conn):
        self.say_no("vf-revoke")
        if self.on_revoke:
            self.on_revoke()
        self.vf[args["vnic"]] = "revoked"
        event(conn, "VF_STATE", {"vnic": args["vnic"], "state": "revoked", "previous": "driven",
                                 "time_ns": time.monotonic_ns()})
        return {"state": "revoked", "pending": False,
                "steps": [{"step": "drained", "ms": 1.5}, {"step": "done", "ms": 2}]}

    def restore(self, args, _fds, _conn):
        self.say_no("vf-restore")
        self.vf[args["vnic"]] = "driven"
        return {"state": "driven", "pending": False, "steps": [{"step": "done", "ms": 1}]}

    def start(self, _args, _fds, _conn):
        self.sampler = True
        return {}

    def stop(self, _args, _fds, _conn):
        self.sampler = False
        path = "vf" if self.vf["a/eth0"] == "driven" else "syn"
        moved = {f"{vm}/eth0/{path}": 5000 for vm in "ab"}
        now = time.monotonic_ns()
        return {"step_us": 1000, "start_ns": now - 1000000, "end_ns": now, "looks": 1, "late": 0,
                "longest_ns": 1, "cpu_ns": 1, "full_ns": None, "paths_lost": 0,
                "paths": [{"port": port, "since_ns": 1, "until_ns": None,
                           "rows": [[0, 1000, n, n, n, n]]}
                          for port, n in (self.packets or moved).items()]}

    def report(self):
        """The same from both ends: one stream, one of datagrams."""
        self.ask += 1
        sent = 100 * self.ask
        rx = {"packets": sent, "bytes": sent, "changed": 0, "lost": 0, "doubled": 0,
              "reordered": 0, "gap_ns": 1, "gap_end_ns": 1, "gap_own_ns": 0, "gaps": [],
              "n_gaps": 0}
        flow = {"kind": "tcp", "rate": 100, "size": 512, "sent": sent, "connection_lost": None}
        return {"trouble": None, "flows": [
            dict(flow, flow="tcp", rx=dict(rx, gaps=gaps(*self.gaps)), connection_lost=self.dead),
            dict(flow, flow="udp", kind="udp", rx=dict(rx, lost=self.lost))]}

    def exec(self, args, _fds, _conn):
        vm, script = args["vm"], args["argv"][-1]
        out = ""
        if "timer_list" in script:
            out = f"{time.monotonic_ns()}\n"
        elif "load run" in script or "load serve" in script:
            self.load.add(vm)
        elif "/run/hvlab/load" in script and "kill -USR1" in script:
            out = json.dumps(self.report())
        elif "/run/hvlab/load" in script and "kill -TERM" in script:
            self.load.discard(vm)
            out = json.dumps(dict(self.report(), flows=[]))
        elif script.startswith("dmesg |"):
            since = float(re.search(r"since=([0-9.]+)", script)[1])
            out = "".join(line + "\n" for line in self.dmesg.splitlines()
                          if float(line[1:13]) > since)
        elif "operstate" in script:
            out = "eth0 net_failover up \neth0nsby virtio_net up eth0\n"
            if self.vf["a/eth0"] == "driven":
                out += "eth0vf mana up eth0\n"
        elif "statistics" in script:
            driver = "mana" if self.vf["a/eth0"] == "driven" else "virtio_net"
            self.counted[driver] += 5000
            out = f"virtio_net {self.counted['virtio_net']}\nmana {self.counted['mana']}\n"
        elif "iperf3 -c" in script:
            out = json.dumps({"end": {"sum_received": {"bits_per_second": 5e8}}})
        elif "/usr/bin/ping -c" in script:
            out = "64 bytes from b: icmp_seq=1 ttl=64 time=1.25 ms\n" * 3
        return {"exitcode": 0, "stdout": b64(out.encode()), "stderr": ""}


class DrillTest(CliTest):
    def setUp(self):
        super().setUp()
        self.guests = Guests()
        self.daemon = self.fake(self.guests.handlers())

    def drill(self, *args):
        away = () if args[0] in ("flap", "reset", "migrate") else ("--away", "0.01")
        done = self.hvlab("drill", *args, "--settle", "0", *away, "--baseline", "1", "--json")
        done.report = json.loads(done.out) if done.out else None
        return done

    def clean(self):
        """Nothing of the drill is left."""
        self.assertEqual(self.guests.load, set())
        self.assertFalse(self.guests.sampler)
        self.assertEqual(self.guests.vf["a/eth0"], "driven")

    def test_a_drill_that_passes(self):
        junit, html = self.dir + "/out.xml", self.dir + "/out.html"
        done = self.drill("revoke", "a", "--cycles", "3", "--junit", junit, "--html", html)
        self.check(done, 0, err="cycle 3 of 3")
        self.assertEqual(done.report["verdict"], "pass")
        self.assertEqual(len(done.report["cycles"]), 3)
        ops = done.report["cycles"][0]["operations"]
        self.assertEqual([op["op"] for op in ops], ["revoke", "restore"])
        self.assertEqual(ops[0]["steps"][0], {"step": "drained", "ms": 1.5})
        self.assertEqual(self.daemon.seen("vf-revoke"), [{"vnic": "a/eth0", "way": "graceful"}] * 3)
        self.assertEqual([f["flow"] for f in self.last_flows(done)], [])
        self.assertEqual(len(ElementTree.parse(junit).findall(".//testcase")), 4)
        with open(html, encoding="utf-8") as src:
            self.assertEqual(src.read().count("<svg"), 4)    # the overview and three cycles
        self.clean()

    @staticmethod
    def last_flows(done):
        return done.report["flows"]

    def test_what_breaks_a_limit_fails(self):
        def gap():
            self.guests.gaps = [1500]

        def drop():
            self.guests.drops += 2

        def lose():
            self.guests.lost += 3

        def die():
            self.guests.dead = "reset"

        def warn():
            self.guests.dmesg = "[ 99.00000000] WARNING: CPU: 0\n"

        for cause, words, option in (
                (gap, "stood still for 1490 ms", "--max-gap"),
                (drop, "dropped 4 frames", "--max-dropped"),
                (lose, "datagrams or echoes did not arrive", "--max-lost"),
                (die, "connection lost: tcp a>b: reset", "--max-connections"),
                (warn, "kernel complains: a: [ 99.0", "--max-warnings")):
            with self.subTest(option):
                self.guests.__init__()
                self.guests.on_revoke = cause
                done = self.drill("revoke", "a")
                self.check(done, 1)
                self.assertIn(words, " ".join(done.report["cycles"][0]["why"]))
                self.clean()
                self.guests.__init__()
                self.guests.on_revoke = cause
                self.check(self.drill("revoke", "a", option, "none"), 0)

    def test_race_windows_go_to_the_daemon(self):
        done = self.drill("restore", "a/eth0", "--delay-link", "700", "--hold-both", "300",
                          "--load", "none")
        self.check(done, 0)
        cycle = done.report["cycles"][0]
        self.assertEqual([[op["op"] for op in cycle[which]] for which in
                          ("preparation", "operations")], [["revoke"], ["restore"]])
        self.assertLessEqual(cycle["start_ns"], cycle["operations"][0]["start_ns"])
        self.assertEqual(self.daemon.seen("vf-restore"),
                         [{"vnic": "a/eth0", "link_delay_ms": 700, "hold_ms": 300}])

    def test_a_migration_is_the_daemons(self):
        done = self.drill("migrate", "a", "--vf", "manager")
        self.check(done, 0)
        self.assertEqual(self.daemon.seen("vm-migrate"), [{"vm": "a", "vf": "manager"}])
        self.assertEqual(done.report["cycles"][0]["operations"][0]["op"], "migrate")
        COMMANDS.remove("vm-migrate")
        self.addCleanup(COMMANDS.append, "vm-migrate")
        self.check(self.drill("migrate", "a"), 1, err="this daemon has no vm-migrate")
        self.check(self.hvlab("drill", "migrate", "a", "--vf", "x"), 2, err="neither failover")

    def test_a_failed_operation_fails_and_is_cleaned_up(self):
        self.guests.refuse["vf-restore"] = "QEMU says no"
        done = self.drill("revoke", "a", "--cycles", "5")
        self.check(done, 1)
        self.assertEqual(len(done.report["cycles"]), 1)
        self.assertIn("QEMU says no", " ".join(done.report["why"]))
        self.clean()        # tried again

    def test_an_illegal_state_ends_it(self):
        def stick():
            self.guests.pending = True

        self.guests.on_revoke = stick
        done = self.drill("revoke", "a", "--cycles", "5")
        self.check(done, 1)
        self.assertIn("the removal of a/eth0's VF is pending", " ".join(done.report["why"]))
        self.assertEqual(len(done.report["cycles"]), 1)

    def test_a_storm_stops_leaves_and_keeps(self):
        def third():
            if len(self.daemon.seen("vf-revoke")) == 3:
                self.guests.refuse["vf-restore"] = "QEMU says no"

        self.guests.on_revoke = third
        folder = self.dir + "/kept"
        done = self.hvlab("drill", "storm", "a", "--keep", folder, "--baseline", "1",
                          "--json")
        self.check(done, 1)
        report = json.loads(done.out)
        self.assertEqual(len(report["cycles"]), 3)
        self.assertEqual(report["saved"], folder)
        for name in ("status.json", "stats.json", "events.json", "samples.json", "report.json",
                     "report.html", "a-guest.txt", "b-guest.txt"):
            self.assertTrue(os.path.exists(os.path.join(folder, name)), name)
        with open(os.path.join(folder, "status.json"), encoding="utf-8") as src:
            self.assertEqual(json.load(src)["vms"][0]["vnics"][0]["vf"]["state"], "revoked")
        # Left for a look, but no load on it.
        self.assertEqual(self.guests.vf["a/eth0"], "revoked")
        self.assertEqual(self.guests.load, set())

    def test_ctrl_c_ends_load_and_gives_the_vf_back(self):
        away = threading.Event()
        self.guests.on_revoke = away.set
        child = self.start("drill", "servicing", "a", "--baseline", "1")
        self.assertTrue(away.wait(30))
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=30)
        self.assertEqual(child.returncode, 130)
        self.clean()

    def test_preconditions(self):
        self.guests.vf["a/eth0"] = "offered"
        self.check(self.drill("revoke", "a"), 1, err="is offered, not driven")
        self.guests.vf["a/eth0"] = "driven"
        self.check(self.drill("revoke", "a", "--way", "slow"), 1, err="hotplug: native")
        self.check(self.drill("revoke", "a", "--peer", "z"), 1, err="VM z is not ready")
        self.check(self.drill("revoke", "z"), 1, err='no VM "z"')
        self.guests.vf["a/eth0"] = "revoked"
        self.check(self.drill("revoke", "a"), 1, err="hvlab vf restore")
        self.assertEqual(self.daemon.seen("vf-revoke"), [])

    def test_wrong_usage(self):
        for args, words in ((["revok", "a"], "none of revoke, restore"),
                            ([], "KIND missing"), (["revoke"], "TARGET missing"),
                            (["revoke", "a", "--way", "odd"], "none of graceful"),
                            (["flap", "a", "--delay-link", "5"], "--delay-link is not for flap"),
                            (["revoke", "a", "--order", "vf-first"], "it is for hotplug"),
                            (["hotplug", "a", "--order", "x"], "vf-first"),
                            (["hotplug", "a", "--order", "together", "--order-gap", "1"],
                             "no --order-gap"),
                            (["revoke", "a", "--load", "tcp,x"], '"x" is none of tcp'),
                            (["revoke", "a", "--max-gap", "-1"], "--max-gap"),
                            (["revoke", "a", "--cycles", "0"], "--cycles")):
            with self.subTest(args):
                self.check(self.hvlab("drill", *args), 2, err=words)


class CompareTest(CliTest):
    def setUp(self):
        super().setUp()
        self.guests = Guests()
        self.daemon = self.fake(self.guests.handlers())

    def test_paths_alternate_and_are_proven(self):
        done = self.hvlab("compare", "a", "b", "--rounds", "2", "--seconds", "1", "--json")
        self.check(done, 0)
        result = json.loads(done.out)
        self.assertTrue(result["valid"])
        row = result["rows"][1]
        self.assertEqual((row["measure"], row["vf"]["median"]), ("TCP 1 stream A>B", 500))
        self.assertEqual(len(row["synthetic"]["values"]), 2)
        # VF, synthetic; then synthetic first, VF: taken away once.
        self.assertEqual([a["vnic"] for a in self.daemon.seen("vf-revoke")], ["a/eth0", "b/eth0"])
        self.assertEqual(set(self.guests.vf.values()), {"driven"})
        self.assertFalse(self.guests.sampler)

    def test_a_figure_of_the_other_path_is_invalid(self):
        self.guests.packets = {"a/eth0/syn": 5000, "b/eth0/syn": 5000}
        done = self.hvlab("compare", "a", "b", "--rounds", "1", "--seconds", "1")
        self.check(done, 1, out="INVALID", err="figures are invalid")
        self.assertIn("counted no packet on the vf path", done.out)

    def test_preconditions(self):
        self.check(self.hvlab("compare", "a", "a"), 1, err="of one VM")
        self.check(self.hvlab("compare", "a"), 2, err="missing")


if __name__ == "__main__":
    unittest.main()
