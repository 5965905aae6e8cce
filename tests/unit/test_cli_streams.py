#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Claims about hvlab console, log and capture. See test_cli.py."""

import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli"))
sys.dont_write_bytecode = True

from base import HVLAB, WAIT, CliTest, read_exactly  # noqa: E402
from fake import Refuse, status  # noqa: E402


class ConsoleAndLogTest(CliTest):
    """console and log."""

    def test_log_of_a_vm(self):
        daemon = self.fake({"vm-log": lambda a, f, c: {"path": "/l", "lines": ["one", "t\x1bwo"]}})
        self.check(self.hvlab("log", "a", "-n", "2"), 0, out="one\nt?wo\n")
        self.check(self.hvlab("log", "a", "--qemu"), 0)
        self.assertEqual(daemon.seen("vm-log"), [
            {"vm": "a", "lines": 2, "source": "console"},
            {"vm": "a", "lines": 50, "source": "qemu"}])
        self.assertEqual(json.loads(self.hvlab("log", "a", "--json").out)["lines"][0], "one")

    def test_log_of_the_daemon(self):
        path = self.write("d.log", "".join(f"line {i}\n" for i in range(100)))
        self.fake({"query-status": lambda a, f, c: dict(status(), log=path)})
        self.check(self.hvlab("log", "-n", "3"), 0, out="line 97\nline 98\nline 99\n")
        self.assertNotIn("line 96", self.hvlab("log", "-n", "3").out)

    def test_log_of_a_daemon_without_file(self):
        self.fake({"query-status": lambda a, f, c: dict(status(), log=None)})
        self.check(self.hvlab("log"), 1, err="standard error")

    def test_follow(self):
        path = self.write("c.log", "first\n")
        daemon = self.fake({"vm-log": lambda a, f, c: {"path": path, "lines": ["first"]}})
        child = self.start("log", "a", "-f")
        self.assertEqual(child.stdout.readline(), b"first\n")
        for text in ("second\n", "third\x1b\r\n"):
            with open(path, "a", encoding="utf-8") as out:
                out.write(text)
            self.assertEqual(child.stdout.readline(),
                             text.replace("\x1b", "?").replace("\r", "").encode())
        daemon.close()  # the lab went down: nothing more will come
        self.assertEqual(child.wait(WAIT), 0)

    def test_follow_ends_by_ctrl_c(self):
        path = self.write("c.log", "first\n")
        self.fake({"vm-log": lambda a, f, c: {"path": path, "lines": ["first"]}})
        child = self.start("log", "a", "-f")
        child.stdout.readline()
        with open(path, "a", encoding="utf-8") as out:
            out.write("x\n")
        child.stdout.readline()  # now it follows
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(WAIT), 0)

    def test_console_log(self):
        path = self.write("c.log", "raw \x1b[1m\n")
        self.fake({"vm-console": lambda a, f, c: {"log": path, "socket": "/x"}})
        self.check(self.hvlab("console", "a", "--log"), 0, out="raw \x1b[1m\n")

    def console(self, stdin):
        """A console's other end, and hvlab attached to it."""
        path = self.dir + "/c"
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen(1)
        self.fake({"vm-console": lambda a, f, c: {"log": "/x", "socket": path}})
        child = subprocess.Popen([HVLAB, "console", "a"], stdin=stdin, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=self.env)
        self.addCleanup(self.stop, child)
        conn, _ = listener.accept()
        self.addCleanup(conn.close)
        conn.settimeout(WAIT)
        return child, conn

    def test_console_relays_and_leaves_by_the_escape(self):
        main, side = pty.openpty()
        child, conn = self.console(side)
        conn.sendall(b"login: ")
        self.assertEqual(os.read(child.stdout.fileno(), 100), b"login: ")
        os.write(main, b"root\r\x03")
        got = b""
        while len(got) < 6:
            got += conn.recv(100)
        self.assertEqual(got, b"root\r\x03")  # raw: Ctrl-C goes to the guest
        os.write(main, b"x\x1dy")
        self.assertEqual(conn.recv(100), b"x")
        self.assertEqual(child.wait(WAIT), 0)
        self.assertIn(b"Ctrl-]", child.stderr.read())
        os.close(main)
        os.close(side)

    def test_console_ends_with_the_guest(self):
        read, write = os.pipe()
        child, conn = self.console(read)
        conn.sendall(b"bye")
        conn.shutdown(socket.SHUT_RDWR)
        self.assertEqual(child.wait(WAIT), 0)
        self.assertEqual(child.stdout.read(), b"bye")
        os.close(read)
        os.close(write)

    def test_console_is_gone(self):
        self.fake({"vm-console": lambda a, f, c: {"log": "/x", "socket": "/nowhere/s"}})
        self.check(self.hvlab("console", "a"), 1, err="cannot reach the console")


def block(kind, body):
    """A pcapng block."""
    size = 12 + len(body)
    return struct.pack("=II", kind, size) + body + struct.pack("=I", size)


SHB = block(0x0a0d0d0a, struct.pack("=IHHq", 0x1a2b3c4d, 1, 0, -1))
EPB = block(6, struct.pack("=IIIII", 0, 0, 0, 4, 4) + b"abcd")
ISB = block(5, struct.pack("=III", 0, 0, 0))


class CaptureTest(CliTest):
    """capture, with a daemon that writes whatever the test wants."""

    def capturing(self, first, later=b"", at_stop=ISB):
        """Daemon that writes first, then later (bit by bit), and at_stop when stopped."""
        def start(_args, fds, _conn):
            self.out = fds[0]
            os.write(self.out, first)
            if later:
                for i in range(0, len(later), 7):
                    os.write(self.out, later[i:i + 7])

        def stop(_args, _fds, _conn):
            if self.out is None:
                raise Refuse("InvalidState", "nothing is being captured")
            try:
                os.write(self.out, at_stop)
            except BrokenPipeError:
                pass
            os.close(self.out)
            return {}
        return self.fake({"capture-start": lambda a, f, c: start(a, f, c) or {},
                          "capture-stop": stop,
                          "query-status": lambda a, f, c: status()})

    def test_count_ends_it_at_a_block(self):
        daemon = self.capturing(SHB, EPB * 5)
        path = self.dir + "/x.pcapng"
        done = self.hvlab("capture", "a/eth0", "-w", path, "--count", "3", "--snaplen", "96")
        self.check(done, 0, err="3 packets captured: enough packets")
        with open(path, "rb") as src:
            self.assertEqual(src.read(), SHB + EPB * 3 + ISB)
        self.assertEqual(daemon.seen("capture-start"), [{"vnic": "a/eth0", "snaplen": 96}])
        self.assertEqual(daemon.seen("capture-stop"), [{"vnic": "a/eth0"}])

    def test_one_path(self):
        daemon = self.capturing(SHB + EPB * 2)
        want = []
        for target, path in (("a/eth0/vf", "vf"), ("a/eth0/syn", "synthetic"),
                             ("a/eth0/synthetic", "synthetic")):
            with self.subTest(target):
                done = self.hvlab("capture", target, "-w", self.dir + "/x", "--count", "1")
                self.check(done, 0, err=f"capturing {target} to")
                want.append({"vnic": "a/eth0", "path": path})
                self.assertEqual(daemon.seen("capture-start"), want)
                self.assertEqual(daemon.seen("capture-stop"), want)

    def test_no_such_path(self):
        self.fake({})
        self.check(self.hvlab("capture", "a/eth0/pf", "-w", self.dir + "/x"), 2,
                   err="a path is vf or syn, as in a/eth0/vf")

    def test_duration(self):
        self.capturing(SHB + EPB)
        done = self.hvlab("capture", "a/eth0", "-w", "-", "--duration", "0.2")
        self.check(done, 0, err="1 packet captured: the time is over")
        self.assertEqual(done.stdout, SHB + EPB + ISB)

    def test_ctrl_c(self):
        self.capturing(SHB + EPB)
        child = self.start("capture", "a")  # the VM's only NIC; stdout is a pipe
        self.assertEqual(read_exactly(child.stdout, len(SHB + EPB)), SHB + EPB)
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(WAIT), 0)
        self.assertEqual(child.stdout.read(), ISB)

    def test_reader_that_goes_away(self):
        self.capturing(SHB + EPB)
        child = self.start("capture", "a/eth0")
        read_exactly(child.stdout, len(SHB + EPB))
        child.stdout.close()
        self.assertEqual(child.wait(WAIT), 0)
        self.assertIn(b"the reader went away", child.stderr.read())

    def test_end_by_itself(self):
        self.capturing(SHB)
        child = self.start("capture", "a/eth0")
        read_exactly(child.stdout, len(SHB))
        out, self.out = self.out, None
        os.close(out)
        self.assertEqual(child.wait(WAIT), 0)
        self.assertIn(b"the NIC or the daemon is gone", child.stderr.read())

    def test_terminal_is_refused(self):
        daemon = self.capturing(SHB)
        for args in ([], ["-w", "-"]):
            main, side = pty.openpty()
            child = self.start("capture", "a/eth0", *args, stdout=side)
            os.close(side)
            self.assertIn(child.wait(WAIT), (1, 2))
            self.assertIn(b"wireshark", child.stderr.read())
            os.close(main)
        self.assertEqual(daemon.seen("capture-start"), [])

    def test_full_disk(self):
        self.capturing(SHB + EPB)
        self.check(self.hvlab("capture", "a/eth0", "-w", "/dev/full"), 1,
                   err="cannot write /dev/full: No space left")

    def test_file_that_cannot_be_made(self):
        self.capturing(SHB)
        self.check(self.hvlab("capture", "a/eth0", "-w", "/nowhere/x"), 1,
                   err="cannot write /nowhere/x")

    def test_damaged_stream(self):
        self.capturing(SHB + struct.pack("=II", 6, 3))
        self.check(self.hvlab("capture", "a/eth0", "-w", self.dir + "/x"), 1, err="damaged")

    def test_refused(self):
        def refuse(_args, _fds, _conn):
            raise Refuse("Busy", "a/eth0 is being captured", hint="stop that one")
        self.fake({"capture-start": refuse})
        self.check(self.hvlab("capture", "a/eth0", "-w", self.dir + "/x"), 1,
                   err="a/eth0 is being captured\nhvlab: remedy: stop that one")

    def test_which_nic(self):
        state = status()
        state["vms"][0]["vnics"].append(dict(state["vms"][0]["vnics"][0], id="a/eth1"))
        state["vms"][1]["vnics"] = []
        self.fake({"query-status": lambda a, f, c: state})
        for vm, words in (("a", "several NICs; name one of a/eth0, a/eth1"), ("b", "has no NIC"),
                          ("c", 'there is no VM "c"')):
            self.check(self.hvlab("capture", vm, "-w", self.dir + "/x"), 1, err=words)


if __name__ == "__main__":
    unittest.main()
