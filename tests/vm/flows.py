# SPDX-License-Identifier: BSD-2-Clause
"""Traffic between two guests that runs beside the checks, and what the network did to it.

The guest image's own load program (/usr/lib/hvlab/load) does the work: paced TCP streams, UDP
datagrams and echo requests, every record numbered and filled with bytes that follow from its
number. Here it is started, asked, ended, and its words are put together flow by flow.
"""

import json
import shlex

from lab import require, wait_for

LOAD = "/usr/lib/hvlab/load"
LEASE = 300         # seconds after the last question until it ends by itself
# What `load status` and `load stop` do, without the second that an emulated CPU needs for Python.
ASK = """cd /run/hvlab/load && p=$(cat %(role)s.pid) && f=%(role)s.%(file)s || exit
kill -0 $p 2>/dev/null || { cat %(role)s.final; exit; }
rm -f $f; kill -%(signal)s $p; n=0
while [ ! -e $f ]; do [ $((n=n+1)) -lt 3000 ] || exit 1; usleep 10000; done
cat $f"""
STATUS, STOP = ("json", "USR1"), ("final", "TERM")
# Reasons for which a frame that the switch took from its sender reaches nobody.
LOSSES = ("no-buffer", "link-down", "rx-error")


class Flow:
    """One direction of one flow: its sender's words and its receiver's."""

    def __init__(self, name, sender, receiver):
        self.name, self.kind = name, receiver["kind"]
        self.sent, self.rx = sender["sent"], receiver["rx"]
        self.broken = sender["connection_lost"] or receiver["connection_lost"]

    @property
    def missing(self):
        """Records that never came though later ones did. What was under way at the end does not
        count: the ends of a flow do not stop at the same time."""
        return self.rx["lost"]

    @property
    def gap_ms(self):
        """Longest time without an arrival, less what the load's own programs slept."""
        return (self.rx["gap_ns"] - self.rx["gap_own_ns"]) / 1e6

    def __str__(self):
        return (f"{self.name}: {self.rx['packets']} of {self.sent}, {self.missing} missing, "
                f"longest gap {self.gap_ms:.0f} ms")


class Flows:
    """A load from src to dst, which serves. options: of `load run`."""

    def __init__(self, src, dst, options="--tcp 1 --udp --ping", rate=100, nic="eth0", host=None):
        self.src, self.dst, self.lab = src, dst, src.lab
        self.ends = [(vm, vm.lab, f"{vm.name}/{nic}") for vm in (src, dst)]
        dst.run(f"{LOAD} stop server >/dev/null 2>&1; exec {LOAD} serve --lease {LEASE}",
                timeout=90)
        self.drops_before, self.full_before = self.drops(), self.full_sockets()
        self.replies_before = self.echo_replies()
        src.run(f"{LOAD} stop client >/dev/null 2>&1; exec {LOAD} run {host or dst.address()} "
                f"{options} --rate {rate} --lease {LEASE}", timeout=90)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_error):
        if kind:
            for role, vm in (("client", self.src), ("server", self.dst)):
                vm.run(f"{LOAD} stop {role} >/dev/null 2>&1", check=False)

    def drops(self):
        """{(vNIC, direction, reason): frames} that the switch accepted and that were lost."""
        found = {}
        for _vm, lab, vnic in self.ends:
            port = lab.control.call("stats", vnic=vnic)["vnics"][0]["port"]
            for way in ("rx", "tx"):
                for reason in LOSSES:
                    found[vnic, way, reason] = port[f"{way}_drops"].get(reason, 0)
        return found

    def dropped(self):
        """What the switch has lost since the beginning."""
        now = self.drops()
        return {key: n - self.drops_before[key] for key, n in now.items()
                if n != self.drops_before[key]}

    def full_sockets(self):
        """Datagrams that the guests' full sockets dropped: a program that got no CPU."""
        return sum(int(vm.out("awk '/^Udp:/ && $2 ~ /^[0-9]/ { print $6 }' /proc/net/snmp"))
                   for vm in (self.src, self.dst))

    def lost(self, flows):
        """Datagrams and echoes of end() that are in no guest's counter of full UDP sockets."""
        return max(0, sum(flow.missing for flow in flows)
                   - (self.full_sockets() - self.full_before))

    def echo_replies(self):
        """Echo replies that the other end's kernel has sent."""
        return int(self.dst.out("awk '/^Icmp:/ { if (!n) for (i = 1; i <= NF; i++) "
                                "if ($i == \"OutEchoReps\") n = i; last = $n } END { print last }' "
                                "/proc/net/snmp"))

    def lost_on_the_way_back(self, flows):
        """Of lost() what the other end had sent: its datagrams and its echo replies."""
        back = [flow for flow in flows if flow.name.endswith(f" {self.dst.name}>{self.src.name}")]
        echoes = sum(flow.rx["packets"] for flow in flows if flow.name == "ping")
        return max(0, sum(flow.missing for flow in back)
                   + (self.echo_replies() - self.replies_before) - echoes
                   - (self.full_sockets() - self.full_before))

    def _ask(self, question):
        reports = []
        for role, vm in (("client", self.src), ("server", self.dst)):
            script = ASK % {"role": role, "file": question[0], "signal": question[1]}
            report = json.loads(vm.out(f"exec busybox sh -c {shlex.quote(script)}"))
            require(not report["trouble"], f"the load in {vm.name}: {report['trouble']}")
            reports.append({flow["flow"]: flow for flow in report["flows"]})
        here, there = reports
        flows = []
        for name, flow in here.items():
            if flow["kind"] in ("ping", "iperf3"):      # the client's program alone knows it
                flows.append(Flow(name, flow, flow))
                continue
            require(name in there, f"the server knows no flow {name}")
            flows.append(Flow(f"{name} {self.src.name}>{self.dst.name}", flow, there[name]))
            flows.append(Flow(f"{name} {self.dst.name}>{self.src.name}", there[name], flow))
        return flows

    def look(self):
        """Every flow and way as it is now. No connection may have been lost."""
        return alive(self._ask(STATUS))

    def goes_on(self, records=10, deadline=60):
        """Until each way of each flow has received so many records more than now."""
        before = {flow.name: flow.rx["packets"] for flow in self.look()}
        wait_for(lambda: all(flow.rx["packets"] >= before[flow.name] + records
                             for flow in self.look()), deadline,
                 f"{records} more records arrive on each of {', '.join(before)}")

    def end(self):
        """The last words, after both sides heard each other out; prints what they come to."""
        # Before the end: the client listens on for 0.3 s after its last record, which is no gap.
        worst = max(self.look(), key=lambda flow: flow.gap_ms)
        flows = alive(self._ask(STOP))
        print(f"    longest gap {worst.gap_ms:.0f} ms ({worst.name}), {self.lost(flows)} lost of "
              f"{sum(flow.sent for flow in flows)}", flush=True)
        return flows


def alive(flows):
    broken = [f"{flow.name}: {flow.broken}" for flow in flows if flow.broken]
    require(not broken, f"connections were lost: {'; '.join(broken)}")
    changed = [flow.name for flow in flows if flow.rx["changed"]]
    require(not changed, f"records arrived changed on {changed}")
    doubled = [f"{flow.name}: {flow.rx['doubled']}" for flow in flows if flow.rx["doubled"]]
    require(not doubled, f"records arrived twice on {doubled}")
    return flows


