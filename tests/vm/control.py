# SPDX-License-Identifier: BSD-2-Clause
"""A client of hvlabd's control socket (docs/protocol.md): requests, answers, events."""

import json
import socket
import time


class Refused(Exception):
    """The daemon answered with an error; what it said is in the members."""

    def __init__(self, command, error):
        self.command = command
        self.error_class = error.get("class")
        self.error = error
        super().__init__(f"{command}: {error.get('class')}: {error.get('desc')}")


class Closed(Exception):
    """The daemon closed the connection."""


class Control:
    """One connection. Not for use by two threads at once."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.settimeout(30)
            self.sock.connect(path)
            self.buffer = bytearray()
            self.scanned = 0
            self.last_id = 0
            self.events = []
            self.greeting = self._line(time.monotonic() + 30)
        except BaseException:
            self.sock.close()
            raise

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    def _line(self, deadline):
        """The next message; TimeoutError when none came by then."""
        while True:
            end = self.buffer.find(b"\n", self.scanned)
            if end >= 0:
                text = bytes(self.buffer[:end])
                del self.buffer[:end + 1]
                self.scanned = 0
                return json.loads(text)
            self.scanned = len(self.buffer)
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no message from the daemon")
            self.sock.settimeout(left)
            data = self.sock.recv(1 << 18)
            if not data:
                raise Closed("the daemon closed the control connection")
            self.buffer += data

    def call(self, command, timeout=60, **arguments):
        """The answer to a command. Events that come before it are kept in self.events."""
        self.last_id += 1
        request = {"execute": command, "id": self.last_id}
        if arguments:
            request["arguments"] = arguments
        self.sock.settimeout(30)
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        deadline = time.monotonic() + timeout
        while True:
            try:
                message = self._line(deadline)
            except TimeoutError:
                raise TimeoutError(f"{command}: no answer in {timeout} s") from None
            if "event" in message:
                self.events.append(message)
            elif message.get("id") == self.last_id:
                if "error" in message:
                    raise Refused(command, message["error"])
                return message["return"]

    def wait_event(self, name, timeout, **data):
        """The first event of that name whose data has these members. It and all that came before
        it are consumed: what is waited for next comes after it."""
        deadline = time.monotonic() + timeout
        while True:
            for index, event in enumerate(self.events):
                if event["event"] == name and all(
                        event["data"].get(k) == v for k, v in data.items()):
                    del self.events[:index + 1]
                    return event
            try:
                message = self._line(deadline)
            except TimeoutError:
                raise TimeoutError(f"no event {name} with {data} in {timeout} s; came: " + ", ".join(
                    f"{e['event']} {e['data']}" for e in self.events[-5:])) from None
            if "event" in message:
                self.events.append(message)
