#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Claims about the command line: help, exit statuses, messages, and what most commands do.

The daemon is cli/fake.py. HVLAB_BIN names the hvlab under test. The commands that stream are in
test_cli_streams.py, up is in test_cli_up.py.
"""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli"))
sys.dont_write_bytecode = True

from base import HVLAB, ROOT, WAIT, CliTest, commands  # noqa: E402
from fake import Fake, Refuse, Then, b64, event, status  # noqa: E402


class HelpTest(CliTest):
    """Everything explains itself."""

    def test_the_commands_are_these(self):
        self.assertEqual(set(commands()), {
            "up", "down", "check", "status", "exec", "console", "log", "stats", "capture",
            "events", "nic", "vf", "link", "migrate", "drill", "compare", "reset", "raw", "version",
            "help", "flows", "drops", "fabric", "policy", "explain"})

    def test_every_command_has_help_with_an_example(self):
        for name in commands():
            with self.subTest(name):
                one, two = self.hvlab("help", name), self.hvlab(name, "--help")
                self.check(one, 0, out=f"usage: hvlab {name}")
                self.assertEqual(one.err, "")
                self.assertEqual(one.out, two.out)
                self.assertEqual(two.returncode, 0)
                self.assertIn("Example", one.out)
                self.assertIn(f"  hvlab {name}", one.out.replace("| hvlab", "  hvlab"))
                for line in one.out.splitlines():
                    self.assertLess(len(line), 100, line)

    def test_help_names_every_option_that_is_taken(self):
        for name in commands():
            text = self.hvlab("help", name).out
            usage = text.split("\n\n")[0]
            with self.subTest(name):
                for option in re.findall(r"--[a-z-]+", usage):
                    self.assertIn(option, text[len(usage):], option)

    def test_overview(self):
        self.check(self.hvlab("--help"), 0, out="Commands:")
        self.check(self.hvlab("-h"), 0, out="Exit status:")
        self.check(self.hvlab(), 2, out="Commands:")

    def complete(self, *words):
        """What bash offers for the last word."""
        path = os.path.join(ROOT, "host", "completion", "hvlab.bash")
        line = " ".join(f"'{w}'" for w in ("hvlab", *words))
        script = (f". {path}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _hvlab; "
                  "printf '%s\\n' \"${COMPREPLY[@]}\"")
        env = dict(self.env, PATH=os.path.dirname(HVLAB) + ":" + os.environ["PATH"])
        return set(subprocess.run(["bash", "-c", script], capture_output=True, text=True,
                                  check=True, env=env).stdout.split())

    def test_completion_knows_every_command(self):
        self.assertEqual(self.complete(""), set(commands()))
        self.assertEqual(self.complete("stat"), {"status", "stats"})

    def test_completion_knows_the_options(self):
        for name in commands():
            usage = self.hvlab("help", name).out.split("\n\n")[0]
            with self.subTest(name):
                self.assertLessEqual(set(re.findall(r"--[a-z-]+", usage)),
                                     self.complete(name, "--"))

    def test_completion_knows_second_words(self):
        self.fake({"query-status": lambda a, f, c: status()})
        self.assertEqual(self.complete("nic", ""), {"add", "del", "set", "list"})
        self.assertEqual(self.complete("vf", "re"), {"revoke", "restore"})
        self.assertEqual(self.complete("nic", "add", ""), {"a", "b"})
        self.assertEqual(self.complete("vf", "revoke", "b"), {"b/eth0"})
        self.assertIn("--no-escalate", self.complete("vf", "revoke", "--no"))
        self.assertEqual(self.complete("drill", "re"), {"revoke", "restore", "reset"})
        self.assertEqual(self.complete("drill", "storm", "b"), {"b/eth0"})
        self.assertEqual(self.complete("drill", "hotplug", ""), {"a", "b"})
        self.assertIn("--max-gap", self.complete("drill", "storm", "--max"))

    def test_completion_knows_the_lab(self):
        self.assertEqual(self.complete("exec", ""), set())
        self.fake({"query-status": lambda a, f, c: status()})
        self.assertEqual(self.complete("exec", ""), {"a", "b"})
        self.assertEqual(self.complete("capture", "a"), {"a/eth0"})

    def test_man_page_has_every_command_and_option(self):
        with open(os.path.join(ROOT, "docs", "man", "hvlab.1.scd"), encoding="utf-8") as src:
            page = src.read().replace("\\", "")
        for name in commands():
            text = self.hvlab("help", name).out
            with self.subTest(name):
                self.assertRegex(page, rf"(?m)^\*hvlab {name}[* ]")
                for option in set(re.findall(r"--[a-z-]+", text.split("\n\n")[0])):
                    self.assertIn(f"*{option}*", page)


class UsageTest(CliTest):
    """Wrong usage: status 2, what is wrong, where to read on."""

    CASES = [
        (["statuss"], 'unknown command "statuss"; did you mean "status"?'),
        (["qqqqqq"], 'unknown command "qqqqqq"'),
        (["help", "pu"], "unknown command"),
        (["--jsno", "status"], "unknown option --jsno"),
        (["-z"], "unknown option -z"),
        (["--runtime-dir"], "--runtime-dir needs a value"),
        (["status", "--jsn0"], "unknown option --jsn0; did you mean --json?"),
        (["status", "--json=yes"], "--json takes no value"),
        (["status", "extra"], "1 argument too many"),
        (["up"], "FILE missing"),
        (["up", "a", "b"], "1 argument too many"),
        (["up", "a", "--timeout", "soon"], '"soon" is not a number of seconds'),
        (["up", "a", "--timeout", "-1"], "is not a number of seconds"),
        (["up", "a", "--timeout", "nan"], "is not a number of seconds"),
        (["up", "a", "--accel", "fast"], '"fast" is none of auto, kvm, tcg'),
        (["up", "a", "--msix", "x"], '"x" is none of auto, native, masquerade'),
        (["check"], "FILE missing"),
        (["down", "--timeout", "3"], "--timeout goes with --graceful"),
        (["exec"], "VM missing"),
        (["exec", "a"], "the command to run in a is missing"),
        (["exec", "a", "--"], "the command to run in a is missing"),
        (["exec", "a", "--env", "X", "--", "true"], '"X" is not NAME=VALUE'),
        (["exec", "a", "--env", "=x", "--", "true"], '"=x" is not NAME=VALUE'),
        (["exec", "a", "--timeout", "0", "--", "true"], "is not a number of seconds"),
        (["exec", "a", "--tmeout", "1", "--", "true"], "did you mean --timeout?"),
        (["console"], "VM missing"),
        (["log", "a", "-n", "0"], '"0" is not a number from 1 to 10000'),
        (["log", "a", "-n", "5x"], '"5x" is not a number'),
        (["log", "--qemu"], "--qemu needs a VM"),
        (["log", "-f", "--json"], "--follow prints text"),
        (["log", "a", "b"], "too many"),
        (["stats", "a", "b"], "too many"),
        (["capture"], "TARGET missing"),
        (["capture", "a", "--snaplen", "0"], "is not a number from 1 to 262144"),
        (["capture", "a", "--count", "none"], "is not a number"),
        (["capture", "a", "--duration", "0"], "is not a number of seconds"),
        (["capture", "a", "-w"], "-w needs a value"),
        (["events", "-n", "0"], "is not a number"),
        (["link", "a"], "missing"),
        (["link", "a", "up", "--path", "x"], '--path: "x" is none of vf, synthetic'),
        (["nic"], "one of add, del, set, list missing"),
        (["nic", "ad", "a"], 'unknown "ad"; did you mean "add"?'),
        (["nic", "qqqqqq"], '"qqqqqq" is none of add, del, set, list'),
        (["nic", "add"], "VM missing"),
        (["nic", "add", "a", "b"], "1 argument too many"),
        (["nic", "add", "a", "--queues", "65"], '--queues: "65" is not a number from 1 to 64'),
        (["nic", "add", "a", "--vf", "yes"], '--vf: "yes" is none of on, off'),
        (["nic", "add", "a", "--synthetic", "netvsc"], '"netvsc" is none of virtio, none'),
        (["nic", "add", "a", "--moderation", "lo"], '"lo" is none of off, low, medium'),
        (["nic", "add", "a", "--count", "17"], "--count"),
        (["nic", "add", "a", "--count", "2", "--name", "eth5"], "fit one NIC"),
        (["nic", "add", "a", "--wait=soon"], '"soon" is not a number of seconds'),
        (["nic", "add", "a", "--link", "up"], "--link does not go with add"),
        (["nic", "del"], "TARGET missing"),
        (["nic", "del", "a/eth0", "--weight", "3"], "--weight does not go with del"),
        (["nic", "set", "a/eth0"], "nothing to set"),
        (["nic", "set", "a/eth0", "--weight", "101"], "is not a number from 0 to 100"),
        (["nic", "set", "a/eth0", "--mtu", "1500"], "--mtu does not go with set"),
        (["nic", "set", "a/eth0", "--vf", "on", "--wait=3"], "takes no number of seconds"),
        (["nic", "list", "a", "b"], "1 argument too many"),
        (["vf"], "one of revoke, restore, list missing"),
        (["vf", "revoke"], "TARGET missing"),
        (["vf", "revoke", "a", "--way", "rude"], '"rude" is none of graceful, abrupt, surprise'),
        (["vf", "revoke", "a", "--deadline", "0"], "is not a number from 1 to"),
        (["vf", "revoke", "a", "--hold", "3"], "--hold does not go with revoke"),
        (["vf", "restore", "a", "--no-escalate"], "--no-escalate does not go with restore"),
        (["link", "a", "sideways"], '"sideways" is neither up nor down'),
        (["reset"], "VM missing"),
        (["raw"], "JSON missing"),
        (["raw", "{"], "not valid JSON"),
        (["raw", '{"x": 1}'], 'has no "execute"'),
        (["raw", "stats", "{nope"], "the arguments are not valid JSON"),
        (["version", "x"], "too many"),
    ]

    def test_wrong_usage(self):
        for args, words in self.CASES:
            with self.subTest(" ".join(args)):
                done = self.hvlab(*args)
                self.check(done, 2, err=words)
                self.assertEqual(done.out, "")
                self.assertIn("See: hvlab help", done.err)


class NoDaemonTest(CliTest):
    """No lab is up, or something else is where the daemon should be."""

    COMMANDS = [["status"], ["exec", "a", "true"], ["console", "a"], ["log"], ["log", "a"],
                ["stats"], ["capture", "a/eth0"], ["events"], ["link", "a", "up"], ["reset", "a"],
                ["raw", "query-status"]]

    def test_every_command_names_hvlab_up(self):
        for args in self.COMMANDS:
            with self.subTest(args[0]):
                done = self.hvlab(*args)
                self.check(done, 255 if args[0] == "exec" else 1, err="no lab is up")
                self.assertIn("hvlab up FILE", done.err)
                self.assertIn(self.dir + "/run/control.sock", done.err)
                self.assertEqual(done.out, "")

    def test_a_socket_that_nobody_serves(self):
        os.mkdir(self.dir + "/run")
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(self.dir + "/run/control.sock")
        sock.close()
        self.check(self.hvlab("status"), 1, err="no lab is up")

    def test_down_of_nothing_is_no_error(self):
        self.check(self.hvlab("down"), 0, out="no lab is up")
        self.assertEqual(json.loads(self.hvlab("down", "--json").out),
                         {"was_up": False, "vms": 0})

    def test_version_needs_no_daemon(self):
        self.check(self.hvlab("version"), 0, out="hvlab 0.")
        self.assertEqual(list(json.loads(self.hvlab("version", "--json").out)), ["hvlab"])

    def test_runtime_dir_is_taken_from_option_and_environment(self):
        self.check(self.hvlab("--runtime-dir", "/nowhere/x", "status"), 1, err="/nowhere/x/control")
        self.check(self.hvlab("status", "--runtime-dir=/nowhere/y"), 1, err="/nowhere/y/control")
        self.check(self.hvlab("status", env={"HVLAB_RUNTIME_DIR": "/nowhere/z"}), 1,
                   err="/nowhere/z/control")

    def test_bad_runtime_dir(self):
        self.check(self.hvlab("--runtime-dir", "relative", "status"), 1, err="absolute path")
        self.check(self.hvlab("--runtime-dir", "/" + "x" * 60, "status"), 1, err="bytes, so its sockets")

    def test_not_a_daemon_of_ours(self):
        greetings = {"nonsense": "SSH-2.0\n", "a number": "17\n",
                     "another protocol": '{"hvlab": {"version": "9", "protocol": 2}}\n',
                     "silence after another's greeting": '{"QMP": {}}\n'}
        for what, text in greetings.items():
            with self.subTest(what):
                daemon = Fake(self.dir + "/run", greeting=text)
                done = self.hvlab("status")
                daemon.close()
                self.check(done, 1, err="hvlab: remedy: ")
                self.assertNotIn("no lab is up", done.err)

    def test_daemon_that_hangs_up(self):
        def hang_up(_args, _fds, conn):
            conn.shutdown(socket.SHUT_RDWR)
        self.fake({"query-status": hang_up})
        self.check(self.hvlab("status"), 1, err="closed the connection")

    def test_daemon_that_answers_nonsense(self):
        self.fake({"query-status": lambda a, f, conn: conn.sendall(b"nonsense\n")})
        self.check(self.hvlab("status"), 1, err="talking to the daemon")


class CheckTest(CliTest):
    """hvlab check; every single mistake is in test_lab.c."""

    def test_examples_are_valid(self):
        folder = os.path.join(ROOT, "examples")
        files = [f for f in sorted(os.listdir(folder)) if f.endswith(".yaml")]
        self.assertIn("pair.yaml", files)
        for name in files:
            with self.subTest(name):
                path = os.path.join(folder, name)
                if name.endswith(".nsg.yaml"):
                    self.check(self.hvlab("policy", "test", path, "--lab",
                                          os.path.join(folder, "tiers.yaml")), 0)
                else:
                    self.check(self.hvlab("check", path), 0, out="is valid")

    def test_pair_is_two_guests_on_blue(self):
        done = self.hvlab("check", os.path.join(ROOT, "examples", "pair.yaml"), "--json")
        lab = json.loads(done.out)["lab"]
        self.assertEqual([vm["name"] for vm in lab["vms"]], ["a", "b"])
        self.assertEqual({n["network"] for vm in lab["vms"] for n in vm["nics"]}, {"blue"})

    def test_minimal_has_three_lines(self):
        with open(os.path.join(ROOT, "examples", "minimal.yaml"), encoding="utf-8") as src:
            self.assertEqual(len(src.readlines()), 3)

    def test_mistakes_are_reported_together(self):
        path = self.write("x.yaml", "vms:\n  - name: a\n    cpu: 2\n  - name: a\n    cpus: 0\n")
        done = self.hvlab("check", path)
        self.check(done, 1, err=f'{path}:3: vms[0].cpu: unknown key "cpu"; '
                                'did you mean "cpus"?\n')
        self.assertIn(f'{path}:4: vms[1].name: the VM name "a" is taken (line 2); ', done.err)
        self.assertIn(f"{path}:5: vms[1].cpus: 0 CPUs is out of range; ", done.err)
        self.assertIn("3 mistakes; nothing was started", done.err)
        self.assertEqual(done.out, "")

    def test_json_of_mistakes(self):
        path = self.write("x.yaml", "vms:\n  - name: a\n    kernel: 5.4\n")
        done = self.hvlab("check", path, "--json")
        self.check(done, 1)
        result = json.loads(done.out)
        self.assertFalse(result["valid"])
        self.assertIsNone(result["lab"])
        self.assertEqual(result["errors"][0]["line"], 3)
        self.assertEqual(result["errors"][0]["key"], "vms[0].kernel")
        self.assertTrue(result["errors"][0]["reason"] and result["errors"][0]["remedy"])

    def test_missing_file(self):
        self.check(self.hvlab("check", "/nowhere.yaml"), 1, err="/nowhere.yaml: cannot read")

    def test_kernels_are_those_of_scripts_parts(self):
        done = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "parts"), "kernel",
                               "--help"], capture_output=True, text=True, check=True)
        known = set(re.search(r"KERNEL\s+([\d., ]+)", done.stdout)[1].replace(",", " ").split())
        path = self.write("x.yaml", "vms: [{name: a, kernel: none}]\n")
        remedy = json.loads(self.hvlab("check", path, "--json").out)["errors"][0]["remedy"]
        self.assertEqual(set(re.findall(r"\d+\.\d+", remedy)), known)
        for name in known:
            path = self.write("y.yaml", f"vms: [{{name: a, kernel: {name}}}]\n")
            self.check(self.hvlab("check", path), 0)


class StatusTest(CliTest):
    """status and the way results are printed."""

    def test_text(self):
        self.fake({"query-status": lambda a, f, c: status()})
        done = self.hvlab("status")
        self.check(done, 0, out="no KVM: no /dev/kvm here")
        self.assertEqual(done.err, "")
        self.assertRegex(done.out, r"(?m)^a +ready +6\.12\.43 +2 +512 MiB +89\.0 s")
        self.assertRegex(done.out, r"(?m)^a/eth0 +blue +00:15:5d:00:00:01 +driven +up +2 +1500 +"
                                   r"10\.0\.0\.4/24 fd00::4/64$")
        self.assertRegex(done.out, r"(?m)^blue +10\.0\.0\.0/24 +- +1500")
        self.assertNotIn("\033", done.out)
        # Columns stand under their headings.
        lines = done.out.splitlines()
        head = next(l for l in lines if l.startswith("VM "))
        row = lines[lines.index(head) + 1]
        self.assertEqual(head.index("STATE"), row.index("ready"))

    def test_json_is_what_the_daemon_said(self):
        self.fake({"query-status": lambda a, f, c: status()})
        self.assertEqual(json.loads(self.hvlab("status", "--json").out), status())

    def test_no_lab(self):
        self.fake({"query-status": lambda a, f, c: status(lab=None)})
        self.check(self.hvlab("status"), 0, out="no lab is up")

    def test_reason_of_a_dead_vm(self):
        state = status(state="panicked")
        state["vms"][0]["reason"] = "the kernel panicked\x1b[31m"
        self.fake({"query-status": lambda a, f, c: state})
        self.check(self.hvlab("status"), 0, out="a: the kernel panicked?[31m")

    def test_colour_on_a_terminal_only(self):
        self.fake({"query-status": lambda a, f, c: status()})
        main, side = pty.openpty()
        child = self.start("status", stdout=side, env={"TERM": "xterm"})
        os.close(side)
        child.wait(WAIT)
        out = os.read(main, 65536)
        os.close(main)
        self.assertIn(b"\033[1m", out)

    def test_output_that_cannot_be_written(self):
        self.fake({"query-status": lambda a, f, c: status()})
        with open("/dev/full", "wb") as full:
            child = self.start("status", stdout=full)
            self.assertEqual(child.wait(WAIT), 1)
        self.assertIn(b"cannot write the output: No space left", child.stderr.read())

    def test_reader_that_went_away(self):
        self.fake({"query-status": lambda a, f, c: status()})
        read, write = os.pipe()
        os.close(read)
        child = self.start("status", stdout=write)
        os.close(write)
        self.assertEqual(child.wait(WAIT), -signal.SIGPIPE)
        self.assertEqual(child.stderr.read(), b"")


class ExecTest(CliTest):
    """exec passes everything through."""

    def run_exec(self, answer, *args, stdin=b""):
        def handler(arguments, _fds, _conn):
            if isinstance(answer, Refuse):
                raise answer
            return answer(arguments) if callable(answer) else answer
        self.daemon = self.fake({"vm-exec": handler})
        return self.hvlab("exec", *args, stdin=stdin)

    def test_outputs_and_status(self):
        data = bytes(range(256)) * 300
        done = self.run_exec({"exitcode": 7, "stdout": b64(data), "stderr": b64(b"oh\n")}, "a",
                             "prog", "-x", "--json", "y")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, data, b"oh\n"))
        self.assertEqual(self.daemon.seen("vm-exec"),
                         [{"vm": "a", "argv": ["prog", "-x", "--json", "y"]}])

    def test_statuses(self):
        for code in (0, 1, 2, 127, 254, 255):
            with self.subTest(code):
                daemon = Fake(self.dir + "/run",
                              {"vm-exec": lambda a, f, c, code=code: {"exitcode": code}})
                done = self.hvlab("exec", "a", "true")
                daemon.close()
                self.check(done, code)
                self.assertEqual(done.err, "")

    def test_signal(self):
        self.check(self.run_exec({"signal": 9}, "a", "true"), 137)

    def test_options_before_and_after_the_vm(self):
        self.run_exec({"exitcode": 0}, "--env", "A=1", "a", "-e", "B=2 3", "--timeout", "1.5",
                      "--", "env", "-i")
        self.assertEqual(self.daemon.seen("vm-exec"), [
            {"vm": "a", "argv": ["env", "-i"], "env": ["A=1", "B=2 3"], "timeout_ms": 1500}])

    def test_stdin_is_sent(self):
        data = os.urandom(100000)
        self.run_exec(lambda args: {"exitcode": 0, "stdout": args["stdin"]}, "a", "cat",
                      stdin=data)
        self.assertEqual(self.daemon.seen("vm-exec")[0]["stdin"], b64(data))

    def test_stdin_is_left_alone(self):
        self.run_exec({"exitcode": 0}, "-n", "a", "cat", stdin=b"x")
        self.assertNotIn("stdin", self.daemon.seen("vm-exec")[0])

    def test_terminal_is_not_read(self):
        daemon = self.fake({"vm-exec": lambda a, f, c: {"exitcode": 0}})
        main, side = pty.openpty()
        child = subprocess.run([HVLAB, "exec", "a", "true"], stdin=side, env=self.env,
                               timeout=WAIT, check=False)
        os.close(main)
        os.close(side)
        self.assertEqual(child.returncode, 0)
        self.assertNotIn("stdin", daemon.seen("vm-exec")[0])

    def test_stdin_too_large(self):
        done = self.run_exec({"exitcode": 0}, "a", "cat", stdin=bytes((8 << 20) + 1))
        self.check(done, 255, err="larger than the 8 MiB")
        self.assertEqual(self.daemon.seen("vm-exec"), [])

    def test_dead_guest(self):
        done = self.run_exec(Refuse("GuestDead", "VM a panicked", hint="start it again",
                                    console=["Kernel panic\x07", "last"]), "a", "true")
        self.check(done, 255, err="hvlab: VM a panicked\nhvlab: remedy: start it again\n")
        self.assertIn("    Kernel panic?\n    last\n", done.err)

    def test_everything_else_that_goes_wrong_is_255(self):
        for cls in ("NotFound", "AgentUnavailable", "Timeout", "GenericError", "InvalidState"):
            with self.subTest(cls):
                def refuse(_a, _f, _c, name=cls):
                    raise Refuse(name, f"{name} it is")
                daemon = Fake(self.dir + "/run", {"vm-exec": refuse})
                done = self.hvlab("exec", "a", "true")
                daemon.close()
                self.check(done, 255, err=f"hvlab: {cls} it is")

    def test_cut_output_is_told(self):
        done = self.run_exec({"exitcode": 0, "stdout": b64(b"x"), "stdout_truncated": True}, "a",
                             "yes")
        self.check(done, 0, out="x", err="cut the program's stdout")

    def test_damaged_answers(self):
        self.check(self.run_exec({"exitcode": 0, "stdout": "%%%"}, "a", "true"), 255,
                   err="damaged")

    def test_answer_without_status(self):
        self.check(self.run_exec({}, "a", "true"), 255, err="no exit status")

    def test_not_utf8(self):
        done = subprocess.run([HVLAB, "exec", "a", b"\xff"], env=self.env, timeout=WAIT,
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"not UTF-8", done.stderr)


class SmallCommandsTest(CliTest):
    """stats, events, link, reset, raw, version, down."""

    STATS = {"vnics": [
        {"id": f"{vm}/eth0", "vm": vm, "name": "eth0", "network": "blue",
         "port": {"tx_packets": 10, "tx_bytes": 1000, "rx_packets": 20, "rx_bytes": 2000,
                  "tx_gso": 1, "tx_waits": 0, "rx_drops": {"no-buffer": 3, "too-big": 0},
                  "tx_drops": {"no-port": 4}},
         "mana": {"doorbells": 5, "connected": True}, "vfio_user": {"irqs": 6},
         "queues": [{"index": 0, "tx_packets": 1, "tx_bytes": 2, "rx_packets": 3, "rx_bytes": 4,
                     "rx_no_buffer": 5}]} for vm in "ab"], "workers": []}

    def test_stats(self):
        daemon = self.fake({"stats": lambda a, f, c: self.STATS})
        done = self.hvlab("stats")
        self.check(done, 0, out="b/eth0: tx drops, no-port: 4")
        self.assertRegex(done.out, r"(?m)^a/eth0 +10 +1000 +1 +20 +2000 +7 +5 +6$")
        self.assertNotIn("too-big", done.out)
        self.assertNotIn("QUEUE", done.out)
        self.check(self.hvlab("stats", "a/eth0", "--all"), 0, out="a/eth0: rx drops, too-big: 0")
        self.assertEqual(daemon.seen("stats")[1], {"vnic": "a/eth0"})
        self.assertRegex(self.hvlab("stats", "b", "--queues").out,
                         r"(?m)^b/eth0 +0 +1 +2 +3 +4 +5$")
        self.assertNotIn("a/eth0", self.hvlab("stats", "b").out)
        self.assertEqual(json.loads(self.hvlab("stats", "--json").out), self.STATS)
        self.check(self.hvlab("stats", "c"), 1, err='no VM "c"')

    def eventful(self, count):
        def subscribe(_args, _fds, conn):
            def send():
                for i in range(count):
                    event(conn, "VM_STATE", {"vm": "a", "state": "ready", "n": i,
                                             "text": "two words"})
            return Then({}, send)
        return self.fake({"events-subscribe": subscribe})

    def test_events(self):
        daemon = self.eventful(3)
        done = self.hvlab("events", "VM_STATE", "-n", "2")
        self.check(done, 0, out='VM_STATE  vm=a  state=ready  n=0  text="two words"\n')
        self.assertEqual(len(done.out.splitlines()), 2)
        self.assertEqual(daemon.seen("events-subscribe"), [{"events": ["VM_STATE"]}])

    def test_events_json(self):
        self.eventful(3)
        lines = self.hvlab("events", "--json", "-n", "3").out.splitlines()
        self.assertEqual([json.loads(line)["data"]["n"] for line in lines], [0, 1, 2])

    def test_events_end(self):
        daemon = self.eventful(1)
        self.check(self.hvlab("events", "--timeout", "0.3"), 0, out="VM_STATE")
        child = self.start("events")
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(WAIT), 0)
        child = self.start("events", "--follow")
        child.stdout.readline()
        daemon.close()
        self.assertEqual(child.wait(WAIT), 0)

    def test_events_into_a_closed_pipe(self):
        self.eventful(20)
        read, write = os.pipe()
        os.close(read)
        child = self.start("events", stdout=write)
        os.close(write)
        self.assertEqual(child.wait(WAIT), -signal.SIGPIPE)

    def test_link_and_reset(self):
        daemon = self.fake({"link-set": lambda a, f, c: {}, "vm-reset": lambda a, f, c: {},
                            "query-status": lambda a, f, c: status()})
        self.check(self.hvlab("link", "a/eth0", "down"), 0)
        self.check(self.hvlab("link", "b", "up"), 0)
        self.check(self.hvlab("link", "up", "a", "--path", "vf"), 0)
        self.check(self.hvlab("link", "down", "a", "--json"), 0, out="{}")
        self.check(self.hvlab("reset", "a"), 0)
        self.assertEqual(daemon.seen("link-set")[2:],
                         [{"vnic": "a/eth0", "up": True, "path": "vf"},
                          {"vnic": "a/eth0", "up": False}])
        self.assertEqual(daemon.seen("link-set")[:2], [{"vnic": "a/eth0", "up": False},
                                                   {"vnic": "b/eth0", "up": True}])
        self.assertEqual(daemon.seen("vm-reset"), [{"vm": "a"}])

    def test_refusals_are_shown(self):
        def refuse(_args, _fds, _conn):
            raise Refuse("NotFound", "there is no VM x\n\x1b", hint="the VMs are a and b")
        self.fake({"vm-reset": refuse, "link-set": refuse, "vm-console": refuse, "vm-log": refuse,
                   "stats": refuse})
        for args in (["reset", "x"], ["link", "x/e", "up"], ["console", "x"], ["log", "x"],
                     ["stats", "x/e"]):
            with self.subTest(args[0]):
                self.check(self.hvlab(*args), 1, err="hvlab: there is no VM x??\n"
                                                     "hvlab: remedy: the VMs are a and b\n")

    def test_raw(self):
        daemon = self.fake({"x-y": lambda a, f, c: {"got": a}})
        for args, stdin in ((['{"execute": "x-y", "arguments": {"k": 1}}'], None),
                            (["x-y", '{"k": 1}'], None),
                            (["-"], b'{"execute": "x-y", "arguments": {"k": 1}}')):
            with self.subTest(args[0]):
                done = self.hvlab("raw", *args, stdin=stdin)
                self.assertEqual(json.loads(done.out), {"got": {"k": 1}})
                self.assertEqual(done.returncode, 0)
        self.assertEqual(daemon.seen("x-y"), [{"k": 1}] * 3)
        done = self.hvlab("raw", "no-such")
        self.assertEqual((done.returncode, json.loads(done.out)["class"]), (1, "CommandNotFound"))

    def test_version_of_the_daemon(self):
        self.fake()
        self.check(self.hvlab("version"), 0, out="hvlabd 0.1.0, protocol 1")

    def test_down_of_a_daemon_that_stays(self):
        daemon = self.fake({"query-status": lambda a, f, c: status(),
                            "lab-down": lambda a, f, c: {"vms": 2}})
        self.check(self.hvlab("down", "--graceful", "--timeout", "5"), 0, out="2 VMs down")
        self.assertEqual(daemon.seen("lab-down"), [{"graceful": True, "timeout_ms": 5000}])


if __name__ == "__main__":
    unittest.main()
