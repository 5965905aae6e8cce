#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs inside a guest: a server that checks what reaches it, and clients that talk to it.

  peer.py serve PORT                     TCP: "NAME LENGTH\\n", then the data; answers its sha256.
                                         UDP: sends every datagram back.
  peer.py send HOST PORT BYTES [FLOWS]   random bytes over so many connections at once
  peer.py file HOST PORT PATH NAME       a file, kept in /tmp/NAME over there ("-": not kept)
  peer.py udp HOST PORT SIZE...          a datagram of each size must come back unchanged
  peer.py train HOST PORT SIZE COUNT     one write that the network stack cuts into COUNT datagrams
  peer.py flow HOST PORT COUNT SOURCE... a connection from each source port, COUNT small writes
  peer.py coalesce DEVICE [FRAMES]       completions per receive queue entry, by ethtool netlink
  peer.py rss DEVICE TABLE KEY           "0,1,..." or "default" or "-", hex digits or "-"

The clients print what they did and end with 0 only when every byte was right. Few imports: an
emulated CPU takes a second for each big one.
"""

import hashlib
import os
import socket
import struct
import sys
import threading
import time

CONNECT_LIMIT = 30      # seconds until a server must accept
ANSWER_LIMIT = 240      # seconds until an answer must come


def serve(port):
    """Both protocols on one port, IPv4 and IPv6, until killed."""
    tcp = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for sock in (tcp, udp):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::", port))
    tcp.listen(256)
    threading.Thread(target=echo, args=(udp,), daemon=True).start()
    while True:
        sock, _ = tcp.accept()
        threading.Thread(target=swallow, args=(sock,), daemon=True).start()


def echo(sock):
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(data, peer)


def swallow(sock):
    """One connection of serve()."""
    with sock:
        sock.settimeout(ANSWER_LIMIT)
        head = b""
        while not head.endswith(b"\n"):
            byte = sock.recv(1)
            if not byte:
                return
            head += byte
        name, length = head.decode().split()
        digest = hashlib.sha256()
        left = int(length)
        path = os.devnull if name == "-" else os.path.join("/tmp", os.path.basename(name))
        buffer = bytearray(1 << 18)
        view = memoryview(buffer)
        with open(path, "wb") as out:
            while left:
                size = sock.recv_into(buffer, min(left, len(buffer)))
                if not size:
                    return
                digest.update(view[:size])
                if name != "-":
                    out.write(view[:size])
                left -= size
        sock.sendall(digest.hexdigest().encode() + b"\n")


def connect(host, port, source=None):
    """A TCP connection; refused ones are tried again, the server may be starting."""
    deadline = time.monotonic() + CONNECT_LIMIT
    while True:
        try:
            address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            sock = socket.socket(address[0], socket.SOCK_STREAM)
            sock.settimeout(CONNECT_LIMIT)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if source:
                sock.bind(("", source))
            sock.connect(address[4])
            sock.settimeout(ANSWER_LIMIT)
            return sock
        except ConnectionRefusedError:
            sock.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def answer(sock):
    text = b""
    while not text.endswith(b"\n"):
        data = sock.recv(100)
        if not data:
            raise EOFError("the server closed the connection before its answer")
        text += data
    return text.decode().strip()


def send(host, port, size, flows=1):
    """The same random bytes over each connection; every answer must be their hash."""
    data = os.urandom(size)
    want = hashlib.sha256(data).hexdigest()
    bad = []

    def one(number):
        try:
            with connect(host, port) as sock:
                sock.sendall(f"- {size}\n".encode())
                sock.sendall(data)
                got = answer(sock)
            if got != want:
                bad.append(f"flow {number}: sent {want}, arrived {got}")
        except (OSError, EOFError) as error:
            bad.append(f"flow {number}: {error}")

    threads = [threading.Thread(target=one, args=(n,)) for n in range(flows)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if bad:
        sys.exit("\n".join(bad[:5]) + f"\n{len(bad)} of {flows} flows failed")
    print(f"{flows} flows of {size} bytes arrived whole")


def file(host, port, path, name):
    """A file by sendfile; prints the hash of what arrived."""
    size = os.path.getsize(path)
    with open(path, "rb") as src, connect(host, port) as sock:
        started = time.monotonic()
        sock.sendall(f"{name} {size}\n".encode())
        sock.sendfile(src)
        print(answer(sock), f"{time.monotonic() - started:.1f}")


def udp(host, port, sizes):
    """Each datagram up to five times: the network may lose one, but never change one."""
    address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    sock = socket.socket(address[0], socket.SOCK_DGRAM)
    sock.connect(address[4])
    lost = 0
    for size in sizes:
        data = os.urandom(size)
        for _ in range(5):
            sock.send(data)
            sock.settimeout(3)
            try:
                got = sock.recv(65536)
                while len(got) != size:     # late echo of an earlier size
                    got = sock.recv(65536)
            except TimeoutError:
                lost += 1
                continue
            if got != data:
                sys.exit(f"a datagram of {size} bytes came back changed")
            break
        else:
            sys.exit(f"no datagram of {size} bytes came back")
    print(f"{len(sizes)} sizes came back, {lost} datagrams lost")


def train(host, port, size, count):
    """UDP_SEGMENT: each datagram comes back unchanged; what is lost is sent again as a train."""
    address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    sock = socket.socket(address[0], socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_UDP, 103, size)      # Linux include/uapi/linux/udp.h UDP_SEGMENT
    sock.connect(address[4])
    sock.settimeout(3)
    data = os.urandom(size * count)
    waiting = {data[n * size:(n + 1) * size] for n in range(count)}
    for _ in range(5):
        sock.send(data)
        try:
            for _ in range(count):
                got = sock.recv(65536)
                if got not in waiting and data.find(got) % size:
                    sys.exit(f"a datagram of {len(got)} bytes came back changed")
                waiting.discard(got)
        except TimeoutError:
            pass
        if not waiting:
            print(f"{count} datagrams came back")
            return
    sys.exit(f"{len(waiting)} of {count} datagrams did not come back")


def flow(host, port, count, sources):
    """Small writes, one packet each, so that the receive queue of a flow counts them."""
    for source in sources:
        with connect(host, port, source) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(f"- {64 * count}\n".encode())
            for _ in range(count):
                sock.sendall(b"x" * 64)
            answer(sock)
    print(f"{len(sources)} flows done")


# Linux include/uapi/linux/ethtool_netlink_generated.h, genetlink.h: the guest's ethtool does
# not know the setting that Linux 7 added.
GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2
COALESCE_GET, COALESCE_SET, COALESCE_HEADER, HEADER_DEV_NAME = 19, 20, 1, 2
COALESCE_RX_CQE_FRAMES = 31
NLM_F_REQUEST, NLM_F_ACK, NLA_F_NESTED, NLMSG_ERROR = 1, 4, 0x8000, 2


def attribute(kind, payload):
    size = 4 + len(payload)
    return struct.pack("=HH", size, kind) + payload + b"\0" * (-size % 4)


def attributes(data):
    found = {}
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3fff] = data[4:size]
        data = data[(size + 3) & ~3:]
    return found


def genl(sock, family, command, payload):
    """One request; the attributes of its answer, or the errno that refused it."""
    body = struct.pack("=BBH", command, 1, 0) + payload
    sock.send(struct.pack("=IHHII", 16 + len(body), family, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body)
    found = {}
    while True:
        data = sock.recv(65536)
        while data:
            size, kind = struct.unpack_from("=IH", data)
            if kind == NLMSG_ERROR:
                (error,) = struct.unpack_from("=i", data, 16)
                if error:
                    raise OSError(-error, os.strerror(-error))
                return found
            found = attributes(data[20:size])
            data = data[(size + 3) & ~3:]


def coalesce(device, frames=None):
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)    # NETLINK_GENERIC
    sock.bind((0, 0))
    found = genl(sock, GENL_ID_CTRL, CTRL_CMD_GETFAMILY,
                 attribute(CTRL_ATTR_FAMILY_NAME, b"ethtool\0"))
    (family,) = struct.unpack("=H", found[CTRL_ATTR_FAMILY_ID][:2])
    header = attribute(COALESCE_HEADER | NLA_F_NESTED,
                       attribute(HEADER_DEV_NAME, device.encode() + b"\0"))
    if frames is not None:
        genl(sock, family, COALESCE_SET,
             header + attribute(COALESCE_RX_CQE_FRAMES, struct.pack("=I", frames)))
    found = genl(sock, family, COALESCE_GET, header)
    if COALESCE_RX_CQE_FRAMES not in found:
        sys.exit("unsupported: the kernel reports no rx-cqe-frames")
    print(struct.unpack("=I", found[COALESCE_RX_CQE_FRAMES])[0])


def rss(device, table, key):
    """ETHTOOL_SRSSH as kernels before 6.9 take it: today's ethtool sets a field they reserve."""
    import fcntl
    indir = [int(n) for n in table.split(",")] if table[0].isdigit() else []
    digits = b"" if key == "-" else bytes.fromhex(key)
    size = {"-": 0xffffffff, "default": 0}.get(table, len(indir))
    # Linux include/uapi/linux/ethtool.h struct ethtool_rxfh
    data = struct.pack("=IIIIB3xI", 0x47, 0, size, len(digits), 0, 0)
    data += struct.pack(f"={len(indir)}I", *indir) + digits
    buffer = ctypes_buffer(data)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # SIOCETHTOOL with a struct ifreq: name, then the pointer
        fcntl.ioctl(sock, 0x8946, struct.pack("16sP16x", device.encode(), buffer[0]))


def ctypes_buffer(data):
    """(address, what keeps it alive) of a copy of data."""
    import ctypes
    block = ctypes.create_string_buffer(data, len(data))
    return ctypes.addressof(block), block


def main():
    command, *args = sys.argv[1:]
    if command == "serve":
        serve(int(args[0]))
    elif command == "send":
        send(args[0], *map(int, args[1:]))
    elif command == "file":
        file(args[0], int(args[1]), args[2], args[3])
    elif command == "udp":
        udp(args[0], int(args[1]), [int(a) for a in args[2:]])
    elif command == "train":
        train(args[0], *map(int, args[1:]))
    elif command == "flow":
        flow(args[0], int(args[1]), int(args[2]), [int(a) for a in args[3:]])
    elif command == "coalesce":
        try:
            coalesce(args[0], *map(int, args[1:]))
        except OSError as error:
            sys.exit(f"unsupported: {error.strerror}")
    elif command == "rss":
        try:
            rss(*args)
        except OSError as error:
            sys.exit(f"refused: {error.strerror}")
    else:
        sys.exit(f"peer.py: no command {command}")


if __name__ == "__main__":
    main()
