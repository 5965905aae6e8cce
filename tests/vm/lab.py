# SPDX-License-Identifier: BSD-2-Clause
"""A private daemon with a lab of real guests: started, talked to, looked after, taken down.

Every Lab has a daemon and a runtime directory of its own (/tmp/hvt.*), so several run side by
side and none touches what a person has running. Leaving the block ends all of it, also after an
exception or SIGTERM; a harness killed outright takes its daemon with it (PR_SET_PDEATHSIG), and
the daemon its guests.
"""

import base64
import contextlib
import ctypes
import glob
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from control import Closed, Control, Refused

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
PEER = "/tmp/peer.py"           # where peer.py is in a guest
PORT = 7000                     # and the port that it serves
CAPTURE_LIMIT = 8 << 20         # bytes of a check's capture that are kept

# What no guest may say, in its kernel log or on its console.
COMPLAINT = re.compile(r"WARNING:|BUG:|\bOops\b|Call Trace|general protection|Kernel panic|"
                       r"soft lockup|blocked for more than|NETDEV WATCHDOG|"
                       r"\bmana.*(?i:fail|error|timeout|timed out)")


class CheckFailed(Exception):
    """What a check claims does not hold."""


class LabDead(Exception):
    """The lab cannot serve further checks."""


def require(holds, text):
    """Fail the check unless it holds."""
    if not holds:
        raise CheckFailed(text)


def wait_for(condition, deadline, what):
    """Call condition until it returns something true, for at most deadline seconds."""
    end = time.monotonic() + deadline
    while True:
        try:
            value, trouble = condition(), None
        except (CheckFailed, Refused, TimeoutError) as error:
            value, trouble = None, error
        if value:
            return value
        if time.monotonic() > end:
            raise CheckFailed(f"not within {deadline} s: {what}" +
                              (f" ({trouble})" if trouble else ""))
        time.sleep(0.1)


class Result:
    """How a command in a guest ended."""

    def __init__(self, answer):
        self.status = answer.get("exitcode", -answer.get("signal", 0))
        self.out = base64.b64decode(answer.get("stdout", "")).decode(errors="replace")
        self.err = base64.b64decode(answer.get("stderr", "")).decode(errors="replace")

    def __str__(self):
        text = (self.out[-600:] + self.err[-600:]).strip()
        return f"status {self.status}" + (f": {text}" if text else "")


class Job(threading.Thread):
    """A command that runs in a guest beside the checks."""

    numbers = iter(range(1, 1 << 30))

    def __init__(self, vm, command):
        super().__init__(daemon=True)
        self.vm, self.command = vm, command
        self.pid_file = f"/tmp/job.{next(self.numbers)}"
        self.result = self.trouble = None
        self.start()
        wait_for(lambda: not self.is_alive() or self.vm.run(f"test -s {self.pid_file}",
                                                            check=False).status == 0,
                 30, f"`{command}` starts in {vm.name}")

    def run(self):
        script = f"echo $$ >{self.pid_file}; {self.command}"
        try:
            with Control(self.vm.lab.socket) as control:
                self.result = Result(control.call(
                    "vm-exec", timeout=3600, vm=self.vm.name,
                    argv=["setsid", "--wait", "sh", "-c", script]))
        except (Refused, Closed, OSError) as error:
            self.trouble = error

    def wait(self, timeout):
        """Its result; fails the check when it has none by then."""
        self.join(timeout)
        require(not self.is_alive(), f"`{self.command}` in {self.vm.name} ran beyond {timeout} s")
        if self.trouble:
            raise CheckFailed(f"`{self.command}` in {self.vm.name}: {self.trouble}")
        return self.result

    def stop(self, sig="INT", timeout=30):
        """Signal it and all that it started, and wait for the result."""
        self.vm.run(f"kill -s {sig} -- -$(cat {self.pid_file})", check=False)
        return self.wait(timeout)


class VM:
    """One guest, by its name in the lab."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name

    def run(self, command, check=True, stdin=None, timeout=60):
        """Run a shell command in the guest; with check a status other than 0 fails the check."""
        arguments = {"vm": self.name, "argv": ["sh", "-c", command], "timeout_ms": timeout * 1000}
        if stdin is not None:
            arguments["stdin"] = base64.b64encode(stdin).decode()
        self.lab.note(f"{self.name}$ {command}")
        result = Result(self.lab.control.call("vm-exec", timeout=timeout + 30, **arguments))
        self.lab.note(str(result))
        if check and result.status:
            raise CheckFailed(f"`{command}` in {self.name}: {result}")
        return result

    def out(self, command, **options):
        """What a command printed, without space around it."""
        return self.run(command, **options).out.strip()

    def job(self, command):
        return Job(self, command)

    def eventually(self, command, deadline, what=None):
        """Until the command ends with 0."""
        return wait_for(lambda: not self.run(command, check=False).status, deadline,
                        what or f"`{command}` in {self.name}")

    def status(self):
        return next(v for v in self.lab.status()["vms"] if v["name"] == self.name)

    def vnic(self, name="eth0"):
        return next(n for n in self.status()["vnics"] if n["name"] == name)

    def stats(self, name="eth0"):
        return self.lab.control.call("stats", vnic=f"{self.name}/{name}")["vnics"][0]

    def address(self, family=4, name="eth0"):
        """The address that the lab file gave a NIC, without prefix length."""
        for text in self.vnic(name)["addresses"]:
            if (":" in text) == (family == 6):
                return text.split("/")[0]
        raise CheckFailed(f"{self.name}/{name} has no IPv{family} address")

    def wait_ready(self, deadline=120):
        self.lab.control.call("vm-wait", timeout=deadline + 10, vm=self.name, state="ready",
                              timeout_ms=deadline * 1000)

    def console(self):
        path = self.status()["console"]["log"]
        with open(path, encoding="utf-8", errors="replace") as src:
            return src.read()

    def wait_configured(self, name="eth0", deadline=60):
        """Until the NIC is up with its addresses, and not just its driver loaded. DHCPv6 gives an
        address without the prefix of its link, which router advertisements tell."""
        found = self.vnic(name)
        show = " && ".join(f"grep -qE {shlex.quote(re.escape(a) + '|' + re.sub('/.*', '/128', a))} "
                           "/tmp/addr" for a in found["addresses"])
        self.eventually(f"ip addr show dev {name} up >/tmp/addr && {show or 'true'}", deadline,
                        f"{self.name}/{name} is up with {found['addresses']}")

    def give_peer(self):
        """Bring peer.py and start its server, unless a server runs."""
        with open(os.path.join(HERE, "peer.py"), "rb") as src:
            self.run(f"cat >{PEER}", stdin=src.read())
        self.run(f"ss -Hltn 'sport = :{PORT}' | grep -q . || "
                 f"setsid python3 {PEER} serve {PORT} </dev/null >/tmp/peer.log 2>&1 &")
        self.eventually(f"ss -Hltn 'sport = :{PORT}' | grep -q .", 60,
                        f"peer.py serves in {self.name}")

    def peer(self, arguments, check=True, timeout=120):
        """Run a client of peer.py in the guest."""
        return self.run(f"python3 {PEER} {arguments}", check=check, timeout=timeout)


class Capture(threading.Thread):
    """`hvlab capture` of a vNIC into a file, its first megabytes."""

    def __init__(self, lab, vnic, path):
        super().__init__(daemon=True)
        self.process = lab.popen(["capture", vnic, "-w", "-"], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL)
        self.path = path
        self.start()

    def run(self):
        size = 0
        with open(self.path, "wb") as out:
            while size < CAPTURE_LIMIT:
                data = os.read(self.process.stdout.fileno(), 1 << 16)
                if not data:
                    return
                out.write(data)
                out.flush()
                size += len(data)
        self.process.send_signal(signal.SIGINT)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.join()
        self.process.stdout.close()


def lab_text(kernel, vms, mtu=1500, networks=("blue",), dhcp=False, uplinks=None, flows=None):
    """A lab file. vms: {name: {"cpus": n, "nics": [{"network": ..., ...}], ...}}
    uplinks: {network: {key: value}}; flows: {key: value}

    A VM has one NIC unless its options say "nics"; keys of the NIC may then stand among the VM's.
    What is not said is the VF alone, no root ports to spare, and no services in the networks.
    """
    nic_keys = ("queues", "vf", "synthetic", "weight", "moderation", "mac", "ip", "ip6", "mtu")
    lines = ["name: test", "networks:"]
    for number, network in enumerate(networks):
        lines += [f"  - name: {network}", f"    subnet: 10.{77 + 10 * number}.0.0/24",
                  f"    subnet6: fd{77 + 10 * number}::/64", f"    mtu: {mtu}",
                  f"    dhcp: {'on' if dhcp else 'off'}"]
        if uplinks and network in uplinks:
            lines += ["    uplink:"] + [f"      {key}: {value}"
                                        for key, value in uplinks[network].items()]
    if flows:
        lines += ["flows:"] + [f"  {key}: {value}" for key, value in flows.items()]
    lines.append("vms:")
    for name, options in vms.items():
        lines += [f"  - name: {name}", f"    kernel: \"{options.get('kernel', kernel)}\"",
                  f"    cpus: {options.get('cpus', 2)}",
                  f"    memory: {options.get('memory', '512M')}",
                  f"    spare_nics: {options.get('spare_nics', 0)}"]
        lines += [f"    {key}: {options[key]}" for key in ("append", "hotplug", "labels") if key in options]
        nics = options.get("nics", [{key: options[key] for key in nic_keys if key in options}])
        lines.append("    nics:" if nics else "    nics: []")
        for number, nic in enumerate(nics):
            nic = {"name": f"eth{number}", "network": networks[0], "synthetic": "none", **nic}
            lines += [f"      {'-' if key == 'name' else ' '} {key}: {value}"
                      for key, value in nic.items()]
    return "\n".join(lines) + "\n"


def find_programs(build):
    """(hvlab, hvlabd) of a build folder."""
    found = []
    for name in ("hvlab", "hvlabd"):
        paths = [p for p in (os.path.join(build, "host", name), os.path.join(build, name),
                             os.path.join(build, "bin", name)) if os.access(p, os.X_OK)]
        if not paths:
            raise SystemExit(f"{build} holds no {name}: build first (cmake --build {build})")
        found.append(os.path.abspath(paths[0]))
    return found


def processes_naming(text):
    """{pid: command line} of processes, other than this one, whose command line holds text."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        pid = int(path.split("/")[2])
        with contextlib.suppress(OSError):
            with open(path, "rb") as src:
                line = src.read().replace(b"\0", b" ").decode(errors="replace").strip()
            if text in line and pid != os.getpid():
                found[pid] = line
    return found


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)      # PR_SET_PDEATHSIG


class Lab:
    """A daemon of its own and, once up() was called, a lab."""

    def __init__(self, build, text=None, keep=False):
        self.hvlab, self.hvlabd = find_programs(build)
        self.text, self.keep = text, keep
        self.dir = tempfile.mkdtemp(prefix="hvt.", dir="/tmp")
        self.runtime = os.path.join(self.dir, "run")
        self.socket = os.path.join(self.runtime, "control.sock")
        self.file = os.path.join(self.dir, "lab.yaml")
        self.transcript = open(os.path.join(self.dir, "transcript"), "w", encoding="utf-8")
        self.started = time.monotonic()
        self.daemon = self.control = self.events = None
        self.env = dict(os.environ, HVLAB_RUNTIME_DIR=self.runtime)
        self.up_done = False

    def note(self, text):
        """A line for the transcript, which a failure keeps."""
        self.transcript.write(f"{time.monotonic() - self.started:8.2f} {text}\n")
        self.transcript.flush()

    # The command line, as a person uses it

    def popen(self, arguments, **options):
        self.note("hvlab " + shlex.join(arguments))
        return subprocess.Popen([self.hvlab, *arguments], env=self.env, stdin=options.pop(
            "stdin", subprocess.DEVNULL), **options)

    def cli(self, *arguments, check=True, stdin=b"", timeout=180):
        """Run hvlab; stdout and stderr are bytes."""
        self.note("hvlab " + shlex.join(arguments))
        try:
            done = subprocess.run([self.hvlab, *arguments], env=self.env, input=stdin,
                                  capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"hvlab {shlex.join(arguments)}: no end in {timeout} s") from None
        self.note(f"status {done.returncode} {done.stdout[-300:]} {done.stderr[-600:]}")
        if check and done.returncode:
            raise CheckFailed(f"hvlab {shlex.join(arguments)}: status {done.returncode}: "
                              + (done.stderr or done.stdout).decode(errors="replace")[-800:])
        return done

    def cli_json(self, *arguments, **options):
        return json.loads(self.cli(*arguments, "--json", **options).stdout)

    # The daemon

    def start_daemon(self):
        self.note("hvlabd starts")
        with open(os.path.join(self.dir, "hvlabd.stderr"), "ab") as err:
            self.daemon = subprocess.Popen(
                [self.hvlabd, "--runtime-dir", self.runtime], env=self.env,
                stdin=subprocess.DEVNULL, stdout=err, stderr=err, start_new_session=True,
                preexec_fn=_die_with_parent)
        self.connect()

    def connect(self):
        def try_it():
            if self.daemon.poll() is not None:
                raise LabDead(f"hvlabd ended with {self.daemon.returncode}: "
                              + self.daemon_errors()[-800:])
            try:
                return Control(self.socket)
            except (OSError, Closed):
                return None

        self.control = wait_for(try_it, 30, "the daemon answers")
        self.events = Control(self.socket)
        self.events.call("events-subscribe")

    def daemon_errors(self):
        with open(os.path.join(self.dir, "hvlabd.stderr"), errors="replace") as src:
            return src.read()

    def stop_daemon(self, timeout=60):
        """Its exit status."""
        for control in (self.control, self.events):
            if control:
                control.close()
        self.control = self.events = None
        if self.daemon.poll() is None:
            self.daemon.terminate()
        try:
            return self.daemon.wait(timeout)
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"hvlabd did not end within {timeout} s of SIGTERM") from None

    # The lab

    def up(self, drivers=True, timeout=400):
        """Until every guest answers and, with drivers, drives every path of its NICs."""
        with open(self.file, "w", encoding="utf-8") as out:
            out.write(self.text)
        self.cli("up", self.file, "--wait" if drivers else "--no-wait", "--timeout", str(timeout),
                 timeout=timeout + 60)
        self.up_done = True
        if not drivers:
            for vm in self.vms():
                vm.wait_ready(timeout)

    def status(self):
        return self.control.call("query-status")

    def vms(self):
        return [VM(self, v["name"]) for v in self.status()["vms"]]

    def vm(self, name):
        return VM(self, name)

    def healthy(self):
        """Whether every guest that should answer does, in good time."""
        try:
            for vm in self.status()["vms"]:
                if vm["state"] == "ready":
                    VM(self, vm["name"]).run("true", timeout=30)
        except (CheckFailed, Refused, Closed, OSError, TimeoutError) as error:
            return str(error)
        return None

    def complaints(self, allowed=None):
        """Lines by which a guest's kernel, its console or the daemon complain."""
        found = []
        for vm in self.status()["vms"]:
            lines = VM(self, vm["name"]).console().splitlines()
            if vm["state"] == "ready":
                lines += VM(self, vm["name"]).run("dmesg").out.splitlines()
            lines = dict.fromkeys(line.strip() for line in lines)
            found += [f"{vm['name']}: {line}" for line in lines if COMPLAINT.search(line)
                      and not (allowed and allowed.search(line))]
        found += self.sanitizer_reports()
        return found

    def sanitizer_reports(self):
        return [f"hvlabd: {line}" for line in self.daemon_errors().splitlines()
                if re.search(r"Sanitizer|runtime error:|SUMMARY:", line)]

    def leftovers(self):
        """What a lab that is down must not leave: processes, sockets, mounts."""
        found = [f"process {pid}: {line[:150]}" for pid, line in
                 processes_naming(self.runtime).items()
                 if not self.daemon or pid != self.daemon.pid]
        found += [f"file {path}" for path in glob.glob(self.runtime + "/vm/*/*")]
        with open("/proc/self/mounts", encoding="utf-8") as src:
            found += [f"mount {line.split()[1]}" for line in src if self.dir in line]
        return found

    def keep_artifacts(self, folder):
        """Copy what explains a failure into a folder."""
        os.makedirs(folder, exist_ok=True)
        for name in ("transcript", "hvlabd.stderr", "lab.yaml"):
            with contextlib.suppress(OSError):
                shutil.copyfile(os.path.join(self.dir, name), os.path.join(folder, name))
        for path in glob.glob(self.runtime + "/*.log*"):
            shutil.copyfile(path, os.path.join(folder, os.path.basename(path)))
        for path in glob.glob(self.runtime + "/vm/*/*.log"):
            name = "-".join(path.split("/")[-2:])
            shutil.copyfile(path, os.path.join(folder, name))
        for command in ("query-status", "stats"):
            with contextlib.suppress(Refused, Closed, OSError, TimeoutError, AttributeError):
                with Control(self.socket) as control:
                    answer = control.call(command, timeout=10)
                with open(os.path.join(folder, command + ".json"), "w", encoding="utf-8") as out:
                    json.dump(answer, out, indent="\t")
        for vm in ([] if self.daemon is None or self.daemon.poll() is not None else self.names()):
            with contextlib.suppress(Refused, Closed, OSError, TimeoutError, CheckFailed):
                with Control(self.socket) as control:
                    text = Result(control.call("vm-exec", timeout=15, vm=vm, timeout_ms=10000, argv=[
                        "sh", "-c", "dmesg; ip -s addr; ip neigh; ip route; ps ax; "
                        "cat /proc/interrupts; ethtool -S eth0; cat /tmp/peer.log"])).out
                with open(os.path.join(folder, f"{vm}-guest.txt"), "w", encoding="utf-8") as out:
                    out.write(text)

    def names(self):
        try:
            with Control(self.socket) as control:
                return [v["name"] for v in control.call("query-status", timeout=10)["vms"]
                        if v["state"] == "ready"]
        except (Refused, Closed, OSError, TimeoutError):
            return []

    # The end

    def __enter__(self):
        try:
            self.start_daemon()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error):
        self.close()

    def close(self):
        if self.keep and self.daemon and self.daemon.poll() is None:
            print(f"kept: HVLAB_RUNTIME_DIR={self.runtime} {self.hvlab} status; "
                  f"Ctrl-C ends it", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                self.daemon.wait()
        if self.daemon:
            try:
                self.stop_daemon()
            except CheckFailed:
                self.daemon.kill()
                self.daemon.wait()
        for pid in processes_naming(self.runtime):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.transcript.close()
        shutil.rmtree(self.dir, ignore_errors=True)
