#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Frames per second from one vhost-user port to another: hvlab's switch beside its peers.

One core switches, the other generates: a testpmd with two virtio-user ports that sends 512
frames each way and then returns what it gets. The switches are all started at the beginning,
each with a generator of its own; those whose turn it is not are stopped (SIGSTOP). A round
measures every switch at every size, so that what else runs on the machine hits all of them.
"""

import argparse
import contextlib
import ctypes
import json
import os
import pty
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import peers  # noqa: E402  (the path is set above)
from partslib.common import Cache, PartsError  # noqa: E402

SIZES = (64, 512, 1500)
SWITCHES = ("hvlab", "testpmd", "ovs")
OTHER = "other"                 # a second build of ours
RINGS = {                       # options of virtio-user: what the front end would like
    "in-order": "in_order=1,mrg_rxbuf=1,packed_vq=0",
    "split": "in_order=0,mrg_rxbuf=1,packed_vq=0",
    "packed": "in_order=1,mrg_rxbuf=1,packed_vq=1",
}
DEFAULT_RINGS = ("in-order", "split")
SWITCH_CORE, GENERATOR_CORE = 0, 1
IN_FLIGHT = 512     # frames each way; with 1024 a ring that is refilled late overflows
TRIES = 6
NICE = -20          # of what is measured: nearly all of a core that something else wants too
HUGEPAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
N_HUGEPAGES = 1536
MACS = ("02:00:00:00:0a:00", "02:00:00:00:0a:01")   # of the generator's ports
EAL = ("--in-memory", "--single-file-segments", "--no-pci", "--no-telemetry")
MBUFS = "--total-num-mbufs=32768"


class BenchError(Exception):
    """Cannot measure: what is wrong and what to do."""


def say(text):
    """Progress goes to stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


# ---- What was started -------------------------------------------------------------------------

LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """In the child: a killed bench leaves no process behind."""
    LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)      # PR_SET_PDEATHSIG
    os.setsid()                                 # Ctrl-C is not for it
    os.nice(NICE)
    with contextlib.suppress(OSError):          # a session may count as one to the scheduler
        write("/proc/self/autogroup", str(NICE))


def alone_on_the_network():
    """The same, and the interfaces it makes are not this machine's."""
    die_with_parent()
    if LIBC.unshare(0x40000000):                # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "no network namespace")


class Program:
    """A child on a terminal of its own, so that it does not buffer what it says."""

    def __init__(self, name, argv, env=None, terminal=True, prepare=die_with_parent):
        self.name, self.text = name, ""
        self.stopped = False
        if terminal:
            self.out, theirs = pty.openpty()
            stdin = theirs
        else:
            self.out, theirs = os.pipe()
            stdin = subprocess.PIPE
        self.process = subprocess.Popen(
            argv, stdin=stdin, stdout=theirs, stderr=theirs, env=env,
            preexec_fn=prepare)         # pylint: disable=subprocess-popen-preexec-fn
        os.close(theirs)
        self.into = self.out if terminal else self.process.stdin.fileno()
        self.said, self.over = threading.Condition(), False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        """Always: a child whose terminal is full waits, and its peers with it."""
        chunk = b"-"
        while chunk:
            try:
                chunk = os.read(self.out, 1 << 16)
            except OSError:         # how a terminal ends
                chunk = b""
            with self.said:
                self.text += chunk.decode(errors="replace")
                self.over = not chunk
                self.said.notify()

    def wait_for(self, pattern, seconds=20):
        """What it says up to a match of pattern."""
        end = time.monotonic() + seconds
        with self.said:
            while not (found := re.search(pattern, self.text)):
                left = end - time.monotonic()
                if self.over or left <= 0:
                    why = "ended" if self.over else f"did not say {pattern!r} in {seconds} s"
                    raise BenchError(f"{self.name} {why}; it said:\n{self.text[-2000:]}")
                self.said.wait(left)
            said, self.text = self.text[:found.end()], self.text[found.end():]
        return said

    def ask(self, command, pattern, seconds=20):
        """Type a line; what it answers up to a match of pattern."""
        os.write(self.into, (command + "\n").encode())
        return self.wait_for(pattern, seconds)

    def freeze(self):
        """Takes no time until thaw()."""
        if not self.stopped:
            os.kill(self.process.pid, signal.SIGSTOP)
            self.stopped = True

    def thaw(self):
        """Goes on."""
        if self.stopped:
            os.kill(self.process.pid, signal.SIGCONT)
            self.stopped = False

    def cpu(self):
        """Seconds of processor time so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as src:
            field = src.read().rsplit(")", 1)[1].split()
        return (int(field[11]) + int(field[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """Ends it, politely for a second."""
        if self.process.poll() is None:
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.close(self.out)


class Testpmd(Program):
    """A testpmd with its prompt."""

    PROMPT = r"testpmd> $"

    def __init__(self, tools, name, core, devices, args):
        vdevs = [x for d in devices for x in ("--vdev", d)]
        super().__init__(name, tools.testpmd(
            "--lcores", f"0@{core},1@{core}", *EAL, *vdevs, "--", "-i", "--nb-cores=1",
            "--no-flush-rx", "--txd=1024", "--rxd=1024", MBUFS, *args))
        self.wait_for(self.PROMPT, 60)

    def do(self, command):
        """A command; its answer."""
        return self.ask(command, self.PROMPT)


class Room:
    """Everything that has to be undone: programs, the folder of sockets, huge pages."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.dir = None

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="hvlab-bench-")
        self.stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
        return self

    def __exit__(self, *what):
        # Nothing interrupts the undoing.
        old = {sig: signal.signal(sig, signal.SIG_IGN)
               for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            return self.stack.__exit__(*what)
        finally:
            for sig, handler in old.items():
                signal.signal(sig, handler)

    def keep(self, program):
        """It is stopped at the end."""
        self.stack.callback(program.stop)
        return program

    def huge_pages(self):
        """2 MB pages for the peers; the old number comes back."""
        try:
            with open(HUGEPAGES, encoding="ascii") as src:
                old = int(src.read())
            if old >= N_HUGEPAGES:
                return
            self.stack.callback(write, HUGEPAGES, str(old))
            write(HUGEPAGES, str(N_HUGEPAGES))
            with open(HUGEPAGES, encoding="ascii") as src:
                got = int(src.read())
        except OSError as bad:
            raise BenchError(f"no huge pages for testpmd: {bad}; run as root") from bad
        if got < N_HUGEPAGES:
            raise BenchError(f"the kernel gave {got} of {N_HUGEPAGES} huge pages of 2 MB: "
                             "memory is short or in pieces")

    def path(self, name):
        """Of a socket or file of ours."""
        return os.path.join(self.dir, name)


def write(path, text):
    """Into a file of the kernel's."""
    with open(path, "w", encoding="ascii") as out:
        out.write(text)


# ---- The switches -----------------------------------------------------------------------------

class Ours:
    """bench_paths: two vhost ports in one network, on one worker that spins."""

    def __init__(self, room, name, program, ring):
        self.sockets = [room.path(f"{name}-{ring}-{i}") for i in (0, 1)]
        self.program = room.keep(Program("bench_paths", [
            program, "--cpu", str(SWITCH_CORE), *self.sockets, *MACS], terminal=False))
        self.program.wait_for(r"listening\n")

    def programs(self):
        """What switches."""
        return [self.program]

    def connected(self):
        """The generator is there."""

    def mark(self):
        """The worker's own counters."""
        return json.loads(self.program.ask("stats", r"\{.*\}\n").strip())


class Pmd:
    """testpmd between two net_vhost ports, io forwarding."""

    def __init__(self, room, tools, ring):
        self.sockets = [room.path(f"testpmd-{ring}-{i}") for i in (0, 1)]
        self.program = room.keep(Testpmd(
            tools, "testpmd (switch)", SWITCH_CORE,
            [f"net_vhost{i},iface={s},queues=1" for i, s in enumerate(self.sockets)],
            ["--forward-mode=io"]))

    def programs(self):
        """What switches."""
        return [self.program]

    def connected(self):
        """Not before: its polling keeps the lock that the handshake needs."""
        self.program.do("set record-core-cycles on")
        self.program.do("start")

    def mark(self):
        """Frames so far, cycles of the passes that had some."""
        said = self.program.do("show fwd stats all")
        found = re.search(r"total cycles=(\d+) / total io packets=(\d+)", said)
        return {"busy_cycles": int(found[1]), "rx_packets": int(found[2])} if found else {}


class Ovs:
    """Open vSwitch, user-space data path, a flow from each port to the other."""

    def __init__(self, room, tools, ring):
        top = room.path(f"ovs-{ring}")
        os.mkdir(top)
        self.tools, self.top = tools, top
        self.env = dict(os.environ, OVS_RUNDIR=top, OVS_LOGDIR=top, OVS_DBDIR=top,
                        OVS_SYSCONFDIR=top, OVS_PKGDATADIR=tools.ovs_share)
        db = os.path.join(top, "conf.db")
        self.tool("usr/bin/ovsdb-tool", "create", db,
                  os.path.join(tools.ovs_share, "vswitch.ovsschema"))
        self.db = room.keep(Program("ovsdb-server", tools.command(
            "usr/sbin/ovsdb-server", db, f"--remote=punix:{top}/db.sock",
            f"--unixctl={top}/db.ctl", "--no-chdir", "-vfile:off"), env=self.env))
        wait_for_file(self.db, f"{top}/db.sock")
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   f"other_config:dpdk-lcore-mask={1 << SWITCH_CORE:#x}",
                   f"other_config:pmd-cpu-mask={1 << SWITCH_CORE:#x}",
                   "other_config:dpdk-socket-mem=512",
                   "other_config:dpdk-extra=--in-memory --no-pci --no-telemetry -d " +
                   os.path.join(tools.lib, f"librte_mempool_ring.so.{peers.ABI}"))
        self.program = room.keep(Program("ovs-vswitchd", tools.command(
            peers.VSWITCHD, f"unix:{top}/db.sock", f"--unixctl={top}/ctl", "--no-chdir",
            "-vfile:off"), env=self.env, prepare=alone_on_the_network))
        wait_for_file(self.program, f"{top}/ctl")
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        for port in ("p0", "p1"):
            self.vsctl("add-port", "br0", port, "--", "set", "Interface", port,
                       "type=dpdkvhostuser", f"ofport_request={1 + int(port[1])}")
        wait_for_file(self.program, f"{top}/br0.mgmt")
        for a, b in ((1, 2), (2, 1)):
            self.tool("usr/bin/ovs-ofctl", "add-flow", f"unix:{top}/br0.mgmt",
                      f"in_port={a},actions=output:{b}")
        self.sockets = [os.path.join(top, p) for p in ("p0", "p1")]

    def tool(self, program, *args):
        """Run one of its tools."""
        done = subprocess.run(self.tools.command(program, *args), env=self.env, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60,
                              check=False)
        if done.returncode:
            raise BenchError(f"{program} {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def vsctl(self, *args):
        """Change the configuration."""
        return self.tool("usr/bin/ovs-vsctl", f"--db=unix:{self.top}/db.sock", "--timeout=30",
                         *args)

    def programs(self):
        """What switches."""
        return [self.program]

    def connected(self):
        """The generator is there."""

    def mark(self):
        """The same of its polling thread."""
        said = self.tool("usr/bin/ovs-appctl", "-t", f"{self.top}/ctl",
                         "dpif-netdev/pmd-stats-show")
        cycles = re.search(r"processing cycles: (\d+)", said)
        frames = re.search(r"packets received: (\d+)", said)
        return {"busy_cycles": int(cycles[1]), "rx_packets": int(frames[1])} if cycles else {}


def wait_for_file(program, path, seconds=30):
    """A socket that a child makes."""
    end = time.monotonic() + seconds
    while not os.path.exists(path):
        if time.monotonic() > end or program.over:
            raise BenchError(f"{program.name} made no {path}; it said:\n{program.text[-3000:]}")
        time.sleep(0.01)


# ---- Measuring --------------------------------------------------------------------------------

class Pair:
    """A switch and its generator."""

    def __init__(self, room, tools, name, switch, ring):
        self.name, self.ring, self.switch = name, ring, switch
        vdevs = [f"net_virtio_user{i},path={s},queues=1,queue_size=1024,mac={MACS[i]},"
                 f"{RINGS[ring]}" for i, s in enumerate(switch.sockets)]
        # A frame that leaves port 0 is for port 1, which is where it comes out.
        self.generator = room.keep(Testpmd(
            tools, f"testpmd (generator for {name})", GENERATOR_CORE, vdevs,
            ["--forward-mode=io", f"--eth-peer=0,{MACS[1]}", f"--eth-peer=1,{MACS[0]}"]))
        switch.connected()
        self.samples = {}
        self.freeze()

    def all(self):
        """Both sides."""
        return [*self.switch.programs(), self.generator]

    def freeze(self):
        """Somebody else's turn."""
        for p in self.all():
            p.freeze()

    def received(self):
        """Frames that the generator's ports received so far."""
        said = self.generator.do("show port stats all")
        got = [int(n) for n in re.findall(r"RX-packets: (\d+)", said)]
        if len(got) != 2:
            raise BenchError(f"the generator said:\n{said}")
        return got

    def counters(self):
        """Frames received, the time of it, processor times, the switch's own counters."""
        before = time.monotonic()
        got = self.received()
        when = (before + time.monotonic()) / 2
        return got, when, [p.cpu() for p in self.all()], self.switch.mark()

    def drain(self):
        """What is still on its way, by port: it would go around with the next sample's frames."""
        gen = self.generator
        gen.do("set fwd rxonly")
        gen.do("start")
        now, before = self.received(), None
        while now != before:
            time.sleep(0.03)
            now, before = self.received(), now
        said = gen.do("stop")
        gen.do("set fwd io")
        return [int(n) for n in re.findall(r"RX-packets: (\d+)", said)[:2]]

    def sample(self, size, seconds):
        """One sample at one size; None: too many frames were lost to be one."""
        for p in self.all():
            p.thaw()
        gen = self.generator
        gen.do(f"set txpkts {size}")
        gen.do(f"start tx_first {IN_FLIGHT // 32}")
        time.sleep(0.1)
        got0, t0, cpu0, mark0 = self.counters()
        time.sleep(seconds)
        got1, t1, cpu1, mark1 = self.counters()
        gen.do("stop")
        left = self.drain()
        self.freeze()
        if min(left) < IN_FLIGHT // 2:
            return None
        frames = [b - a for a, b in zip(got0, got1)]
        rate = sum(frames) / (t1 - t0)
        found = {"mpps": rate / 1e6, "gbps": rate * size * 8 / 1e9,
                 "switch_cpu": (cpu1[0] - cpu0[0]) / (t1 - t0),
                 "generator_cpu": (cpu1[-1] - cpu0[-1]) / (t1 - t0)}
        found["cycles"] = tsc_hz() * found["switch_cpu"] / rate
        if mark0 and mark1:
            n = mark1["rx_packets"] - mark0["rx_packets"]
            found["busy_cycles"] = (mark1["busy_cycles"] - mark0["busy_cycles"]) / max(n, 1)
        if "busy_turns" in mark1:
            found["per_turn"] = n / max(mark1["busy_turns"] - mark0["busy_turns"], 1)
            found["drops"] = mark1["drops"] - mark0["drops"]
        return found

    def measure(self, size, seconds):
        """
        One sample. A switch drops what finds no buffer, which happens when the generator loses
        its core for long; the frames left would then decide the rate.
        """
        for _ in range(TRIES):
            found = self.sample(size, seconds)
            if found:
                self.samples.setdefault(size, []).append(found)
                return
            say(f"{self.name}, {self.ring}, {size} bytes: frames were lost; again")
        raise BenchError(f"{self.name}, {self.ring}, {size} bytes: frames are lost in every of "
                         f"{TRIES} tries: the machine is too busy, or the switch drops")


_TSC = []


def tsc_hz():
    """Cycles per second of the time stamp counter, as the kernel says."""
    if not _TSC:
        with open("/proc/cpuinfo", encoding="ascii") as src:
            found = re.search(r"cpu MHz\s*:\s*([\d.]+)", src.read())
        _TSC.append(float(found[1]) * 1e6 if found else 0.0)
    return _TSC[0]


def median(samples, what):
    """Of the rounds; None where a switch does not say."""
    values = [s[what] for s in samples if what in s]
    return statistics.median(values) if values else None


def ratio(mine, theirs):
    """Median of the rounds' ratios: both were measured within seconds of each other."""
    return statistics.median(a["mpps"] / b["mpps"] for a, b in zip(mine, theirs))


def results(pairs, rings, sizes):
    """One entry per ring layout, size and switch."""
    found = []
    for ring in rings:
        here = {p.name: p for p in pairs if p.ring == ring}
        for size in sizes:
            for name, pair in here.items():
                samples = pair.samples[size]
                entry = {"ring": ring, "bytes": size, "switch": name, "rounds": len(samples)}
                for what in ("mpps", "gbps", "cycles", "busy_cycles", "per_turn", "switch_cpu",
                             "generator_cpu", "drops"):
                    value = median(samples, what)
                    if value is not None:
                        entry[what] = round(value, 3)
                entry["mpps_min"] = round(min(s["mpps"] for s in samples), 3)
                entry["mpps_max"] = round(max(s["mpps"] for s in samples), 3)
                if "hvlab" in here and name != "hvlab":
                    entry["hvlab_ratio"] = round(ratio(here["hvlab"].samples[size], samples), 3)
                found.append(entry)
    return found


HEAD = ("ring", "bytes", "switch", "Mpps", "min", "max", "Gbit/s", "cycles", "busy", "turn", "CPU sw",
        "CPU gen", "hvlab is")


def table(found):
    """For people."""
    form = "{:<9}{:>6}  {:<8}{:>7}{:>7}{:>7}{:>8}{:>8}{:>6}{:>6}{:>8}{:>8}  {}"
    print(form.format(*HEAD))
    for e in found:
        print(form.format(
            e["ring"], e["bytes"], e["switch"], f"{e['mpps']:.2f}", f"{e['mpps_min']:.2f}",
            f"{e['mpps_max']:.2f}", f"{e['gbps']:.1f}", f"{e['cycles']:.0f}",
            f"{e['busy_cycles']:.0f}" if "busy_cycles" in e else "",
            f"{e['per_turn']:.0f}" if "per_turn" in e else "",
            f"{e['switch_cpu'] * 100:.0f} %", f"{e['generator_cpu'] * 100:.0f} %",
            f"{e['hvlab_ratio']:.2f} x" if "hvlab_ratio" in e else "").rstrip())
    print("Mpps: frames delivered, both directions, median of the rounds. cycles: of the switch's\n"
          "core per frame, polling included; busy: without passes that found no frame, as each\n"
          "switch counts itself; turn: frames in a pass of hvlab's that found some. CPU: what the\n"
          "switch and the generator got of their cores. hvlab is: median of hvlab's rate over this\n"
          "switch's, round by round. Where hvlab's cycles exceed its busy ones by far, the generator\n"
          "sets the pace.")


def parse_arguments():
    """The command line."""
    top = argparse.ArgumentParser(prog="scripts/bench paths", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--program", required=True, help=argparse.SUPPRESS)
    top.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    top.add_argument("--rounds", type=int, default=5, metavar="N",
                     help="rounds, of which the median is shown (default %(default)s)")
    top.add_argument("--seconds", type=float, default=0.5, metavar="S",
                     help="per switch, size and round (default %(default)s)")
    top.add_argument("--size", type=int, action="append", metavar="BYTES",
                     help="only these frames, 64 to 1518 bytes; may be given again")
    top.add_argument("--ring", choices=RINGS, action="append",
                     help="only these ring layouts (default in-order and split)")
    top.add_argument("--switch", choices=SWITCHES, action="append", help="only these switches")
    top.add_argument("--other", metavar="PROGRAM",
                     help="another bench_paths, measured too: before and after a change")
    args = top.parse_args()
    if args.rounds < 1 or args.seconds <= 0:
        top.error("at least one round, and more than no time")
    if any(not 64 <= n <= 1518 for n in args.size or ()):
        top.error("frames have 64 to 1518 bytes")
    return args


def start(room, tools, args, ring, switches):
    """All switches and their generators, stopped until it is their turn."""
    pairs = []
    for name in switches:
        if ring == "packed" and name in ("hvlab", OTHER):
            say(f"{name} has no packed rings: without it")
            continue
        if name in ("hvlab", OTHER):
            program = args.program if name == "hvlab" else args.other
            switch = Ours(room, name, program, ring)
        elif name == "testpmd":
            switch = Pmd(room, tools, ring)
        else:
            switch = Ovs(room, tools, ring)
        pairs.append(Pair(room, tools, name, switch, ring))
    if not pairs:
        raise BenchError("nothing is left to measure")
    return pairs


def main():
    """Start, measure, print."""
    args = parse_arguments()
    sizes, rings = args.size or SIZES, args.ring or DEFAULT_RINGS
    switches = [*(args.switch or SWITCHES), *([OTHER] if args.other else [])]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, _frame: sys.exit(128 + number))
    if len(os.sched_getaffinity(0)) < 2:
        raise BenchError("two cores are needed: one to switch, one to generate")
    tools = peers.get(Cache())
    say(f"peers: DPDK {tools.dpdk}, Open vSwitch {tools.ovs}")
    pairs = []
    with Room() as house:
        house.huge_pages()
        for ring in rings:
            with Room() as room:
                here = start(room, tools, args, ring, switches)
                for number in range(args.rounds):
                    say(f"{ring}: round {number + 1} of {args.rounds}")
                    for size in sizes:
                        for pair in here:
                            pair.measure(size, args.seconds)
                pairs += here
    found = results(pairs, rings, sizes)
    if args.json:
        print(json.dumps({"peers": {"dpdk": tools.dpdk, "ovs": tools.ovs},
                          "tsc_hz": tsc_hz(), "results": found}, indent="\t"))
    else:
        table(found)


if __name__ == "__main__":
    try:
        main()
    except (BenchError, PartsError) as bad:
        print(f"bench: {bad}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("bench: interrupted; what was started is stopped", file=sys.stderr)
        sys.exit(130)
