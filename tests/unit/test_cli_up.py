#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Claims about hvlab up: what it starts, and that it leaves nothing behind. See test_cli.py."""

import json
import os
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli"))
sys.dont_write_bytecode = True

from base import HERE, WAIT, CliTest, alive, wait_for  # noqa: E402


class UpTest(CliTest):
    """up, with a fake scripts/parts and the fake daemon as a program of its own."""

    def setUp(self):
        super().setUp()
        self.lab = self.write("pair.yaml", "vms:\n  - name: a\n  - {name: b, kernel: 6.1}\n"
                                           "  - name: c\n")
        self.calls = self.dir + "/calls"
        self.env["HVLAB_PARTS"] = self.parts('''
echo "parts: working" >&2
case $1 in
qemu) echo '{"path": "/q", "version": "11.1.3"}' ;;
image) echo "{\\"kernel\\": \\"/k/$3\\"}" ;;
esac''')
        self.env["HVLAB_DAEMON"] = os.path.join(HERE, "fake.py")

    def parts(self, body):
        return self.write("parts", f"#!/bin/sh\necho \"$@\" >>{self.calls}\n{body}\n", 0o755)

    def read(self, name):
        try:
            with open(os.path.join(self.dir, name), encoding="utf-8") as src:
                return src.read()
        except FileNotFoundError:
            return ""

    def daemon_pid(self):
        found = re.search(r"pid (\d+)", self.read("run/fake.log"))
        return int(found[1]) if found else 0

    def plan(self, **plan):
        return {"FAKE_PLAN": json.dumps(plan)}

    def gone(self):
        """The daemon that was started is no more."""
        pid = self.daemon_pid()
        self.assertTrue(pid)
        wait_for("the daemon's end", lambda: not alive(pid))

    def test_up_and_down(self):
        done = self.hvlab("up", self.lab, "--accel", "tcg", env=self.plan(driven_after=0.5))
        self.check(done, 0, err="hvlabd: started, pid")
        self.assertRegex(done.err, r"(?m)^ +\d+\.\d s  a: running$")
        self.assertIn("parts: working", done.err)
        self.assertIn("pair is up", done.err)
        self.assertRegex(done.out, r"(?m)^a/eth0 .* driven ")
        # Two kernels, three guests: each image is asked for once.
        self.assertEqual(self.read("calls").splitlines(), [
            "qemu --json", "image --json 6.12", "image --json 6.1"])
        sent = json.loads(re.search(r"lab-up (.*)", self.read("run/fake.log"))[1])
        self.assertEqual(sent["file"], self.lab)
        self.assertEqual(sent["accel"], "tcg")
        self.assertEqual(sent["wait"], "ready")
        self.assertNotIn("msix", sent)
        self.assertEqual(sent["parts"]["qemu"]["path"], "/q")
        self.assertEqual({vm: image["kernel"] for vm, image in sent["parts"]["images"].items()},
                         {"a": "/k/6.12", "b": "/k/6.1", "c": "/k/6.12"})
        content = json.loads(sent["content"])
        self.assertEqual(content["name"], "pair")
        self.assertEqual(content["vms"][1]["nics"][0]["ip"], "10.0.0.5")

        self.check(self.hvlab("up", self.lab), 1, err="the lab pair (/x/pair.yaml) is up already")
        self.assertTrue(alive(self.daemon_pid()))
        self.check(self.hvlab("down"), 0, out="3 VMs down")
        self.gone()
        self.check(self.hvlab("status"), 1, err="no lab is up")

    def test_json(self):
        done = self.hvlab("up", self.lab, "--json")
        self.assertEqual(json.loads(done.out)["lab"]["name"], "pair")
        self.check(self.hvlab("down", "--json"), 0, out='"was_up": true')

    def test_no_wait(self):
        done = self.hvlab("up", self.lab, "--no-wait", env=self.plan(vf="offered"))
        self.check(done, 0, out="offered")
        self.assertIn('"wait": "started"', self.read("run/fake.log"))
        self.hvlab("down")

    def test_own_kernel(self):
        image, mods = self.write("bzImage", "x"), self.dir + "/mods"
        os.mkdir(mods)
        lab = self.write("own.yaml", "vms: [{name: a, bzimage: bzImage, modules: mods}]\n")
        self.check(self.hvlab("up", lab), 0)
        self.assertIn(f"image --json --bzimage {image} --modules {mods}\n", self.read("calls"))
        self.hvlab("down")

    def test_mistakes_start_nothing(self):
        lab = self.write("bad.yaml", "vms:\n  - name: a\n    memory: 1\n")
        self.check(self.hvlab("up", lab), 1, err=f"{lab}:3: vms[0].memory: ")
        self.assertEqual(self.read("calls"), "")
        self.assertFalse(os.path.exists(self.dir + "/run"))

    def test_parts_that_fail(self):
        self.parts("echo 'parts: error: the disk is full' >&2; exit 1")
        done = self.hvlab("up", self.lab)
        self.check(done, 1, err="parts: error: the disk is full")
        self.assertIn("failed with status 1", done.err)
        self.assertFalse(os.path.exists(self.dir + "/run"))

    def test_parts_that_print_no_json(self):
        self.parts("echo hello")
        self.check(self.hvlab("up", self.lab), 1, err="did not print JSON")

    def test_parts_that_are_not_there(self):
        self.check(self.hvlab("up", self.lab, env={"HVLAB_PARTS": "/nowhere/parts"}), 1,
                   err="HVLAB_PARTS=/nowhere/parts cannot be run")

    def test_daemon_that_is_not_there(self):
        self.check(self.hvlab("up", self.lab, env={"HVLAB_DAEMON": "/nowhere/d"}), 1,
                   err="HVLAB_DAEMON=/nowhere/d cannot be run")

    def test_daemon_that_says_why_not(self):
        self.check(self.hvlab("up", self.lab, env=self.plan(start="error")), 1,
                   err="the daemon did not start: the runtime directory is held by pid 77")
        self.gone()

    def test_daemon_that_dies_at_once(self):
        self.check(self.hvlab("up", self.lab, env=self.plan(start="die")), 1,
                   err="ended before it was ready")

    def test_daemon_that_dies_later(self):
        self.check(self.hvlab("up", self.lab, env=self.plan(**{"lab-up": "drop"})), 1,
                   err="closed the connection")
        self.gone()

    def test_guest_that_dies(self):
        done = self.hvlab("up", self.lab, env=self.plan(**{"lab-up": "dead"}))
        self.check(done, 1, err="hvlab: VM a panicked")
        self.assertIn("    Kernel panic - not syncing: ?[1mtest\n", done.err)
        self.assertIn("nothing is left running", done.err)
        self.assertEqual(done.out, "")
        self.gone()

    def test_keep(self):
        done = self.hvlab("up", self.lab, "--keep", env=self.plan(**{"lab-up": "dead"}))
        self.check(done, 1, err="left as it is for a look")
        self.assertTrue(alive(self.daemon_pid()))
        self.check(self.hvlab("down"), 0)
        self.gone()

    def test_no_driver(self):
        done = self.hvlab("up", self.lab, "--timeout", "1", env=self.plan(vf="offered"))
        self.check(done, 1, err="a/eth0: no driver runs the VF (it is offered)")
        self.gone()

    def test_paths_that_need_no_driver(self):
        for nic in ({"vf": None, "synthetic": {"state": "driven"}},
                    {"vf": {"state": "revoked"}, "weight": 0, "synthetic": {"state": "driven"}}):
            self.check(self.hvlab("up", self.lab, env=self.plan(nic=nic)), 0)
            self.check(self.hvlab("down"), 0)
            self.gone()

    def test_no_synthetic_driver(self):
        done = self.hvlab("up", self.lab, "--timeout", "1",
                          env=self.plan(nic={"synthetic": {"state": "undriven"}}))
        self.check(done, 1,
                   err="a/eth0: no driver runs the synthetic path (it is undriven)")
        self.gone()

    def test_guest_that_dies_before_its_driver(self):
        done = self.hvlab("up", self.lab, env=self.plan(vf="offered", vm_state="exited"))
        self.check(done, 1, err="VM a is exited")
        self.gone()

    def interrupt(self, child, what, condition):
        wait_for(what, condition)
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(WAIT), 130)
        return child.stderr.read().decode()

    def test_ctrl_c_while_parts_are_obtained(self):
        self.parts(f"trap 'echo undone >{self.dir}/undone; exit 130' INT\n"
                   f"echo $$ >{self.dir}/pid\nwhile :; do sleep 0.05; done")
        child = self.start("up", self.lab)
        err = self.interrupt(child, "parts", lambda: self.read("pid").strip())
        self.assertIn("nothing was started", err)
        self.assertEqual(self.read("undone"), "undone\n")
        self.assertFalse(alive(int(self.read("pid"))))
        self.assertFalse(os.path.exists(self.dir + "/run"))

    def test_ctrl_c_while_the_daemon_starts(self):
        child = self.start("up", self.lab, env=self.plan(start="hang"))
        self.interrupt(child, "the daemon", self.daemon_pid)
        self.gone()

    def test_ctrl_c_while_guests_start(self):
        child = self.start("up", self.lab, env=self.plan(**{"lab-up": "hang"}))
        err = self.interrupt(child, "lab-up", lambda: "lab-up" in self.read("run/fake.log"))
        self.assertIn("interrupted; taking everything down", err)
        self.gone()

    def test_ctrl_c_while_waiting_for_drivers(self):
        child = self.start("up", self.lab, env=self.plan(vf="offered"))
        self.interrupt(child, "lab-up", lambda: "lab-up" in self.read("run/fake.log"))
        self.gone()

    def test_sigterm_is_as_good(self):
        child = self.start("up", self.lab, env=self.plan(vf="offered"))
        wait_for("lab-up", lambda: "lab-up" in self.read("run/fake.log"))
        child.terminate()
        self.assertEqual(child.wait(WAIT), 130)
        self.gone()

    def test_daemon_that_runs_already_is_used_and_stays(self):
        child = subprocess.Popen([self.env["HVLAB_DAEMON"], "--runtime-dir", self.dir + "/run",
                                  "--ready-fd", "1"], stdout=subprocess.PIPE, env=self.env)
        self.addCleanup(self.stop, child)
        self.assertEqual(child.stdout.readline(), b"ready\n")
        self.check(self.hvlab("up", self.lab, env={"HVLAB_DAEMON": "/nowhere"}), 0)
        self.check(self.hvlab("down"), 0, out="3 VMs down")
        self.assertIsNone(child.poll())
        # Interrupted, it takes the lab down and leaves the daemon.
        up = self.start("up", self.lab)
        up.wait(WAIT)
        self.check(self.hvlab("down"), 0)
        self.assertIsNone(child.poll())
        child.terminate()


if __name__ == "__main__":
    unittest.main()
