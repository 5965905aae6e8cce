#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Claims about the guests' load program: what a network does wrong is in its report, to the number.

Client and server run here; between them a relay does what it is told to.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
import unittest

LOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    "../../guest/rootfs/usr/lib/hvlab/load")
HEAD = 24       # bytes before a record's filling


class Relay:
    """TCP and UDP from one port to another. spoil(data, back): what to send in place of a datagram."""

    def __init__(self, target):
        self.target = target
        self.spoil = lambda data, back: [data]
        self.change = None          # of a stream: function(bytes), once
        self.held = threading.Event()
        self.held.set()
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.back.connect(("127.0.0.1", target))
        self.client = None
        self.pairs = []
        for work in (self._accept, self._there, self._here):
            threading.Thread(target=work, daemon=True).start()

    def _accept(self):
        while True:
            try:
                inner, _ = self.tcp.accept()
            except OSError:
                return
            outer = socket.create_connection(("127.0.0.1", self.target))
            self.pairs.append((inner, outer))
            for src, dst in ((inner, outer), (outer, inner)):
                threading.Thread(target=self._stream, args=(src, dst), daemon=True).start()

    def _stream(self, src, dst):
        try:
            while data := src.recv(65536):
                self.held.wait()
                if self.change and len(data) > 400:
                    data, self.change = self.change(data), None
                dst.sendall(data)
            dst.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _there(self):
        try:
            while True:
                data, self.client = self.udp.recvfrom(65536)
                if not data:
                    return
                for out in self.spoil(data, False):
                    self.back.send(out)
        except OSError:
            pass

    def _here(self):
        try:
            while True:
                data = self.back.recv(65536)
                if not data:
                    return
                for out in self.spoil(data, True):
                    self.udp.sendto(out, self.client)
        except OSError:
            pass

    def close(self):
        for sock in (self.tcp, self.udp, self.back, *(s for pair in self.pairs for s in pair)):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()


def flow(report, name):
    return next(f for f in report["flows"] if f["flow"] == name)


class LoadTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="hvload", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.dir)
        self.env = dict(os.environ, HVLAB_LOAD_DIR=self.dir)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.load("serve", "--port", str(port), "--lease", "30")
        self.addCleanup(self.end)
        self.relay = Relay(port)
        self.addCleanup(self.relay.close)

    def load(self, *args, check=True):
        done = subprocess.run([sys.executable, "-S", LOAD, *args], env=self.env, text=True,
                              capture_output=True, timeout=60, check=False)
        if check:
            self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def end(self):
        for role in ("client", "server"):
            if os.path.exists(os.path.join(self.dir, role + ".pid")):
                self.load("stop", role, check=False)

    def run_client(self, *args):
        self.load("run", "127.0.0.1", "--port", str(self.relay.port), "--lease", "30", *args)

    def status(self, role="client"):
        return json.loads(self.load("status", role).stdout)

    def until(self, condition, role="client"):
        """The first status for which the condition holds."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            report = self.status(role)
            if condition(report):
                return report
        self.fail(f"it never came to that: {report}")

    def stop(self):
        """(what the client saw, what the server saw)"""
        client = json.loads(self.load("stop", "client").stdout)
        return client, json.loads(self.load("stop", "server").stdout)

    def test_nothing_wrong_nothing_told(self):
        self.run_client("--tcp", "2", "--udp")
        self.until(lambda r: flow(r, "tcp")["rx"]["packets"] > 50)
        client, server = self.stop()
        self.assertEqual([f["flow"] for f in client["flows"]], ["tcp", "tcp1", "tcp2", "udp"])
        for name in ("tcp", "tcp1", "tcp2", "udp"):
            for near, far in ((client, server), (server, client)):
                rx = flow(near, name)["rx"]
                self.assertEqual(rx["packets"], flow(far, name)["sent"], name)
                self.assertEqual(rx["bytes"], 512 * rx["packets"])
                for figure in ("changed", "lost", "doubled", "reordered"):
                    self.assertEqual(rx[figure], 0, f"{name} {figure}")
                self.assertIsNone(flow(near, name)["connection_lost"])
        self.assertIsNone(client["trouble"])
        self.assertGreater(flow(client, "tcp")["sent"], 3 * flow(client, "tcp1")["sent"])

    def test_lost_doubled_late_and_changed_datagrams_are_counted(self):
        self.run_client("--udp")
        seen, late = [0], []

        def spoil(data, back):
            if back or len(data) < HEAD:
                return [data]
            seen[0] += 1
            if seen[0] in (10, 11, 12, 20):
                return []
            if seen[0] == 30:
                return [data, data, data]
            if seen[0] == 40:
                late.append(data)
                return []
            if seen[0] == 43:
                return [data, late.pop()]
            if seen[0] == 50:
                return [data[:100] + bytes([data[100] ^ 1]) + data[101:]]
            return [data]

        self.relay.spoil = spoil
        self.until(lambda r: seen[0] > 60)
        client, server = self.stop()
        rx = flow(server, "udp")["rx"]
        self.assertEqual((rx["lost"], rx["doubled"], rx["reordered"], rx["changed"]), (4, 2, 1, 1))
        self.assertEqual(flow(client, "udp")["sent"], rx["packets"] - 2 + 4)
        rx = flow(client, "udp")["rx"]
        self.assertEqual((rx["lost"], rx["doubled"], rx["reordered"], rx["changed"]), (0, 0, 0, 0))

    def test_a_standstill_is_a_gap_and_no_loss(self):
        self.run_client("--tcp", "0")
        self.relay.held.clear()
        begun = time.monotonic_ns()
        # It is told while it lasts: nothing has arrived since.
        self.until(lambda r: flow(r, "tcp")["rx"]["gap_ns"] > 400_000_000)
        self.relay.held.set()
        length = time.monotonic_ns() - begun
        told = self.until(lambda r: flow(r, "tcp")["rx"]["n_gaps"] > 0)
        gaps = flow(told, "tcp")["rx"]["gaps"]
        self.assertEqual(max(gap[0] for gap in gaps), flow(told, "tcp")["rx"]["gap_ns"])
        # Once told, only new ones are.
        again = flow(self.status(), "tcp")["rx"]["gaps"]
        self.assertFalse([gap for gap in again if gap in gaps])
        client, _ = self.stop()
        rx = flow(client, "tcp")["rx"]
        self.assertGreater(rx["gap_ns"], length - 200_000_000)
        self.assertGreater(rx["gap_end_ns"], begun)
        self.assertEqual(rx["lost"], 0)
        self.assertIsNone(flow(client, "tcp")["connection_lost"])

    def test_a_connection_that_ends_early_is_lost(self):
        self.run_client("--tcp", "1")
        for sock in self.relay.pairs[1]:
            sock.shutdown(socket.SHUT_RDWR)
        report = self.until(lambda r: flow(r, "tcp1")["connection_lost"])
        self.assertIsNone(flow(report, "tcp")["connection_lost"])
        client, _ = self.stop()
        self.assertIn("closed", flow(client, "tcp1")["connection_lost"])
        self.assertIsNone(flow(client, "tcp")["connection_lost"])

    def test_a_record_half_out_is_finished_after_the_other_side_has_ended(self):
        with socket.create_connection(("127.0.0.1", self.relay.target)) as sock:
            sock.sendall(b'{"flow": "tcp", "rate": 10000, "size": 60000}\n')
            # Nobody reads until the server can get nothing more out.
            sent, before = 0, -1
            while sent != before or not sent:
                before, sent = sent, self.sent_by_server()
            sock.shutdown(socket.SHUT_WR)
            arrived = 0
            while data := sock.recv(1 << 18):
                arrived += len(data)
        self.assertEqual(arrived, 60000 * self.sent_by_server())

    def test_the_end_waits_for_a_record_half_out(self):
        load = types.ModuleType("load")
        with open(LOAD, encoding="utf-8") as src:
            exec(compile(src.read(), LOAD, "exec"), load.__dict__)
        load.FOLDER = self.dir
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = socket.socket()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(listener.getsockname())
            near, _ = listener.accept()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.addCleanup(peer.close)
        server = load.Load("server", 30)
        flow = load.Tcp(server, "tcp", "tcp", 1, 60000, near)
        server.flows.append(flow)
        flow.tick()     # more than both buffers hold
        sent = 60000 * flow.sent
        peer.shutdown(socket.SHUT_WR)
        peer.setblocking(False)
        while not flow.over:
            server.turn(1_000_000)
        self.assertTrue(flow.out)
        # A clock that goes on when it is looked at; the peer begins to read after half a second.
        begun = clock = load.now()
        arrived = 0

        def now():
            nonlocal clock, arrived
            clock += 5_000_000
            if clock - begun > 500_000_000:
                try:
                    while data := peer.recv(1 << 18):
                        arrived += len(data)
                except BlockingIOError:
                    pass
            return clock

        load.now = now
        server.stopping = True
        server.finish()
        now()
        self.assertEqual(arrived, sent)
        self.assertIsNone(flow.lost)

    def sent_by_server(self):
        time.sleep(0.3)
        return sum(f["sent"] for f in self.status("server")["flows"])

    def test_a_changed_byte_of_a_stream_is_seen(self):
        self.run_client("--tcp", "0")
        self.relay.change = lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:]
        self.until(lambda r: self.relay.change is None)
        client, server = self.stop()
        self.assertEqual(sum(flow(r, "tcp")["rx"]["changed"] for r in (client, server)), 1)

    def test_it_ends_when_nobody_asks(self):
        self.end()
        self.load("serve", "--port", "0", "--lease", "1")
        end = time.monotonic() + 30
        final = os.path.join(self.dir, "server.final")
        while not os.path.exists(final):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        with open(final, encoding="utf-8") as src:
            self.assertIn("nobody asked", json.load(src)["trouble"])

    def test_a_silent_peer_is_an_error(self):
        done = self.load("run", "127.0.0.1", "--port", "1", "--tcp", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("refused", done.stderr)
        done = self.load("run", "--rate", "0", "x", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--rate", done.stderr)


if __name__ == "__main__":
    unittest.main()
