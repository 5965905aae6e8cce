#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What policy costs, in three parts.

ports: hvlab's switch beside Open vSwitch with DPDK, between two vhost-user ports. One core
switches, the other generates (bench_flows): UDP frames of N connections, from one port to the
other, as fast as they come back. Both switches live through the whole run, each with a generator of
its own, stopped (SIGSTOP) while it is not their turn; a case measures one and then the other within
seconds, so that what else runs on the machine hits both.
inside: the same in one thread, without rings, in nanoseconds, offloaded flows too, and by step.
tunnel: through VXLAN, over the loopback.
"""

import argparse
import json
import os
import signal
import statistics
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import inside  # noqa: E402  (the path is set above)
import paths  # noqa: E402
import peers  # noqa: E402
import rules  # noqa: E402
from partslib.common import Cache, PartsError  # noqa: E402
from paths import BenchError, say  # noqa: E402

PARTS = ("ports", "inside", "tunnel")
TABLES = ("none", "stateless", "stateful")
MANY_FLOWS = 1 << 18        # records of hvlab's table
MOST_FLOWS = 4 << 20        # the same where connections are many or new; Open vSwitch may track it
TRIES = 4
LOSS = 0.01                 # of a sample's frames; more and it is taken again


class Case:
    """What is measured: a rule table, connections, misses in 1000, frame size."""

    def __init__(self, table, n_rules, flows, miss=0, size=64):
        self.table, self.rules, self.flows, self.miss, self.size = (
            table, n_rules, flows, miss, size)

    def name(self):
        """For people."""
        table = "no policy" if self.table == "none" else f"{self.rules} rules, {self.table}"
        return f"{table}, {self.flows} flows, {self.miss / 10:g} % new, {self.size} B"

    def policy(self):
        """Cases that differ in this need another table."""
        return self.table, self.rules, bool(self.miss or self.flows > 100000)

    def entry(self):
        """For programs."""
        return {"table": self.table, "rules": self.rules, "flows": self.flows,
                "miss_per_mille": self.miss, "bytes": self.size}


def all_cases():
    """In an order in which tables change seldom."""
    found = []
    for size in (64, 1500):
        found += [Case("none", 0, n, 0, size) for n in (1, 100000)]
        for table in ("stateless", "stateful"):
            for n_rules in (0, 100, 1000):
                for flows in (1, 1000, 100000, 1000000):
                    if n_rules == 100 and flows in (1, 1000000):
                        continue
                    if size == 1500 and (n_rules == 100 or flows in (1000, 1000000)):
                        continue
                    found.append(Case(table, n_rules, flows, 0, size))
                if size == 64 and table == "stateful":
                    misses = (10, 100, 1000) if n_rules == 1000 else (1000,)
                    found += [Case(table, n_rules, 1000, m, size) for m in misses]
    return found


class Ours(paths.Ours):
    """bench_paths, with rules at its second port."""

    def __init__(self, room, program):
        super().__init__(room, "hvlab", program, "split")
        self.room, self.flows = room, None

    def command(self, line):
        """A line; what it answers."""
        return json.loads(self.program.ask(line, r"\{.*\}\n", 60).strip())

    def set_table(self, table, n_rules, large):
        """The rules of a case."""
        path = self.room.path("rules")
        flows = MOST_FLOWS if large else MANY_FLOWS
        if flows != self.flows and self.command(f"flows {flows}")["error"]:
            raise BenchError("bench_paths cannot attach its port again")
        self.flows = flows
        if table != "none":
            paths.write(path, rules.for_hvlab(n_rules, table == "stateful"))
        if self.command(f"policy 1 {path if table != 'none' else '-'}")["error"]:
            raise BenchError(f"bench_paths refused the rules:\n{self.program.text}")

    def forget(self):
        """No connection is left."""
        self.command("cut")


class Ovs(paths.Ovs):
    """Open vSwitch with the same rules."""

    def __init__(self, room, tools, smc):
        super().__init__(room, tools, "split")
        if smc:
            self.vsctl("set", "Open_vSwitch", ".", "other_config:smc-enable=true")
        self.appctl("dpctl/ct-set-maxconns", str(MOST_FLOWS))

    def appctl(self, *args):
        """Ask the running daemon."""
        return self.tool("usr/bin/ovs-appctl", "-t", f"{self.top}/ctl", *args)

    def ofctl(self, command, *args):
        """Change the bridge's tables."""
        return self.tool("usr/bin/ovs-ofctl", command, f"unix:{self.top}/br0.mgmt", *args)

    def set_table(self, table, n_rules, _large):
        """The flows of a case."""
        self.ofctl("del-flows")
        if table == "none":
            for a, b in ((1, 2), (2, 1)):
                self.ofctl("add-flow", f"in_port={a},actions=output:{b}")
            return
        path = os.path.join(self.top, "flows")
        paths.write(path, rules.for_ovs(n_rules, table == "stateful"))
        self.ofctl("add-flows", path)

    def forget(self):
        """No connection is left."""
        self.appctl("dpctl/flush-conntrack")


class Pair:
    """A switch and its generator."""

    def __init__(self, room, name, switch, generator):
        self.name, self.switch = name, switch
        self.generator = room.keep(paths.Program(f"generator for {name}", [
            generator, "--cpu", str(paths.GENERATOR_CORE), *switch.sockets, *paths.MACS],
            terminal=False))
        self.generator.wait_for(r"connected\n")
        self.policy = None
        self.learned = None
        self.samples = {}
        self.freeze()

    def programs(self):
        """Both sides."""
        return [*self.switch.programs(), self.generator]

    def freeze(self):
        """Somebody else's turn."""
        for p in self.programs():
            p.freeze()

    def generate(self, line):
        """A line for the generator; what it answers."""
        return json.loads(self.generator.ask(line, r"\{.*\}\n", 120).strip())

    def sample(self, case, milliseconds):
        """One sample; None: too much was lost to be one."""
        for p in self.programs():
            p.thaw()
        if self.policy != case.policy():
            self.switch.set_table(*case.policy())
            self.policy = case.policy()
        self.switch.forget()
        learned = self.generate(f"learn {case.flows}")
        # Table changes and first packets are over: caches are as they will be.
        self.generate(f"run {case.size} {case.flows} 0 50")
        cpu0, mark0 = self.switch.program.cpu(), self.switch.mark()
        got = self.generate(f"run {case.size} {case.flows} {case.miss} {milliseconds}")
        cpu1, mark1 = self.switch.program.cpu(), self.switch.mark()
        self.freeze()
        if max(learned["lost"] / case.flows, got["lost"] / max(got["sent"], 1)) > LOSS:
            say(f"{self.name}: learning lost {learned['lost']}, the sample {got['lost']} of "
                f"{got['sent']}; again")
            return None
        frames = mark1["rx_packets"] - mark0["rx_packets"]
        return {"mpps": got["arrived"] / got["seconds"] / 1e6,
                "gbps": got["arrived"] / got["seconds"] * case.size * 8 / 1e9,
                "new_per_second": got["new"] / got["seconds"],
                "busy_cycles": (mark1["busy_cycles"] - mark0["busy_cycles"]) / max(frames, 1),
                "switch_cpu": (cpu1 - cpu0) / got["seconds"], "generator_cpu": got["cpu"]}

    def measure(self, number, case, milliseconds):
        """One sample, in as many tries as it takes."""
        for _ in range(TRIES):
            found = self.sample(case, milliseconds)
            if found:
                self.samples.setdefault(number, []).append(found)
                return
        raise BenchError(f"{self.name}, {case.name()}: frames are lost in each of {TRIES} tries: "
                         "the machine is too busy, or the switch drops")


def median_ratio(mine, theirs, what):
    """Of the rounds' ratios: both were measured within seconds of each other."""
    return round(statistics.median(a[what] / b[what] for a, b in zip(mine, theirs)), 3)


def results(cases, pairs):
    """One entry per case and switch."""
    found = []
    mine = next((p for p in pairs if p.name == "hvlab"), None)
    for number, case in enumerate(cases):
        for pair in pairs:
            samples = pair.samples[number]
            entry = dict(case.entry(), switch=pair.name, rounds=len(samples))
            for what in ("mpps", "gbps", "new_per_second", "busy_cycles", "switch_cpu",
                         "generator_cpu"):
                entry[what] = round(paths.median(samples, what), 3)
            if mine and pair is not mine:
                entry["hvlab_rate_ratio"] = median_ratio(mine.samples[number], samples, "mpps")
                entry["hvlab_cycles_ratio"] = median_ratio(mine.samples[number], samples,
                                                           "busy_cycles")
            found.append(entry)
    return found


def table(found):
    """For people."""
    form = "{:>5} {:<9} {:>5} {:>8} {:>6}  {:<6}{:>7} {:>7} {:>9} {:>7} {:>7}  {}"
    print(form.format("bytes", "table", "rules", "flows", "new %", "switch", "Mpps", "busy",
                      "new/s", "CPU sw", "CPU gen", "hvlab: rate, cycles"))
    for e in found:
        print(form.format(
            e["bytes"], e["table"], e["rules"], e["flows"], f"{e['miss_per_mille'] / 10:g}",
            e["switch"], f"{e['mpps']:.2f}", f"{e['busy_cycles']:.0f}",
            f"{e['new_per_second']:.0f}" if e["miss_per_mille"] else "",
            f"{e['switch_cpu'] * 100:.0f} %", f"{e['generator_cpu'] * 100:.0f} %",
            f"{e['hvlab_rate_ratio']:.2f} x, {e['hvlab_cycles_ratio']:.2f} x"
            if "hvlab_rate_ratio" in e else "").rstrip())
    print("Mpps: frames delivered, median of the rounds. busy: cycles of the switch's core per\n"
          "frame, without passes that found none, as each switch counts itself. new/s: connections\n"
          "made. CPU: what switch and generator got of their cores. hvlab: median of the rounds'\n"
          "ratios, hvlab over the other; of the rate more is better, of the cycles less.")


def parse_arguments():
    """The command line."""
    top = argparse.ArgumentParser(prog="scripts/bench switch", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--program", required=True, help=argparse.SUPPRESS)
    top.add_argument("--generator", required=True, help=argparse.SUPPRESS)
    top.add_argument("--inside", required=True, help=argparse.SUPPRESS)
    top.add_argument("--tunnel", required=True, help=argparse.SUPPRESS)
    top.add_argument("--part", choices=PARTS, action="append", help="only these parts")
    top.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    top.add_argument("--rounds", type=int, default=5, metavar="N",
                     help="rounds, of which the median is shown (default %(default)s)")
    top.add_argument("--seconds", type=float, default=0.3, metavar="S",
                     help="per switch and case (default %(default)s)")
    top.add_argument("--size", type=int, choices=(64, 1500), action="append",
                     help="only frames of this size")
    top.add_argument("--table", choices=TABLES, action="append", help="only these rule tables")
    top.add_argument("--rules", type=int, action="append", metavar="N", help="only so many rules")
    top.add_argument("--flows", type=int, action="append", metavar="N",
                     help="only so many connections")
    top.add_argument("--switch", choices=("hvlab", "ovs"), action="append",
                     help="only these switches")
    top.add_argument("--smc", action="store_true",
                     help="Open vSwitch with its signature match cache, which is off by default")
    top.add_argument("--other", metavar="PROGRAM",
                     help="another bench_paths, measured too: before and after a change")
    args = top.parse_args()
    if args.rounds < 1 or args.seconds <= 0:
        top.error("at least one round, and more than no time")
    return args


def chosen(args):
    """The cases that were asked for."""
    return [c for c in all_cases()
            if (not args.size or c.size in args.size)
            and (not args.table or c.table in args.table)
            and (args.rules is None or c.rules in args.rules)
            and (not args.flows or c.flows in args.flows)]


def start(room, args, tools):
    """The switches and their generators, stopped until it is their turn."""
    names = args.switch or ["hvlab", "ovs"]
    pairs = []
    if "hvlab" in names:
        pairs.append(Pair(room, "hvlab", Ours(room, args.program), args.generator))
    if args.other:
        with_other = paths.Room()
        room.stack.enter_context(with_other)
        pairs.append(Pair(room, "other", Ours(with_other, args.other), args.generator))
    if "ovs" in names:
        pairs.append(Pair(room, "ovs", Ovs(room, tools, args.smc), args.generator))
    return pairs


def measure_ports(room, args, cases):
    """The pairs, with their samples."""
    tools = peers.get(Cache())
    room.huge_pages()
    pairs = start(room, args, tools)
    for number in range(args.rounds):
        for which, case in enumerate(cases):
            say(f"round {number + 1} of {args.rounds}: {case.name()}")
            for pair in pairs:
                pair.measure(which, case, int(args.seconds * 1000))
    return pairs


def measure_rest(args, what, part):
    """Rounds of a part that needs no peers."""
    for number in range(args.rounds):
        say(f"{what}: round {number + 1} of {args.rounds}")
        part.measure()


def main():
    """Start, measure, print."""
    args = parse_arguments()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, _frame: sys.exit(128 + number))
    if len(os.sched_getaffinity(0)) < 2:
        raise BenchError("two cores are needed: one to switch, one to generate")
    parts, cases = args.part or PARTS, chosen(args)
    if not cases:
        raise BenchError("no case is left; see --help")
    found = {"tsc_hz": paths.tsc_hz()}
    with paths.Room() as room:
        if "ports" in parts:
            found["ports"] = results(cases, measure_ports(room, args, cases))
        if "inside" in parts:
            part = inside.Inside(room, args.inside)
            measure_rest(args, "inside", part)
            found["inside"], found["steps"] = part.results(), part.steps()
        if "tunnel" in parts:
            part = inside.Tunnel(args.tunnel)
            measure_rest(args, "tunnel", part)
            found["tunnel"] = part.results()
    if args.json:
        print(json.dumps(found, indent="\t"))
        return
    if "ports" in found:
        table(found["ports"])
    if "inside" in found:
        inside.show(found["inside"], found["steps"])
    if "tunnel" in found:
        inside.show_tunnel(found["tunnel"])


if __name__ == "__main__":
    try:
        main()
    except (BenchError, PartsError) as bad:
        print(f"bench: {bad}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("bench: interrupted; what was started is stopped", file=sys.stderr)
        sys.exit(130)
