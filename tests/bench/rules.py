# SPDX-License-Identifier: BSD-2-Clause
"""Rule tables for scripts/bench switch: the same ones for hvlab and for Open vSwitch.

Traffic is UDP from 10.16.0.0/12 to port 5000 of 10.0.0.2 behind the second port. Of N rules only
the last one lets it in; the others are about other clients or other services, as a network
security group has them. What the guest behind the second port sends may go everywhere.
"""

import random

CLIENTS = "10.16.0.0/12"
SERVICE = 5000
PROTOCOLS = {"tcp": 6, "udp": 17}
FIRST_PRIORITY = 100


class Rule:
    """One inbound rule."""

    def __init__(self, allow, proto, src, low, high):
        self.allow, self.proto, self.src, self.low, self.high = allow, proto, src, low, high


def prefix(rng):
    """A network that is none of the clients'."""
    length = rng.choice((16, 20, 22, 24, 24, 24, 26, 28, 32, 32))
    first = rng.choice((0xac10, 0xc0a8, 0xcb00, 0x0a80)) << 16 | rng.getrandbits(16)
    first &= 0xffffffff << 32 - length & 0xffffffff
    return ".".join(str(first >> n & 255) for n in (24, 16, 8, 0)) + f"/{length}"


def service(rng):
    """Ports that are not the service's."""
    low = rng.choice((22, 53, 80, 123, 443, 1433, 3306, 3389, 5432, 6379, 8080, 9000 +
                      rng.randrange(20000)))
    high = low if rng.random() < 0.7 else low + rng.randrange(1, 300)
    return low, high


def inbound(count):
    """@count rules, always the same ones; 0: everything is let in."""
    if not count:
        return [Rule(True, "udp", "any", 0, 65535)]
    rng, rules = random.Random(count), []
    while len(rules) < count - 1:
        kind, proto = rng.random(), rng.choice(("tcp", "tcp", "udp"))
        low, high = service(rng)
        if kind < 0.7:              # these clients, that service
            rules.append(Rule(rng.random() < 0.7, proto, prefix(rng), low, high))
        elif kind < 0.85:           # everything from there
            rules.append(Rule(rng.random() < 0.3, proto, prefix(rng), 0, 65535))
        elif not low <= SERVICE <= high:
            rules.append(Rule(True, proto, "any", low, high))
    rules.append(Rule(True, "udp", CLIENTS, SERVICE, SERVICE))
    return rules


def for_hvlab(count, stateful):
    """Lines of bench_rules.h."""
    state = "stateful" if stateful else "stateless"
    lines = [f"out 100 allow {state} any any any any"]
    for n, r in enumerate(inbound(count)):
        verdict = "allow" if r.allow else "deny"
        lines.append(f"in {FIRST_PRIORITY + n} {verdict} {state} {PROTOCOLS[r.proto]} {r.src} any "
                     f"{r.low}-{r.high}")
    lines.append("in 65000 deny stateless any any any any")
    return "".join(line + "\n" for line in lines)


def masks(low, high):
    """A range of ports as value/mask pairs; OpenFlow knows no ranges."""
    found = []
    while low <= high:
        size = 1
        while low % (size * 2) == 0 and low + size * 2 - 1 <= high:
            size *= 2
        found.append(f"{low:#x}/{0xffff & ~(size - 1):#x}")
        low += size
    return found


def matches(rule):
    """The same rule as OpenFlow matches."""
    src = "" if rule.src == "any" else f",nw_src={rule.src}"
    if (rule.low, rule.high) == (0, 65535):
        return [rule.proto + src]
    return [f"{rule.proto}{src},tp_dst={port}" for port in masks(rule.low, rule.high)]


def for_ovs(count, stateful):
    """Flows for ovs-ofctl. Stateful: one zone, as one port with a policy has one table."""
    lines = ["table=0,priority=0,actions=drop"]
    if stateful:
        lines += ["table=0,priority=10,in_port=1,ip,actions=ct(table=1,zone=1)",
                  "table=0,priority=10,in_port=2,ip,actions=ct(table=2,zone=1)",
                  "table=2,priority=10,ct_state=+trk+est,ip,actions=output:1",
                  "table=2,priority=9,ct_state=+trk+new,ip,actions=ct(commit,zone=1),output:1",
                  "table=1,priority=65535,ct_state=+trk+inv,ip,actions=drop",
                  "table=1,priority=65534,ct_state=+trk+est,ip,actions=output:2",
                  "table=1,priority=0,actions=drop"]
        where, let = "table=1,ct_state=+trk+new,", "ct(commit,zone=1),output:2"
    else:
        lines += ["table=0,priority=10,in_port=2,ip,actions=output:1"]
        where, let = "table=0,in_port=1,", "output:2"
    for n, rule in enumerate(inbound(count)):
        for match in matches(rule):
            lines.append(f"{where}priority={60000 - n},{match},"
                         f"actions={let if rule.allow else 'drop'}")
    return "".join(line + "\n" for line in lines)
