#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Policy on real guests: the same rules hold on the accelerated and on the synthetic path, known
flows are the VF's own, and a change cuts what it forbids, or leaves it, as it was told.
"""

import json
import os
import subprocess
import time

import lab as labs
import story as stories
from lab import require, wait_for
from paths import BOTH, restore, revoke, wait_pair, wait_vf

HELPER = "/tmp/policy_guest.py"
WEB, SSH, DNS, CLOSED = 8080, 8022, 8053, 8099
PROBES = [f"{kind}:{port}" for kind in ("tcp", "udp") for port in (WEB, SSH, DNS, CLOSED)]

# a and b: anybody may ask WEB by TCP and DNS by UDP; c alone may have SSH; the rest is nobody's.
RULES = f"""
nsgs:
  - name: tiers
    rules:
      - {{name: AllowWeb, priority: 100, direction: inbound, access: allow, protocol: tcp,
         destination_ports: {WEB}}}
      - {{name: AllowDns, priority: 110, direction: inbound, access: allow, protocol: udp,
         destination_ports: {DNS}}}
      - {{name: AllowSsh, priority: 120, direction: inbound, access: allow, protocol: tcp,
         source_asgs: [admin], destination_ports: {SSH}}}
      - {{name: DenyRest, priority: 4096, direction: inbound, access: deny}}
apply:
  networks: {{blue: tiers}}
"""
OPEN = {"a": {f"tcp:{WEB}", f"udp:{DNS}"}, "c": {f"tcp:{WEB}", f"udp:{DNS}", f"tcp:{SSH}"}}
NOTHING = RULES.replace("name: AllowWeb", "name: DenyWeb").replace(
    "access: allow, protocol: tcp,\n         destination_ports: " + str(WEB),
    "access: deny, protocol: tcp,\n         destination_ports: " + str(WEB))


def write(lab, name, text):
    path = os.path.join(lab.dir, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def prepare(lab):
    """Every guest has the helper, b and c serve on all ports but one."""
    with open(os.path.join(labs.HERE, "policy_guest.py"), "rb") as src:
        text = src.read()
    for name in "abc":
        lab.vm(name).run(f"cat >{HELPER}", stdin=text)
    lab.vm("b").run(f"setsid python3 {HELPER} listen {WEB} {SSH} {DNS} </dev/null "
                    ">/tmp/listen.log 2>&1 &")
    lab.vm("b").eventually(f"ss -Hltn 'sport = :{DNS}' | grep -q .", 60)


def probe(vm, host):
    return json.loads(vm.run(f"python3 {HELPER} probe {host} {' '.join(PROBES)}").out)


def hits(vm):
    device = vm.stats()["mana"]
    return device["offload_hits"], device["offload_exceptions"]


def without_policy_all_is_open(lab):
    found = probe(lab.vm("a"), lab.vm("b").address())
    for what in PROBES:
        port = int(what.split(":")[1])
        require(found[what] == ("refused" if port == CLOSED else "open"), f"{what}: {found}")


def rules_hold(lab, path):
    """Who may what, from both other guests, and hvlab explain says the same."""
    b = lab.vm("b")
    for name, allowed in OPEN.items():
        vm = lab.vm(name)
        found = probe(vm, b.address())
        expect = {what: "open" if what in allowed else "silent" for what in PROBES}
        require(found == expect, f"{name} on the {path} path: {found}, not {expect}")
        for what in PROBES:
            kind, port = what.split(":")
            said = lab.cli_json("explain", f"{name}/eth0", f"{kind} b:{port}")
            require((said["verdict"] == "pass") == (what in allowed),
                    f"explain {name} {what}: {said['verdict']}")
    # What nobody may is dropped at b, and counted there.
    drops = b.stats()["port"]["rx_drops"]
    require(drops.get("policy", 0) > 0, f"{drops}")


def drops_name_the_rule(lab):
    a, b = lab.vm("a"), lab.vm("b")
    follower = lab.popen(["drops", "b/eth0", "--follow", "--reason", "policy", "-n", "1",
                          "--timeout", "60", "--json"], stdout=subprocess.PIPE)
    try:
        for _ in range(10):
            probe(a, b.address())
            if follower.poll() is not None:
                break
        out = follower.communicate(timeout=70)[0]
    finally:
        follower.kill()
    found = json.loads(out.splitlines()[0])["data"]
    require(found["reason"] == "policy" and found["denied_by"]["rule"] == "DenyRest" and
            found["from"] == "a/eth0", f"{found}")


def a_vf_keeps_its_flows(lab):
    """A known flow's packets do not visit the switch; with offload off all do."""
    a, b = lab.vm("a"), lab.vm("b")
    job = a.job(f"python3 {HELPER} stream {b.address()} {WEB} /tmp/stream")
    a.eventually("grep -qE ' [0-9]{2,}$' /tmp/stream", 60, "twenty lines came back")
    first = hits(a)
    wait_for(lambda: hits(a)[0] > first[0] + 20, 60, "the VF sends by itself")
    require(hits(a)[1] - first[1] < 20, f"{hits(a)} after {first}")
    flows = lab.cli_json("flows", "a/eth0", "--remote", f":{WEB}", "--state", "established")["flows"]
    require(len(flows) == 1 and flows[0]["offloaded"] and flows[0]["origin"] == "outbound",
            f"{flows}")
    lab.cli("nic", "set", "a/eth0", "--offload", "off", "--wait")
    off = hits(a)
    count = int(a.out("cut -d' ' -f2 /tmp/stream"))
    a.eventually(f"[ $(cut -d' ' -f2 /tmp/stream) -gt {count + 20} ]", 60)
    require(hits(a)[0] == off[0], f"{hits(a)} after {off}")
    lab.cli("nic", "set", "a/eth0", "--offload", "on", "--wait")
    wait_for(lambda: hits(a)[0] > off[0], 60, "it does again")
    job.stop("KILL")


def last_answer(vm):
    text = vm.out("cat /tmp/stream").split()
    return float(text[0]), int(text[1])


def a_rule_goes(lab, path):
    """An open connection outlives its rule, and is cut within a second by a flush."""
    a, b = lab.vm("a"), lab.vm("b")
    a.run("rm -f /tmp/stream")
    job = a.job(f"python3 {HELPER} stream {b.address()} {WEB} /tmp/stream")
    a.eventually("grep -qE ' [0-9]{2,}$' /tmp/stream", 60, "ten lines came back")
    less = write(lab, "tiers.yaml", NOTHING)
    lab.cli("policy", "apply", less)
    count = last_answer(a)[1]
    wait_for(lambda: last_answer(a)[1] > count + 25, 60,
             f"the connection goes on without its rule on the {path} path")
    require(probe(a, b.address())[f"tcp:{WEB}"] == "silent", "a new one was let in")
    lab.cli("policy", "apply", less, "--flush")
    # The guest's own clock, read when the command has returned, is at most so much late.
    now = float(a.out("date +%s.%N"))
    time.sleep(1)
    ended = last_answer(a)
    require(ended[0] < now + 1, f"the last answer came {ended[0] - now:.3f} s after the flush")
    time.sleep(1)
    require(last_answer(a)[1] == ended[1], "answers still come")
    job.stop("KILL")
    lab.cli("policy", "apply", write(lab, "tiers.yaml", RULES))
    require(probe(a, b.address())[f"tcp:{WEB}"] == "open", "it is open again")


def a_wrong_file_changes_nothing(lab):
    wrong = write(lab, "wrong.yaml", RULES.replace("priority: 110", "priority: 100"))
    done = lab.cli("policy", "apply", wrong, check=False)
    text = done.stderr.decode()
    require(done.returncode == 1 and "AllowDns" in text and "wrong.yaml" in text, text)
    rules_hold(lab, "any")


def flows_without_end(lab):
    """A guest that opens flows without end meets its limit; the others go on."""
    a, b, c = (lab.vm(n) for n in "abc")
    job = c.job(f"python3 {HELPER} stream {b.address()} {WEB} /tmp/stream")
    c.eventually("test -s /tmp/stream", 60)
    a.run(f"python3 {HELPER} open {c.address()} 3000", timeout=300)
    port = a.stats()["port"]
    require(port["tx_drops"].get("flow-limit", 0) > 0, f"{port['tx_drops']}")
    count = last_answer(c)[1]
    wait_for(lambda: last_answer(c)[1] > count + 10, 60, "c's connection goes on")
    require(probe(c, b.address())[f"tcp:{SSH}"] == "open", "c cannot open a connection")
    job.stop("KILL")
    # They would last a minute, and a have no room for others.
    for vm in (a, c):
        lab.cli("flows", "flush", f"{vm.name}/eth0", "--proto", "udp")
    wait_for(lambda: probe(a, b.address())[f"udp:{DNS}"] == "open", 30, "a has room again")


def main():
    story = stories.Story("policy", __doc__)
    small = {"cpus": 1, "memory": "256M", **BOTH}
    with story.lab({"a": small, "b": small, "c": {**small, "labels": "[admin]"}},
                   flows={"max": 1000}) as lab:
        story.check("pairs", lambda: [wait_pair(lab.vm(name)) for name in "abc"], always=True)
        story.check("helpers", prepare, lab, always=True)
        story.check("without policy all is open", without_policy_all_is_open, lab)
        story.check("a policy is applied", lambda: lab.cli(
            "policy", "apply", write(lab, "tiers.yaml", RULES)), always=True)
        story.check("rules hold on the VF", rules_hold, lab, "accelerated", capture="b/eth0")
        story.check("drops name the rule", drops_name_the_rule, lab)
        story.check("known flows are the VF's", a_vf_keeps_its_flows, lab)
        story.check("a rule goes, on the VF", a_rule_goes, lab, "accelerated", capture="b/eth0")
        story.check("a wrong file changes nothing", a_wrong_file_changes_nothing, lab)
        story.check("flows without end", flows_without_end, lab)
        story.check("VFs are revoked", lambda: [
            (revoke(lab.vm(n)), wait_vf(lab.vm(n), "revoked")) for n in "abc"], always=True)
        story.check("rules hold on the synthetic path", rules_hold, lab, "synthetic",
                    capture="b/eth0")
        story.check("a rule goes, on the synthetic path", a_rule_goes, lab, "synthetic",
                    capture="b/eth0")
        story.check("VFs are restored", lambda: [
            (restore(lab.vm(n)), wait_pair(lab.vm(n))) for n in "abc"], always=True)
        story.check("rules hold on the VF again", rules_hold, lab, "accelerated")
    return story.end()


if __name__ == "__main__":
    stories.run(main)
