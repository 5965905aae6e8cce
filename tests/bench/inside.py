# SPDX-License-Identifier: BSD-2-Clause
"""The parts of scripts/bench switch without peers: inside one thread, and through a VXLAN tunnel.

Programs run to their end once per round; figures are medians over rounds, differences and ratios
are taken within a round.
"""

import json
import os
import statistics
import subprocess

import paths
import rules

TABLES = (0, 100, 1000)


def run(argv, core):
    """What a program prints, on that core, ahead of what else the machine does."""
    def prepare():
        paths.die_with_parent()
        if core is not None:
            os.sched_setaffinity(0, {core})

    done = subprocess.run(argv, text=True, capture_output=True, check=False, timeout=600,
                          preexec_fn=prepare)    # pylint: disable=subprocess-popen-preexec-fn
    if done.returncode:
        raise paths.BenchError(f"{argv[0]}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def key(entry):
    """What tells cases apart."""
    return tuple(entry[k] for k in ("what", "rules", "flows", "miss_per_mille", "bytes", "offload"))


class Inside:
    """vsw_send() by rules, connections and misses; and the steps it is made of."""

    def __init__(self, room, program):
        self.argv = [program]
        for count in TABLES:
            path = room.path(f"rules-{count}")
            paths.write(path, rules.for_hvlab(count, True))
            self.argv.append(f"{count}={path}")
        self.rounds = []

    def measure(self):
        """A round."""
        found = run(self.argv, paths.SWITCH_CORE)
        self.rounds.append({key(e): e["ns"] for e in found})

    def ns(self, what, count=-1, flows=1, miss=0, size=64, offload=False):
        """One figure of each round."""
        return [r[what, count, flows, miss, size, offload] for r in self.rounds]

    def results(self):
        """One entry per case."""
        found = []
        for case in self.rounds[0]:
            name, count, flows, miss, size, offload = case
            mine = [r[case] for r in self.rounds]
            entry = {"what": name, "rules": count, "flows": flows, "miss_per_mille": miss,
                     "bytes": size, "offload": offload, "ns": round(statistics.median(mine), 1)}
            if name.startswith("send") and count >= 0:
                copy = name == "send and copy"
                plain = self.ns(name, size=size if copy else 64)
                least = self.ns(name, 0, size=size if copy else 64)
                entry["of_no_policy"] = ratio(mine, plain)
                entry["of_no_rules_one_flow"] = ratio(mine, least)
            found.append(entry)
        return found

    def steps(self):
        """ns by step, by difference."""
        def minus(a, b):
            return round(statistics.median(x - y for x, y in zip(a, b)), 1)

        parse, way = self.ns("parse"), self.ns("send")
        found = {"parse": minus(parse, self.ns("pick")),
                 "find the way, hand over": minus(way, parse),
                 "settle and copy 64 bytes": minus(self.ns("send and copy"), way),
                 "settle and copy 1500 bytes": minus(self.ns("send and copy", size=1500), way),
                 "key and hash": minus(self.ns("key"), parse)}
        for flows in (1, 1000, 100000, 1000000):
            found[f"find and count, {flows} flows"] = minus(self.ns("find", flows=flows),
                                                            self.ns("key"))
        found["policy in all, 1 flow"] = minus(self.ns("send", 1000), way)
        found["policy in all, 100000 flows"] = minus(self.ns("send", 1000, 100000), way)
        for count in TABLES:
            found[f"walk of a first packet, {count} rules"] = minus(
                self.ns("walk", count, 100000), parse)
            found[f"new connection, {count} rules"] = minus(
                self.ns("send", count, 1000, 1000), way)
        return found


def ratio(mine, theirs):
    """Median of the rounds' ratios."""
    return round(statistics.median(a / b for a, b in zip(mine, theirs)), 2)


def show(found, steps):
    """For people."""
    form = "{:>5} {:>6} {:>8} {:>6}  {:<9}{:>7} {:>14} {:>18}"
    print("\nInside one thread, ns per packet:")
    print(form.format("bytes", "rules", "flows", "new %", "", "ns", "of no policy",
                      "of 0 rules, 1 flow"))
    for e in found:
        if not e["what"].startswith("send"):
            continue
        note = "offloaded" if e["offload"] else "" if e["what"] == "send and copy" else "no copy"
        print(form.format(e["bytes"], e["rules"] if e["rules"] >= 0 else "-", e["flows"],
                          f"{e['miss_per_mille'] / 10:g}", note, f"{e['ns']:.0f}",
                          f"{e['of_no_policy']:.2f} x" if "of_no_policy" in e else "",
                          f"{e['of_no_rules_one_flow']:.2f} x"
                          if "of_no_rules_one_flow" in e else "").rstrip())
    print("\nWhere it goes, ns (differences of variants):")
    for what, ns in steps.items():
        print(f"{what:<40}{ns:>8.1f}")


class Tunnel:
    """Encapsulation and decapsulation, over the loopback."""

    FIGURES = ("send_user_ns", "send_system_ns", "receive_user_ns", "receive_system_ns")

    def __init__(self, program):
        self.program, self.rounds = program, []

    def measure(self):
        """A round."""
        self.rounds.append(run([self.program], None))

    def results(self):
        """One entry per size."""
        found = []
        for i, first in enumerate(self.rounds[0]):
            entry = {"bytes": first["bytes"], "mss": first["mss"]}
            for what in self.FIGURES:
                entry[what] = round(statistics.median(r[i][what] for r in self.rounds))
            found.append(entry)
        return found


def show_tunnel(found):
    """For people."""
    print("\nThrough a VXLAN tunnel over the loopback, ns of CPU: of a sent packet (the kernel's part\n"
          "holds the loopback's receiving half), of a received frame:")
    form = "{:>6} {:>5} {:>14} {:>14} {:>17} {:>17}"
    print(form.format("bytes", "MSS", "send: switch", "send: kernel", "receive: switch",
                      "receive: kernel"))
    for e in found:
        print(form.format(e["bytes"], e["mss"] or "-", *(e[what] for what in Tunnel.FIGURES)))
