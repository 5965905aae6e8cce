#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The command line against real guests: exec, capture, log, events, wrong lab files, a daemon
that is killed.
"""

import json
import os
import re
import shutil
import signal
import subprocess

import lab as labs
import story as stories
from lab import require, wait_for


def exec_streams(lab):
    """stdin, stdout and stderr pass through byte for byte, apart from each other."""
    data = bytes(range(256)) * 1200
    done = lab.cli("exec", "a", "--", "cat", stdin=data)
    require(done.stdout == data, f"{len(data)} bytes in, {len(done.stdout)} others out")
    done = lab.cli("exec", "a", "--", "sh", "-c", "cat >&2; echo out", stdin=b"err")
    require((done.stdout, done.stderr) == (b"out\n", b"err"), f"{done.stdout} {done.stderr}")
    done = lab.cli("exec", "a", "--", "printf", "%s\n", "one two", "$HOME", "'\"\\*", "")
    require(done.stdout == b"one two\n$HOME\n'\"\\*\n\n", f"arguments became {done.stdout}")
    require(lab.cli("exec", "a", "--", "head", "-c", "3000000", "/dev/zero").stdout ==
            bytes(3000000), "3 MB of output did not arrive")


def exec_status(lab):
    for status in (0, 1, 7, 254):
        done = lab.cli("exec", "a", "--", "sh", "-c", f"exit {status}", check=False)
        require(done.returncode == status, f"exit {status} became {done.returncode}")
    done = lab.cli("exec", "a", "--", "sh", "-c", "kill -TERM $$", check=False)
    require(done.returncode == 128 + signal.SIGTERM, f"SIGTERM became {done.returncode}")
    # No status of a program: 255 and a message
    for arguments, word in ((("a", "--", "no-such-program"), b"no-such-program"),
                            (("nobody", "--", "true"), b"nobody"),
                            (("a", "--timeout", "1", "--", "sleep", "100"), b"a")):
        done = lab.cli("exec", *arguments, check=False)
        require(done.returncode == 255, f"{arguments}: status {done.returncode}")
        require(word in done.stderr, f"{arguments}: {done.stderr}")


def listings(lab):
    """status and stats: what the text shows is in the JSON, and the JSON is the protocol's."""
    found = lab.cli_json("status")
    require([v["name"] for v in found["vms"]] == ["a", "b"], f"the VMs are {found['vms']}")
    text = lab.cli("status").stdout.decode()
    for vm in found["vms"]:
        require(vm["state"] == "ready", f"{vm['name']} is {vm['state']}")
        for word in (vm["name"], vm["state"], vm["vnics"][0]["addresses"][0].split("/")[0]):
            require(word in text, f"status does not show {word}: {text}")
    figures = lab.cli_json("stats")
    require([n["id"] for n in figures["vnics"]] == ["a/eth0", "b/eth0"], f"{figures}")
    require("a/eth0" in lab.cli("stats").stdout.decode(), "stats does not show a/eth0")


def console_log(lab):
    lab.vm("a").run("echo a line for the console >/dev/ttyS0")
    wait_for(lambda: b"a line for the console" in lab.cli("log", "a").stdout, 10, "the line")
    text = lab.cli("log", "a", "-n", "10000").stdout.decode(errors="replace")
    require("hvlab-guest: ready" in text, f"hvlab log shows {text[-300:]}")
    require("a/eth0: driven" in lab.cli("log", "-n", "1000").stdout.decode(), "the daemon's log")


def capture(lab):
    """What -w - writes is pcapng that tcpdump and tshark read, both directions in it."""
    a, b = lab.vm("a"), lab.vm("b")
    path = os.path.join(lab.dir, "ping.pcapng")
    tap = labs.Capture(lab, "a/eth0", path)
    wait_for(lambda: a.vnic()["capture"], 20, "the capture runs")
    a.run(f"ping -q -c 3 -i 0.2 -s 1400 -W 10 {b.address()}")
    tap.stop()
    wait_for(lambda: not a.vnic()["capture"], 20, "the capture ended with its reader")
    with open(path, "rb") as src:
        data = src.read()
    require(data[:4] == b"\x0a\x0d\x0d\x0a", f"not pcapng: {data[:16]}")
    require(b"a/eth0" in data, "the interface has no name")
    text = a.run("cat >/tmp/x.pcapng && tcpdump -n -r /tmp/x.pcapng icmp", stdin=data).out
    for kind in ("request", "reply"):
        count = text.count(f"ICMP echo {kind}")
        require(count == 3, f"tcpdump shows {count} {kind}s: {text}")
    reader = shutil.which("tshark")
    if reader:      # Wireshark's own reader, where the machine has it
        done = subprocess.run([reader, "-r", path, "-Y", "icmp", "-o", "ip.check_checksum:TRUE",
                               "-T", "fields", "-e", "frame.interface_name", "-e", "frame.len",
                               "-e", "ip.checksum.status", "-e", "icmp.checksum.status"],
                              capture_output=True, text=True, timeout=120, check=True)
        rows = done.stdout.split("\n")[:-1]
        require(len(rows) == 6 and all(r == "a/eth0/vf\t1442\t1\t1" for r in rows),
                f"tshark reads {rows}")


def event_stream(lab):
    """What happens is printed as it happens: one event, then it ends."""
    b = lab.vm("b")
    process = lab.popen(["events", "VNIC_STATE", "--json", "-n", "1", "--timeout", "120"],
                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        def printed():      # it may not have subscribed at the first time
            b.run("ip link set eth0 down && ip link set eth0 up")
            return process.poll() is not None
        wait_for(printed, 60, "an event is printed")
        event = json.loads(process.stdout.read())
        require(event["event"] == "VNIC_STATE" and event["data"]["vnic"] == "b/eth0" and
                event["data"]["state"] in ("offered", "driven"), f"it printed {event}")
        require(process.returncode == 0, f"status {process.returncode}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    b.run(f"ip -6 addr replace {b.address(6)}/64 dev eth0 nodad")


def second_up(lab):
    """A lab is up: another is refused, and the first is as it was."""
    before = lab.status()["vms"]
    done = lab.cli("up", lab.file, check=False)
    require(done.returncode not in (0, 255), "a second lab was accepted")
    require([v["pid"] for v in lab.status()["vms"]] == [v["pid"] for v in before], "others run")


def dead_guest(lab):
    """exec into a guest that is gone, and one that goes while it runs, ends with 255."""
    running = lab.popen(["exec", "b", "--", "sleep", "1000"], stdout=subprocess.DEVNULL,
                        stderr=subprocess.PIPE)
    wait_for(lambda: not lab.vm("b").run("pgrep -x sleep", check=False).status, 20, "sleep runs")
    lab.control.call("vm-kill", vm="b")
    _, err = running.communicate(timeout=60)
    require(running.returncode == 255, f"the running one ended with {running.returncode}: {err}")
    done = lab.cli("exec", "b", "--", "true", check=False)
    require(done.returncode == 255 and b"b" in done.stderr, f"{done}")
    require(lab.vm("b").status()["state"] == "exited", f"b is {lab.vm('b').status()}")
    lab.control.call("vm-start", vm="b")
    lab.vm("b").wait_ready()


def daemon_killed(lab):
    """kill -9 of the daemon: its guests are ended by the next one, and `up` works again."""
    old = [v["pid"] for v in lab.status()["vms"]]
    lab.daemon.kill()
    lab.daemon.wait()
    lab.control.close()
    lab.events.close()
    lab.start_daemon()
    wait_for(lambda: not any(alive(p) for p in old), 20, f"{old} are ended")
    require(lab.status()["lab"] is None, "the new daemon shows a lab")
    lab.up()
    lab.vm("a").run(f"ping -q -c 2 -i 0.2 -W 10 {lab.vm('b').address()}")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as src:
            return src.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


GOOD = """networks:
  - name: blue
    subnet: 10.77.0.0/24
vms:
  - name: a
    kernel: "KERNEL"
    nics:
      - network: blue
  - name: b
    kernel: "KERNEL"
    nics:
      - network: blue
"""

# name -> (what to replace, by what, line of the complaint, words in it)
WRONG = {
    "unknown key": ("kernel:", "kernle:", 6, ["kernle"]),
    "wrong type": ("subnet: 10.77.0.0/24", "mtu: wide", 3, ["mtu"]),
    "impossible subnet": ("10.77.0.0/24", "10.77.0.0/33", 3, ["subnet", "33"]),
    "unknown network": ("network: blue\n  - name: b", "network: red\n  - name: b", 8, ["red"]),
    "duplicate name": ("name: b\n", "name: a\n", 9, ["a"]),
    "unknown kernel": ('"KERNEL"\n    nics:\n      - network: blue\n  - name: b',
                       '"2.4"\n    nics:\n      - network: blue\n  - name: b', 6, ["2.4"]),
    "not YAML": ("vms:", "vms: [", 5, []),
    "no VM": (GOOD[GOOD.index("vms:"):], "", None, ["vms"]),
}


def wrong_files(lab, kernel):
    """Line, key and reason; nothing is started."""
    for name, (old, new, line, words) in WRONG.items():
        require(GOOD.count(old) >= 1, f"the table is wrong: {name}")
        index = GOOD.rindex(old) if name == "duplicate name" else GOOD.index(old)
        text = (GOOD[:index] + new + GOOD[index + len(old):]).replace("KERNEL", kernel)
        path = os.path.join(lab.dir, "wrong.yaml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        for command in ("check", "up"):
            done = lab.cli(command, path, check=False)
            said = done.stderr.decode()
            require(done.returncode not in (0, 255), f"{command} accepted a file with {name}")
            if line:
                require(re.search(rf"wrong\.yaml:{line}\b", said),
                        f"{name}: line {line} is not named: {said}")
            for word in words:
                require(word in said, f"{name}: no `{word}` in: {said}")
        require(lab.status()["lab"] is None, f"{name}: a lab is up")
        require(not lab.leftovers(), f"{name}: {lab.leftovers()}")
    good = os.path.join(lab.dir, "good.yaml")
    with open(good, "w", encoding="utf-8") as out:
        out.write(GOOD.replace("KERNEL", kernel))
    lab.cli("check", good)


def own_daemon(lab):
    """Without a daemon, `up` starts one; `down` ends it and leaves nothing."""
    lab.cli("down")
    lab.up_done = False
    require(lab.stop_daemon() == 0, f"hvlabd ended badly: {lab.daemon_errors()[-800:]}")
    lab.cli("up", lab.file)
    found = lab.cli_json("status")
    require(found["pid"] != lab.daemon.pid and alive(found["pid"]), "no daemon of its own")
    lab.cli("down")
    wait_for(lambda: not alive(found["pid"]), 30, "the daemon ended")
    require(not lab.leftovers(), f"left behind: {lab.leftovers()}")
    lab.start_daemon()


def main():
    story = stories.Story("cli", __doc__)
    before = [("wrong lab files", lambda lab: wrong_files(lab, story.kernel))]
    with story.lab({"a": {}, "b": {"memory": "256M"}}, before=before) as lab:
        story.check("exec streams", exec_streams, lab)
        story.check("exec status", exec_status, lab)
        story.check("status and stats", listings, lab)
        story.check("log", console_log, lab)
        story.check("capture", capture, lab)
        story.check("events", event_stream, lab)
        story.check("a second up", second_up, lab)
        story.check("exec in a dead guest", dead_guest, lab)
        story.check("no complaint so far", story.quiet_until_now, lab)
        story.check("daemon killed", daemon_killed, lab)
        story.check("up starts a daemon", own_daemon, lab)
    return story.end()


if __name__ == "__main__":
    stories.run(main)
