#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A tiny hvlabd for the tests of the command line: speaks docs/protocol.md, runs no guests.

As a class, in the test's own process, with an answer for each command. As a program, in place of
hvlabd under hvlab up; FAKE_PLAN (JSON) then says what it does.
"""

import argparse
import array
import base64
import json
import os
import signal
import socket
import sys
import threading
import time


class Refuse(Exception):
    """An answer that is an error."""

    def __init__(self, cls, desc, **more):
        super().__init__(desc)
        self.error = dict(more, **{"class": cls, "desc": desc})


class Then:
    """A value to answer with, and what to do right behind the answer, before reading on."""

    def __init__(self, value, then):
        self.value, self.then = value, then


class Fake:
    """Serves one runtime directory. handlers: command -> function(arguments, fds, conn)."""

    def __init__(self, folder, handlers=None, greeting=None):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.path = os.path.join(folder, "control.sock")
        self.handlers = dict({"events-subscribe": lambda a, f, c: {},
                              "query-version": lambda a, f, c: {"version": "0"}},
                             **(handlers or {}))
        self.greeting = greeting if greeting is not None else json.dumps(
            {"hvlab": {"version": "0.1.0", "protocol": 1, "pid": os.getpid()}}) + "\n"
        self.calls = []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(8)
        self.conns = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """No new connection, the old ones cut."""
        for sock in [self.sock, *self.conns]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def seen(self, command):
        """Arguments of every call of a command."""
        return [args for name, args in self.calls if name == command]

    def _accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            self.conns.append(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        data, fds = b"", []
        try:
            conn.sendall(self.greeting.encode())
            while True:
                chunk, ancillary, _, _ = conn.recvmsg(65536, socket.CMSG_SPACE(16))
                if not chunk:
                    return
                for _, _, raw in ancillary:
                    got = array.array("i")
                    got.frombytes(raw[:len(raw) - len(raw) % got.itemsize])
                    fds += list(got)
                data += chunk
                while b"\n" in data:
                    line, data = data.split(b"\n", 1)
                    request = json.loads(line)
                    if self._is_slow(request["execute"]):  # others are answered meanwhile
                        threading.Thread(target=self._request, args=(conn, request, fds),
                                         daemon=True).start()
                    else:
                        self._request(conn, request, fds)
                    fds = []
        except OSError:
            pass
        finally:
            # A handler that failed must not leave the client waiting.
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _is_slow(self, name):
        """lab-up, and handlers that say so."""
        return name == "lab-up" or getattr(self.handlers.get(name), "slow", False)

    def _request(self, conn, request, fds):
        name, args = request["execute"], request.get("arguments", {})
        self.calls.append((name, args))
        then = None
        try:
            if name not in self.handlers:
                raise Refuse("CommandNotFound", f"there is no command {name}")
            value = self.handlers[name](args, fds, conn)
            if isinstance(value, Then):
                value, then = value.value, value.then
            answer = {"return": value}
        except Refuse as refusal:
            answer = {"error": refusal.error}
        answer["id"] = request.get("id")
        try:
            conn.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            return
        if then:
            then()


def event(conn, name, data):
    """Send an event."""
    conn.sendall(json.dumps({"event": name, "data": data,
                             "timestamp": {"seconds": 1700000000,
                                           "microseconds": 42}}).encode() + b"\n")


def status(lab="pair", vms=("a", "b"), vf="driven", state="ready", nic=None):
    """A query-status as a daemon with a lab gives it. nic: other members of each vNIC."""
    return {
        "version": "0.1.0", "protocol": 1, "pid": os.getpid(), "uptime_ms": 91234,
        "runtime_dir": "/run/hvlab", "log": "/run/hvlab/hvlabd.log", "log_level": "info",
        "accel": {"kvm": False, "reason": "no /dev/kvm here"}, "workers": [],
        "lab": {"name": lab, "file": "/x/pair.yaml", "state": "running", "uptime_ms": 90000,
                "qemu": {"path": "/q", "version": "11.1.3"}, "accel": "tcg",
                "msix": "masquerade"} if lab else None,
        "networks": [{"name": "blue", "subnet": "10.0.0.0/24", "subnet6": None, "mtu": 1500,
                      "ports": 2, "macs": 2}] if lab else [],
        "vms": [{"name": vm, "state": state, "reason": None, "accel": "tcg", "kernel": "6.12",
                 "kernel_version": "6.12.43", "cpus": 2, "memory": 536870912, "pid": 1,
                 "uptime_ms": 89000, "boots": 1, "exit_status": None, "agent": True,
                 "agent_silent_ms": 0, "console": {"log": "/l", "socket": "/s"},
                 "vnics": [{"name": "eth0", "id": f"{vm}/eth0", "mac": "00:15:5d:00:00:01",
                            "network": "blue", "mtu": 1500, "queues": 4,
                            "addresses": ["10.0.0.4/24", "fd00::4/64"], "capture": False,
                            "vf": {"state": vf, "link": True, "msix": "masquerade",
                                   "driver": None, "queues": 2, "last_error": None},
                            "synthetic": None, "weight": 100, **(nic or {})}]}
                for vm in vms] if lab else []}


def b64(data):
    """Bytes as the protocol carries them."""
    return base64.b64encode(data).decode()


def main():
    """In place of hvlabd. The plan: what goes wrong, and where to write down what was asked."""
    plan = json.loads(os.environ.get("FAKE_PLAN", "{}"))
    parser = argparse.ArgumentParser()
    parser.add_argument("--runtime-dir")
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("--exit-when-idle", action="store_true")
    parser.add_argument("--log-level")
    args = parser.parse_args()

    def note(text):
        with open(os.path.join(args.runtime_dir, "fake.log"), "a", encoding="utf-8") as out:
            out.write(text + "\n")

    os.makedirs(args.runtime_dir, exist_ok=True)
    note(f"pid {os.getpid()}")
    if plan.get("start") == "die":
        return 3
    if plan.get("start") == "error":
        os.write(args.ready_fd, b"error: the runtime directory is held by pid 77\n")
        return 1
    if plan.get("start") == "hang":
        signal.pause()
    state = {"lab": None}
    over = threading.Event()

    def end(conn):
        event(conn, "QUIT", {"reason": "the lab is down"})
        over.set()
        threading.Event().wait()  # it reads nothing more

    def lab_up(arguments, _fds, conn):
        note("lab-up " + json.dumps(arguments))
        state["lab"] = json.loads(arguments["content"])
        names = [vm["name"] for vm in state["lab"]["vms"]]
        for vm in names:
            event(conn, "VM_STATE", {"vm": vm, "state": "running", "previous": "starting"})
        if plan.get("lab-up") == "hang":
            over.wait()
            raise Refuse("Cancelled", "the lab went down")
        if plan.get("lab-up") == "dead":
            if not arguments["keep_failed"]:
                state["lab"] = None
                over.set()
            raise Refuse("GuestDead", f"VM {names[0]} panicked", hint="read its console",
                         console=["Kernel panic - not syncing: \x1b[1mtest", "end"])
        if plan.get("lab-up") == "drop":
            os._exit(9)
        state["driven"] = time.monotonic() + plan.get("driven_after", 0)
        return {"name": "x", "vms": []}

    def lab_down(_arguments, _fds, conn):
        note("lab-down")
        count = len(state["lab"]["vms"])
        state["lab"] = None
        # As the real one: the answer, QUIT, and then the end.
        return Then({"vms": count}, (lambda: end(conn)) if args.exit_when_idle else None)

    def query_status(_arguments, _fds, _conn):
        if not state["lab"]:
            return status(lab=None)
        driven = time.monotonic() >= state.get("driven", 0) and plan.get("vf") != "offered"
        return status(state["lab"]["name"], [vm["name"] for vm in state["lab"]["vms"]],
                      "driven" if driven else "offered", plan.get("vm_state", "ready"),
                      plan.get("nic"))

    def quit_(_arguments, _fds, conn):
        note("quit")
        return Then({}, lambda: end(conn))

    signal.signal(signal.SIGTERM, lambda *_: over.set())
    fake = Fake(args.runtime_dir, {"lab-up": lab_up, "lab-down": lab_down, "quit": quit_,
                                   "query-status": query_status})
    os.write(args.ready_fd, b"ready\n")
    os.close(args.ready_fd)
    while not over.wait(0.1):
        pass
    time.sleep(0.1)  # let the answer that ended it go out
    fake.close()
    note("end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
