#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A lab on three hosts: network namespaces of this machine, a daemon in each, a small guest each,
and a real etcd in a fourth. The guests have a NIC on a direct, a vxlan and a routed network, so one
boot is for all modes. A host is cut off and returns, etcd is stopped and returns, a guest moves, a
host leaves. Needs root, iproute2 and etcd (package etcd-server); says so and ends with 77 without.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import lab as labs
import story as stories
from lab import require, wait_for

HOSTS = {"h1": ("192.0.2.1", "fd99::1", "a"), "h2": ("192.0.2.2", "fd99::2", "b"),
         "h3": ("192.0.2.3", "fd99::3", "c")}
ETCD = "192.0.2.9"
LEASE = 4                       # seconds
NETWORKS = ("lan", "overlay", "routed")
PATIENCE = 60                   # seconds that a change may take to be seen, on a busy machine


def run(*command, check=True):
    return subprocess.run(command, check=check, capture_output=True, text=True)


class Fleet:
    """Namespaces on two bridges: one between the hosts, one that the direct network is on."""

    def __init__(self):
        self.tag = f"hvf{os.getpid()}"
        self.spaces = {name: f"{self.tag}{name}" for name in (*HOSTS, "br", "etcd")}
        self.etcd = None
        self.data = os.path.join("/tmp", f"{self.tag}.etcd")

    def ip(self, space, *words, check=True):
        return run("ip", "-n", self.spaces[space], *words, check=check)

    def _port(self, bridge, name, device):
        self.ip("br", "link", "add", f"{bridge}{name}", "type", "veth", "peer", "name", device,
                "netns", self.spaces[name])
        self.ip("br", "link", "set", f"{bridge}{name}", "master", bridge, "up")
        self.ip(name, "link", "set", device, "up")

    def __enter__(self):
        for space in self.spaces.values():
            run("ip", "netns", "add", space)
        for name in self.spaces:
            self.ip(name, "link", "set", "lo", "up")
        for bridge in ("hosts", "lan"):
            self.ip("br", "link", "add", bridge, "type", "bridge")
            self.ip("br", "link", "set", bridge, "up")
        for name, (ip4, ip6, _) in HOSTS.items():
            self._port("hosts", name, "eth0")
            self._port("lan", name, "eth1")
            self.ip(name, "addr", "add", f"{ip4}/24", "dev", "eth0")
            self.ip(name, "addr", "add", f"{ip6}/64", "dev", "eth0", "nodad")
        self._port("hosts", "etcd", "eth0")
        self.ip("etcd", "addr", "add", f"{ETCD}/24", "dev", "eth0")
        return self

    def __exit__(self, *_error):
        self.stop_etcd()
        for space in self.spaces.values():
            run("ip", "netns", "del", space, check=False)
        shutil.rmtree(self.data, ignore_errors=True)

    def inside(self, space):
        """Words before a command that shall run in a namespace."""
        return ["ip", "netns", "exec", self.spaces[space]]

    def start_etcd(self):
        url = f"http://{ETCD}:2379"
        peer = "http://127.0.0.1:2380"
        self.etcd = subprocess.Popen(
            [*self.inside("etcd"), "etcd", "--name", "e", "--data-dir", self.data,
             "--listen-client-urls", url, "--advertise-client-urls", url,
             "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", f"e={peer}", "--log-level", "error"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=labs._die_with_parent)

    def stop_etcd(self):
        if self.etcd:
            self.etcd.kill()
            self.etcd.wait()
        self.etcd = None

    def cut(self, host, down=True):
        self.ip("br", "link", "set", f"hosts{host}", "down" if down else "up")

    def ask_etcd(self, path, body):
        """The JSON gateway, from inside the hosts' network."""
        text = base64.b64encode(json.dumps(body).encode()).decode()
        code = ("import base64, sys, urllib.request\n"
                f"r = urllib.request.Request('http://{ETCD}:2379{path}', "
                f"base64.b64decode('{text}'))\n"
                "sys.stdout.write(urllib.request.urlopen(r, timeout=5).read().decode())")
        done = run(*self.inside("etcd"), sys.executable, "-c", code, check=False)
        return json.loads(done.stdout) if not done.returncode else None


class Host(labs.Lab):
    """The daemon and the guest of one host."""

    def __init__(self, fleet, name, build, text, keep):
        super().__init__(build, text, keep)
        self.fleet, self.host = fleet, name
        self.command = [*fleet.inside(name), self.hvlab]

    def popen(self, arguments, **options):
        self.note(f"{self.host}: hvlab " + " ".join(arguments))
        return subprocess.Popen([*self.command, *arguments], env=self.env,
                                stdin=subprocess.DEVNULL, **options)

    def start_daemon(self):
        with open(os.path.join(self.dir, "hvlabd.stderr"), "ab") as err:
            self.daemon = subprocess.Popen(
                [*self.fleet.inside(self.host), self.hvlabd, "--runtime-dir", self.runtime],
                env=self.env, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                start_new_session=True, preexec_fn=labs._die_with_parent)
        self.connect()

    def begin_up(self):
        """hvlab up, to be waited for: the hosts come up side by side."""
        with open(self.file, "w", encoding="utf-8") as out:
            out.write(self.text)
        self.log = open(os.path.join(self.dir, "up.log"), "wb")
        return self.popen(["up", "--host", self.host, self.file, "--timeout", "400"],
                          stdout=self.log, stderr=self.log)

    def guest(self):
        return self.vm(HOSTS[self.host][2])

    def fabric(self):
        return self.control.call("query-fabric")

    def host_state(self, name):
        return next(h for h in self.fabric()["hosts"] if h["name"] == name)["state"]

    def network(self, name):
        return next(n for n in self.fabric()["networks"] if n["name"] == name)


def fleet_text(kernel):
    hosts = "\n".join(f"    - {{name: {name}, address: {ip4}, address6: \"{ip6}\"}}"
                      for name, (ip4, ip6, _) in HOSTS.items())
    # One NIC is a VF alone and one is synthetic, so that both paths cross the fabric.
    nics = "[{network: lan, vf: off}, {network: overlay, synthetic: none}, " \
           "{network: routed, vf: off}]"
    vms = "\n".join(f"  - {{name: {vm}, host: {name}, kernel: \"{kernel}\", cpus: 1, "
                    f"memory: 256M, spare_nics: 0, nics: {nics}}}"
                    for name, (_, _, vm) in HOSTS.items())
    return f"""name: fleet
fabric:
  registry: etcd
  hosts:
{hosts}
  etcd: {{endpoints: ["http://{ETCD}:2379"], lease_seconds: {LEASE}}}
networks:
  - {{name: lan, type: external, uplink: {{interface: eth1}}, subnet: 10.50.0.0/24}}
  - {{name: overlay, mode: vxlan, vni: 5000}}
  - {{name: routed, mode: routed, max_routes: 4}}
vms:
{vms}
"""


def address(host, network, family):
    nic = NETWORKS.index(network)
    return host.guest().address(family, f"eth{nic}")


def pings(host, other, network, family, size=56, count=3):
    """How many of count pings of that size are answered."""
    result = host.guest().run(
        f"ping -q -c {count} -i 0.2 -W 5 -s {size} -I eth{NETWORKS.index(network)} "
        f"{address(other, network, family)}", check=False, timeout=90)
    for part in result.out.split(","):
        if "received" in part:
            return int(part.split()[0])
    return 0


def reach(hosts, network):
    """Every guest reaches every other one, in both families, with small and whole packets."""
    nic = f"eth{NETWORKS.index(network)}"
    for host in hosts.values():
        script = []
        for other in hosts.values():
            for family in (4, 6) if host is not other else ():
                # The largest that needs no fragment: the guest's MTU less IP and ICMP headers.
                most = host.guest().vnic(nic)["mtu"] - (28 if family == 4 else 48)
                there = address(other, network, family)
                script += [f"ping -q -c 2 -i 0.5 -w 60 -s {size} -I {nic} {there} "
                           f">/tmp/ping.{number} || echo {other.host} IPv{family} {size} bytes &"
                           for number, size in ((f"{there}.0", 56), (f"{there}.1", most))]
        # With -w it goes on until two answers are there: the first may be lost to ARP.
        lost = host.guest().out("\n".join(script) + "\nwait", timeout=120)
        require(not lost, f"{host.host} does not reach on {network}: {lost}")


def copies(hosts):
    """A connection moves data on each network, and what left by VXLAN came in at the other host."""
    one, two, size = hosts["h1"], hosts["h2"], 300000
    for port, network in enumerate(NETWORKS, labs.PORT):
        # Its own input must not end, or it hangs up.
        two.guest().run(f"setsid sh -c 'sleep 600 | busybox nc -l -p {port} >/tmp/got.{port}' "
                        "</dev/null >/dev/null 2>&1 &")
        two.guest().eventually(f"ss -Hltn 'sport = :{port}' | grep -q .", PATIENCE,
                               f"nc listens at {port}")
        one.guest().run(f"head -c {size} /dev/zero | busybox nc {address(two, network, 4)} {port}",
                        timeout=120)
        two.guest().eventually(f"[ $(stat -c %s /tmp/got.{port}) = {size} ]", PATIENCE,
                               f"{size} bytes came on {network}")
    tx, rx = one.fabric()["tunnel"]["tx"], two.fabric()["tunnel"]["rx"]
    require(tx > 200 and rx > 200, f"{tx} datagrams left h1, {rx} came to h2")
    for host in (one, two):
        forwarded = host.network("routed")["router"]["forwarded"]
        require(forwarded > 50, f"the router of {host.host} passed on {forwarded} packets")


def known(hosts):
    """Each host knows all guests, and whom to flood to."""
    for host in hosts.values():
        found = wait_for(lambda h=host: h.fabric() if h.fabric()["state"] == "synced" else None,
                         PATIENCE, f"{host.host} is synced")
        require(len(found["guests"]) == 9, f"{host.host} knows {found['guests']}")
        require({h["state"] for h in found["hosts"]} == {"here", "alive"}, str(found["hosts"]))
        others = sorted(ip for name, (ip, _, _) in HOSTS.items() if name != host.host)
        require(sorted(host.network("overlay")["floods"]) == others, str(found["networks"]))
        require(len(host.network("routed")["routes"]) == 4, str(found["networks"]))
        text = host.cli("fabric").stdout.decode()
        require("synced" in text and "h3" in text, text)


def names(hosts):
    """A guest knows those of the other hosts by name, from its own host's services too."""
    guest = hosts["h1"].guest()
    guest.run("ping -q -c 1 -W 20 c")
    service = next(n for n in hosts["h1"].status()["networks"] if n["name"] == "overlay")
    require(service["services"]["state"] == "running", str(service["services"]))
    own = {h.host: next(n for n in h.status()["networks"]
                        if n["name"] == "overlay")["services"]["ip4"] for h in hosts.values()}
    require(len(set(own.values())) == 3, f"the hosts' services have the addresses {own}")
    found = guest.out(f"busybox nslookup c.fleet {own['h1']}")
    require(address(hosts["h3"], "overlay", 4) in found, found)


def cut_off(hosts, fleet):
    """h3 is away: dead for the others, whose guests go on; it returns, and all is as it was."""
    one, three = hosts["h1"], hosts["h3"]
    fleet.cut("h3")
    try:
        wait_for(lambda: one.host_state("h3") == "dead", PATIENCE, "h3 is dead for h1")
        wait_for(lambda: three.fabric()["state"] == "lost", PATIENCE, "h3 has lost etcd")
        wait_for(lambda: len(one.network("overlay")["floods"]) == 1, 10, "h1 floods to h2 alone")
        routes = one.network("routed")["routes"]
        require(len(routes) == 2 and all(r["via"] in (HOSTS["h2"][0], HOSTS["h2"][1])
                                         for r in routes), f"routes of h1: {routes}")
        require(not [g for g in one.fabric()["guests"] if g["vm"] == "c"], "h1 still has c")
        # It goes on by what it knows.
        require([g for g in three.fabric()["guests"] if g["vm"] == "a"], "h3 forgot a")
        require(pings(one, hosts["h2"], "overlay", 4), "h1 and h2 lost each other (overlay)")
        require(pings(one, hosts["h2"], "routed", 4), "h1 and h2 lost each other (routed)")
        require(not pings(one, three, "overlay", 4, count=1), "h3 answers, and is cut off")
    finally:
        fleet.cut("h3", False)
    for host in hosts.values():
        wait_for(lambda h=host: h.fabric()["state"] == "synced", PATIENCE,
                 f"{host.host} is synced again")
    wait_for(lambda: one.host_state("h3") == "alive", PATIENCE, "h3 is alive again")
    for network in NETWORKS:
        wait_for(lambda n=network: pings(one, three, n, 4), 60, f"h1 reaches h3 on {network} again")


def etcd_away(hosts, fleet):
    """etcd is killed: the last known state forwards, and says so. It returns."""
    one = hosts["h1"]
    before = one.fabric()
    one.events.events.clear()
    fleet.stop_etcd()
    for host in hosts.values():
        wait_for(lambda h=host: h.fabric()["state"] == "lost", PATIENCE,
                 f"{host.host} says that etcd is lost")
    found = one.fabric()
    require(found["reason"] and ETCD in found["reason"], f"the reason is {found['reason']}")
    require(found["guests"] == before["guests"], "what is known has changed")
    require(one.status()["fabric"]["state"] == "lost", str(one.status()["fabric"]))
    text = one.cli("status").stdout.decode()
    require("lost" in text, f"hvlab status does not say it: {text}")
    # Longer than a lease: nobody dies of it.
    time.sleep(LEASE + 1)
    require(one.host_state("h2") == "alive", "h2 is dead for want of an etcd")
    for network in NETWORKS:
        require(pings(one, hosts["h2"], network, 4), f"no answer on {network} without etcd")
    fleet.start_etcd()
    for host in hosts.values():
        wait_for(lambda h=host: h.fabric()["state"] == "synced", PATIENCE,
                 f"{host.host} is synced again")
    require(one.fabric()["guests"] == before["guests"], "what is known has changed")
    one.events.wait_event("FABRIC_STATE", 10, state="lost")
    one.events.wait_event("FABRIC_STATE", 10, state="synced")


def moved(hosts, fleet):
    """Another host writes a guest of h3: the newer word counts on h1, and again when c is back."""
    one = hosts["h1"]
    guest = next(g for g in one.fabric()["guests"] if g["vm"] == "c" and g["network"] == "overlay")
    key = f"/hvlab/fleet/guests/overlay/{guest['mac']}"
    word = {"key": base64.b64encode(key.encode()).decode()}

    def host_of():
        return next(g["host"] for g in one.fabric()["guests"]
                    if g["mac"] == guest["mac"] and g["network"] == "overlay")

    value = {"host": "h2", "vm": "c", "nic": "eth1", "ip": guest["ip"], "ip6": guest["ip6"]}
    fleet.ask_etcd("/v3/kv/put",
                   {**word, "value": base64.b64encode(json.dumps(value).encode()).decode()})
    wait_for(lambda: host_of() == "h2", PATIENCE, "c has moved to h2")
    value["host"] = "h3"
    fleet.ask_etcd("/v3/kv/put",
                   {**word, "value": base64.b64encode(json.dumps(value).encode()).decode()})
    wait_for(lambda: host_of() == "h3", PATIENCE, "c is back on h3")
    wait_for(lambda: pings(one, hosts["h3"], "overlay", 4), 30, "h1 reaches c")


def too_many(hosts, fleet):
    """A fourth host needs a fifth route, and four may be: it is told, and the others stay."""
    one = hosts["h1"]
    key = {"key": base64.b64encode(b"/hvlab/fleet/hosts/h4").decode()}
    value = {"address": "192.0.2.4", "parts": {"routed": ["10.102.77.0/24"]}}
    one.events.events.clear()
    fleet.ask_etcd("/v3/kv/put",
                   {**key, "value": base64.b64encode(json.dumps(value).encode()).decode()})
    told = one.events.wait_event("FABRIC_ROUTES", PATIENCE, network="routed", missing=1)
    require("4" in told["data"]["reason"], f"the reason is {told['data']['reason']}")
    routed = one.network("routed")
    require(len(routed["routes"]) == 4 and routed["missing"] == 1, str(routed))
    require(pings(one, hosts["h2"], "routed", 4), "h1 and h2 lost each other")
    fleet.ask_etcd("/v3/kv/deleterange", key)
    one.events.wait_event("FABRIC_ROUTES", PATIENCE, network="routed", missing=0)


def leaves(hosts):
    """A lab that goes down takes its keys along: nobody waits for the lease."""
    one, three = hosts["h1"], hosts["h3"]
    three.cli("down")
    three.up_done = False
    wait_for(lambda: one.host_state("h3") == "dead", PATIENCE, "h3 has left")


def boot(hosts):
    """All hosts, side by side."""
    started = [(host, host.begin_up()) for host in hosts.values()]
    for host, process in started:
        status = process.wait(500)
        host.up_done = not status
        with open(os.path.join(host.dir, "up.log"), errors="replace") as src:
            require(not status, f"{host.host}: hvlab up: {src.read()[-800:]}")
    for host in hosts.values():
        for nic in range(len(NETWORKS)):
            host.guest().wait_configured(f"eth{nic}", 90)


def quiet(hosts):
    found = [f"{host.host}: {line}" for host in hosts.values() if host.up_done
             for line in host.complaints()]
    require(not found, "\n    ".join(found[:12]))


def down(hosts):
    for host in hosts.values():
        if host.up_done:
            host.cli("down")
        status = host.stop_daemon()
        require(status == 0, f"{host.host}: hvlabd ended with {status}: "
                             f"{host.daemon_errors()[-800:]}")
        require(not host.leftovers(), f"{host.host}: left behind: {host.leftovers()}")
        require(not host.sanitizer_reports(), str(host.sanitizer_reports()[:6]))


def main():
    story = stories.Story("fabric", __doc__)
    for tool in ("ip", "etcd"):
        if not shutil.which(tool):
            print(f"skipped: there is no {tool}: install iproute2 and etcd-server")
            return 77
    if os.geteuid():
        print("skipped: network namespaces need root")
        return 77
    with Fleet() as fleet, contextlib.ExitStack() as stack:
        fleet.start_etcd()
        text = fleet_text(story.kernel)
        hosts = {name: stack.enter_context(Host(fleet, name, story.args.build, text,
                                                story.args.keep)) for name in HOSTS}
        story.lab_now = hosts["h1"]
        if not story.check("three hosts come up side by side", boot, hosts, always=True):
            story.broken = "the labs did not come up"
        story.check("each host knows all guests", known, hosts)
        for network in NETWORKS:
            story.check(f"{network}: all reach all, both families, whole packets", reach, hosts,
                        network)
        story.check("data over each network", copies, hosts)
        story.check("names across hosts", names, hosts)
        story.check("a host is cut off and returns", cut_off, hosts, fleet)
        story.check("etcd is killed and returns", etcd_away, hosts, fleet)
        story.check("a guest moves", moved, hosts, fleet)
        story.check("a route too many", too_many, hosts, fleet)
        story.check("a host leaves", leaves, hosts)
        story.check("no kernel warning, no sanitizer report", quiet, hosts, always=True)
        story.check("down leaves nothing behind", down, hosts, always=True)
        story.lab_now = None
    return story.end()


if __name__ == "__main__":
    stories.run(main)
