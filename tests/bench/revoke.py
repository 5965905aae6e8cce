#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How long a flow stands still when a VF is taken away and given back: median and worst.

Two stock guests, a VF and a synthetic path each; "hvlab drill revoke" takes one guest's VF away
and gives it back under TCP, UDP and ping at 100 records a second. Graceful and abrupt cycles take
turns, five at a time. A gap is a flow's longest standstill beyond its pace and beyond what its
sender was late, between the begin of the operation and its end; "undisturbed" is the same of the
two seconds before each ten cycles, which is what the guests do to themselves.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

WAYS = ("graceful", "abrupt")
BATCH = 5           # cycles of one way in a row
SETTLE_NS = 200_000_000     # after an operation: what it held back arrives
STEPS = {"revoke": ("drained", "drain-limit", "no-drain", "unplug", "receive-off", "released",
                    "unplugged"),
         "restore": ("plug", "connected", "plugged", "driven")}
LAB = """networks:
  - name: blue
    subnet: 10.0.0.0/24
vms:
  - {{name: a, kernel: "{kernel}", nics: [{{network: blue}}]}}
  - {{name: b, kernel: "{kernel}", nics: [{{network: blue}}]}}
"""


class BenchError(Exception):
    """Cannot measure."""


def say(text):
    """Progress goes to stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Lab:
    """A lab of its own: runtime folder, daemon, two guests."""

    def __init__(self, hvlab, kernel):
        self.hvlab, self.kernel = hvlab, kernel
        self.dir = None
        self.env = None
        self.child = None

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="hvlab-bench-")
        self.env = dict(os.environ, HVLAB_RUNTIME_DIR=os.path.join(self.dir, "run"))
        lab = os.path.join(self.dir, "lab.yaml")
        with open(lab, "w", encoding="utf-8") as out:
            out.write(LAB.format(kernel=self.kernel))
        try:
            self.run("up", lab, limit=600)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_what):
        old = {sig: signal.signal(sig, signal.SIG_IGN)
               for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)       # a drill gives the VF back
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(30)
        subprocess.run([self.hvlab, "down"], env=self.env, check=False, timeout=120,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        shutil.rmtree(self.dir, ignore_errors=True)
        for sig, handler in old.items():
            signal.signal(sig, handler)

    def run(self, *args, limit, fine=(0,)):
        """A command of hvlab; what it printed."""
        self.child = subprocess.Popen(
            [self.hvlab, *args], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            out, err = self.child.communicate(timeout=limit)
        except subprocess.TimeoutExpired as late:
            raise BenchError(f"hvlab {args[0]} took more than {limit} s") from late
        if self.child.returncode not in fine:
            raise BenchError(f"hvlab {' '.join(args)}: status {self.child.returncode}\n"
                             + err[-2000:])
        return out

    def drill(self, way, cycles):
        """Cycles of one way; the drill's report."""
        out = self.run("drill", "revoke", "a/eth0", "--way", way, "--cycles", str(cycles),
                       "--load", "tcp,udp,ping", "--away", "0", "--json", "--max-gap", "none",
                       "--max-lost", "none", "--max-dropped", "none", "--max-connections", "none",
                       "--max-warnings", "none", limit=120 + 60 * cycles, fine=(0, 1))
        return json.loads(out)


def kind(flow):
    """tcp of "tcp a>b"."""
    return re.match(r"\w+", flow)[0]


def longest(gaps, begin, end):
    """{kind: ms} of the gaps that touch [begin, end]; 0 where a flow did not stand still."""
    found = {"tcp": 0.0, "udp": 0.0, "ping": 0.0}
    for gap in gaps:
        if gap["end_ns"] < begin or gap["end_ns"] - gap["raw_ms"] * 1e6 > end:
            continue
        name = kind(gap["flow"])
        if name in found:
            found[name] = max(found[name], gap["ms"])
    return found


class Figures:
    """What the cycles gave."""

    def __init__(self):
        self.gaps = {}          # (way, operation, kind): [ms]
        self.steps = {}         # (way, operation, step): [ms]
        self.quiet = {}         # kind: [ms]
        self.lost = {}          # way: datagrams and echoes
        self.connections = {}   # way: TCP connections
        self.cycles = {}        # way: cycles
        self.failed = []        # why, of cycles that did not end well

    def add(self, way, report):
        """A drill's report."""
        base = longest(report["baseline"]["gaps"], 0, 1 << 63)
        for name, ms in base.items():
            self.quiet.setdefault(name, []).append(ms)
        for cycle in report["cycles"]:
            if "lost" not in cycle:     # it broke off before its load was asked
                self.failed.append(f"{way}: {'; '.join(cycle.get('why', ['broke off']))}")
                continue
            self.cycles[way] = self.cycles.get(way, 0) + 1
            self.lost[way] = self.lost.get(way, 0) + cycle["lost"]
            self.connections[way] = (self.connections.get(way, 0)
                                     + len(cycle["connections_lost"]))
            if cycle["verdict"] != "pass":
                self.failed.append(f"{way}: {'; '.join(cycle['why'])}")
            for op in cycle["operations"]:
                if op.get("error") or not op.get("steps"):
                    self.failed.append(f"{way}: {op['op']}: {op.get('error') or 'no steps'}")
                    continue
                end = op["start_ns"] + op["ms"] * 1e6 + SETTLE_NS
                for name, ms in longest(cycle["gaps"], op["start_ns"], end).items():
                    self.gaps.setdefault((way, op["op"], name), []).append(ms)
                for step in op["steps"]:
                    self.steps.setdefault((way, op["op"], step["step"]), []).append(step["ms"])
                self.steps.setdefault((way, op["op"], "all"), []).append(op["ms"])

    def summary(self):
        """For programs."""
        def two(values):
            return {"median_ms": round(statistics.median(values), 1),
                    "worst_ms": round(max(values), 1), "n": len(values)}
        return {
            "gaps": [{"way": way, "operation": op, "flow": name, **two(v)}
                     for (way, op, name), v in self.gaps.items()],
            "undisturbed": [{"flow": name, **two(v)} for name, v in self.quiet.items()],
            "steps": [{"way": way, "operation": op, "step": step, **two(v)}
                      for (way, op, step), v in self.steps.items()],
            "ways": [{"way": way, "cycles": n, "lost": self.lost[way],
                      "connections_lost": self.connections[way]}
                     for way, n in self.cycles.items()],
            "failed": self.failed,
        }

    def table(self):
        """For people."""
        form = "{:<12}{:<10}{:>12}{:>12}{:>12}"
        cell = "{:.0f} / {:.0f}".format
        print(form.format("gap, ms", "", "tcp", "udp", "ping") + "   median / worst")

        def row(first, second, values):
            print(form.format(first, second, *(
                cell(statistics.median(v), max(v)) if v else "-" for v in values)))

        kinds = ("tcp", "udp", "ping")
        if self.quiet:
            row("undisturbed", "", [self.quiet.get(k) for k in kinds])
        for way in self.cycles:
            for op in ("revoke", "restore"):
                row(way, op, [self.gaps.get((way, op, k)) for k in kinds])
        for way, n in self.cycles.items():
            print(f"\n{way}: {n} cycles, {self.connections[way]} connections lost, "
                  f"{self.lost[way]} datagrams and echoes lost")
            for op in ("revoke", "restore"):
                known = [(s, self.steps[way, op, s]) for s in (*STEPS[op], "all")
                         if (way, op, s) in self.steps]
                print(f"  {op}: " + ", ".join(
                    f"{s} {statistics.median(v):.0f}" + (f" ({len(v)} times)" if len(v) < n
                                                         else "") for s, v in known)
                      + " ms (medians, from the begin)")
        for why in self.failed:
            print(f"did not end well: {why}")


def main():
    """Boot, drill, print."""
    top = argparse.ArgumentParser(prog="scripts/bench revoke", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--hvlab", required=True, help=argparse.SUPPRESS)
    top.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    top.add_argument("--cycles", type=int, default=50, metavar="N",
                     help="of each way (default %(default)s)")
    top.add_argument("--kernel", default="6.12", help="of the guests (default %(default)s)")
    top.add_argument("--way", choices=WAYS, action="append", help="only this one")
    args = top.parse_args()
    if args.cycles < 1:
        top.error("at least one cycle")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, _frame: sys.exit(128 + number))
    found = Figures()
    say("booting two guests")
    status = 0
    try:
        with Lab(args.hvlab, args.kernel) as lab:
            left = {way: args.cycles for way in args.way or WAYS}
            while any(left.values()):
                for way, n in left.items():
                    n = min(n, BATCH)
                    if not n:
                        continue
                    begin = time.monotonic()
                    found.add(way, lab.drill(way, n))
                    left[way] -= n
                    say(f"{n} {way} cycles in {time.monotonic() - begin:.0f} s, {left[way]} left")
    except KeyboardInterrupt:
        status = 130
        say("interrupted; the lab is down; what was measured until then:")
    except BenchError as bad:
        if not found.cycles:
            raise
        status = 1
        say(f"{bad}\nbench: what was measured until then:")
    if args.json:
        print(json.dumps({"kernel": args.kernel, **found.summary()}, indent="\t"))
    else:
        found.table()
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as bad:
        print(f"bench: {bad}", file=sys.stderr)
        sys.exit(1)
