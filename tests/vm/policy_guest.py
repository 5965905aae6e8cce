#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs inside a guest: asks what a policy lets through, and holds a connection on.

  policy_guest.py listen PORT...         TCP: sends every line back; UDP: every datagram. Until killed
  policy_guest.py probe HOST WHAT...     tcp:PORT, udp:PORT: prints {"tcp:22": "open", ...}; what no
                                         answer came to is "silent", what was refused is "refused"
  policy_guest.py stream HOST PORT FILE  a line each 20 ms on one connection; FILE has the time
                                         (CLOCK_REALTIME, s) of the last answer and their number
  policy_guest.py open HOST COUNT        so many UDP flows, a datagram each
"""

import json
import os
import select
import socket
import sys
import time

PATIENCE = 4.0      # seconds for all probes together; a SYN is repeated after one and three


def listen(ports):
    poll = select.poll()
    socks = {}

    def add(sock, kind):
        socks[sock.fileno()] = (sock, kind)
        poll.register(sock, select.POLLIN)

    for port in ports:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            sock = socket.socket(socket.AF_INET, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", port))
            if kind == socket.SOCK_STREAM:
                sock.listen(64)
            add(sock, "listen" if kind == socket.SOCK_STREAM else "udp")
    while True:
        for fd, _event in poll.poll():
            sock, kind = socks[fd]
            try:
                if kind == "listen":
                    add(sock.accept()[0], "tcp")
                elif kind == "udp":
                    sock.sendto(*sock.recvfrom(2048))
                else:
                    data = sock.recv(2048)
                    if not data:
                        raise OSError("end")
                    sock.sendall(data)
            except OSError:
                if kind == "tcp":
                    poll.unregister(fd)
                    del socks[fd]
                    sock.close()


def probe(host, whats):
    answers = {what: "silent" for what in whats}
    waiting = {}
    poll = select.poll()
    for what in whats:
        kind, port = what.split(":")
        sock = socket.socket(socket.AF_INET,
                             socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect_ex((host, int(port)))
        if kind == "udp":
            sock.send(b"?")
        poll.register(sock, select.POLLOUT if kind == "tcp" else select.POLLIN)
        waiting[sock.fileno()] = (sock, what)
    end = time.monotonic() + PATIENCE
    while waiting and time.monotonic() < end:
        for fd, _event in poll.poll(200):
            sock, what = waiting.pop(fd)
            poll.unregister(fd)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            answers[what] = "refused" if error else "open"
            sock.close()
    print(json.dumps(answers))


def stream(host, port, path):
    sock = socket.create_connection((host, port), 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    count = 0
    while True:
        sock.sendall(b"line\n")
        data = b""
        while not data.endswith(b"\n"):
            data += sock.recv(64)
        count += 1
        with open(path + ".new", "w", encoding="ascii") as out:
            out.write(f"{time.time():.3f} {count}\n")
        os.replace(path + ".new", path)         # who reads it never finds it empty
        time.sleep(0.02)


def open_flows(host, count):
    for i in range(count):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.sendto(b"x", (host, 10000 + i % 50000))
        sock.close()


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "listen":
        listen([int(a) for a in args])
    elif what == "probe":
        probe(args[0], args[1:])
    elif what == "stream":
        stream(args[0], int(args[1]), args[2])
    elif what == "open":
        open_flows(args[0], int(args[1]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
