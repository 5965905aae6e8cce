#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs inside a guest: sends frames that a switch's port may refuse, and says what it hears.

  features_guest.py shout DEV KIND TAG COUNT [GAP]  so many frames with TAG in them, GAP seconds
                    apart; prints how many seconds it took. KIND is broadcast; spoof: the same with
                    another source address; dhcp: a DHCP server's UDP, 67 to 68; ra: a router
                    advertisement
  features_guest.py hear DEV FILE      promiscuous; FILE has {"TAG": frames, "ping FROM TO": echo
                    requests, "pong FROM TO": replies}, written when nothing came for a moment.
                    Until killed
  features_guest.py drain PORT         reads TCP connections. Until killed
  features_guest.py pour HOST PORT     fills four TCP connections. Until killed
"""

import json
import os
import select
import socket
import struct
import sys
import time

OTHER_MAC = bytes.fromhex("02dead000001")
BROADCAST, ALL_NODES = b"\xff" * 6, bytes.fromhex("333300000001")
MARK = b"hvlab:"                # in front of a tag, which has six characters
SOL_PACKET, ADD_MEMBERSHIP, PROMISC, OUTGOING = 263, 1, 1, 4


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def dhcp(mac, text):
    """An offer's outside: IPv4, UDP from 67 to 68 without a checksum."""
    udp = struct.pack("!HHHH", 67, 68, 8 + len(text), 0) + text
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                       bytes([169, 254, 0, 1]), b"\xff" * 4)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return BROADCAST + mac + b"\x08\x00" + head + udp


def router_advertisement(mac, text):
    """From a link-local address, with a lifetime of 0; the tag is in options of no known type."""
    text = text.ljust(14, b"\0")
    source = bytes.fromhex("fe80") + b"\0" * 8 + mac
    target = bytes.fromhex("ff02") + b"\0" * 13 + b"\1"
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0) + bytes([253, 2]) + text
    sum_of = source + target + struct.pack("!II", len(body), 58) + body
    body = body[:2] + struct.pack("!H", checksum(sum_of)) + body[4:]
    return (ALL_NODES + mac + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(body), 58, 255)
            + source + target + body)


def shout(dev, kind, tag, count, gap):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((dev, 0))
    mac, text = sock.getsockname()[4], MARK + tag.encode()
    if kind == "dhcp":
        frame = dhcp(mac, text)
    elif kind == "ra":
        frame = router_advertisement(mac, text)
    else:
        frame = BROADCAST + (OTHER_MAC if kind == "spoof" else mac) + b"\x88\xb5" + text
    frame = frame.ljust(60, b"\0")
    started = time.monotonic()
    for _ in range(count):
        sock.send(frame)
        if gap:
            time.sleep(gap)
    print(f"{time.monotonic() - started:.3f}")


def name(frame):
    """What a frame is counted as, or None."""
    at = frame.find(MARK)
    if at >= 0:
        return frame[at + len(MARK):at + len(MARK) + 6].decode(errors="replace")
    if frame[12:14] == b"\x08\x00" and frame[23] == 1:
        head = 14 + (frame[14] & 15) * 4
        kind = {8: "ping", 0: "pong"}.get(frame[head])
        if kind:
            return " ".join([kind, socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])])
    return None


def write(path, counts):
    with open(path + ".new", "w", encoding="ascii") as out:
        json.dump(counts, out)
    os.rename(path + ".new", path)


def hear(dev, path):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((dev, 3))
    sock.setsockopt(SOL_PACKET, ADD_MEMBERSHIP,
                    struct.pack("IHH8s", socket.if_nametoindex(dev), PROMISC, 0, b""))
    counts, told = {}, None
    while True:
        if told != counts and not select.select([sock], [], [], 0.05)[0]:
            told = dict(counts)
            write(path, told)
        frame, address = sock.recvfrom(2048)
        found = name(frame) if address[2] != OUTGOING else None
        if found:
            counts[found] = counts.get(found, 0) + 1


def drain(port):
    server = socket.create_server(("", port))
    socks = [server]
    while True:
        for sock in select.select(socks, [], [])[0]:
            if sock is server:
                socks.append(server.accept()[0])
            elif not sock.recv(1 << 18):
                socks.remove(sock)
                sock.close()


def pour(host, port):
    socks = [socket.create_connection((host, port), 30) for _ in range(4)]
    data = b"\x5a" * (1 << 16)
    for sock in socks:
        sock.setblocking(False)
    while True:
        for sock in select.select([], socks, [])[1]:
            sock.send(data)


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "shout":
        shout(args[0], args[1], args[2], int(args[3]), float(args[4]) if len(args) > 4 else 0)
    elif what == "hear":
        hear(args[0], args[1])
    elif what == "drain":
        drain(int(args[0]))
    elif what == "pour":
        pour(args[0], int(args[1]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
