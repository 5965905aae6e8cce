#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Two guests with stock kernels on two vhost ports: traffic, a driver's life, a live migration.

    qemu.py --lab build/tests/vhost/vhost_lab [--kernel 6.12] [--queues 2] [--only talk|live|move]

Boots under TCG with the parts that scripts/parts gets, and shows what each step found. Fails when a guest complains, a packet is malformed, or offloads that
both sides have are not used.
"""

import argparse
import importlib.machinery
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def load_smoke():
    """guest/smoke as a module: it knows how to boot a guest and talk to its agent."""
    loader = importlib.machinery.SourceFileLoader("smoke", os.path.join(REPO, "guest", "smoke"))
    spec = importlib.util.spec_from_loader("smoke", loader)
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


smoke = load_smoke()


class Lab:
    """vhost_lab and its figures."""

    def __init__(self, program, folder, ports, queues):
        self.process = subprocess.Popen([program, folder, str(ports), str(queues), "0", "1500",
                                         "learn"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ports = ports
        if self.process.stdout.readline() != "ready\n":
            raise smoke.Failed("vhost_lab did not start")

    def figures(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return [json.loads(self.process.stdout.readline()) for _ in range(self.ports)]

    def close(self):
        self.process.stdin.close()
        if self.process.wait(20):
            raise smoke.Failed(f"vhost_lab ended with {self.process.returncode}")


class Guest(smoke.Guest):
    """A guest with one NIC on a vhost port."""

    def __init__(self, image, qemu, folder, lab_folder, number, queues, port=None, extra=()):
        os.mkdir(folder)
        port = number if port is None else port
        self.folder = folder
        self.console = os.path.join(folder, "console")
        mac = f"02:15:5d:00:00:{number + 1:02x}"
        nic = f" hvlab.nic={mac},eth0,10.5.0.{number + 1}/24,fd05::{number + 1}/64,"
        device = f"virtio-net-pci,id=nic0,netdev=n0,mac={mac},romfile="
        if queues > 1:
            device += f",mq=on,vectors={2 * queues + 2}"
        argv = [qemu, "-nodefaults", "-nographic", "-no-reboot", "-no-user-config",
                "-machine", "q35,memory-backend=m0", "-accel", "tcg,thread=multi", "-cpu", "max",
                "-smp", "2", "-m", "384M",
                "-object", "memory-backend-memfd,id=m0,size=384M,share=on",
                "-kernel", image["kernel"], "-initrd", image["initrd"],
                "-append", image["cmdline"] + f" hvlab.name=g{number}" + nic,
                "-serial", "file:" + self.console,
                "-qmp", f"unix:{folder}/qmp,server=on,wait=off",
                "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=ga0,path={folder}/ga,server=on,wait=off",
                "-device", f"virtserialport,chardev=ga0,name={image['agent']}",
                "-chardev", f"socket,id=c0,path={lab_folder}/s{port},reconnect-ms=100",
                "-netdev", f"vhost-user,id=n0,chardev=c0,queues={queues}",
                "-device", device, *extra]
        for drive_number, drive in enumerate(image["drives"]):
            argv += ["-blockdev", json.dumps({
                "driver": drive["format"], "node-name": f"drive{drive_number}", "read-only": True,
                "file": {"driver": "file", "filename": drive["file"]}}),
                "-device", f"{drive['interface']},drive=drive{drive_number},"
                           f"serial={drive['serial']}"]
        self.started = time.monotonic()
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.stderr,
                                        stderr=self.stderr, start_new_session=True)

    def said(self):
        """What QEMU printed."""
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")


def iperf(server, client, arguments, seconds, address="10.5.0.1"):
    """Mbit/s that arrived."""
    server.must("iperf3 -s -1 -D && sleep 0.3", "iperf3 listens")
    status, out = client.run(f"iperf3 -c {address} -t {seconds} -J {arguments}", seconds + 60)
    if status:
        raise smoke.Failed(f"iperf3 {arguments}: {out[-500:]}")
    end = json.loads(out)["end"]
    total = end.get("sum_received") or end["sum"]
    return total["bits_per_second"] / 1e6


def talk(lab, guests, seconds):
    first, second = guests
    second.must("ping -c5 -i0.05 -W5 10.5.0.1", "ping by IPv4", " 0% packet loss")
    second.must("ping -6 -c5 -i0.05 -W5 fd05::1", "ping by IPv6", " 0% packet loss")
    second.must("ping -c3 -i0.05 -s 20000 -W5 10.5.0.1", "ping of fragments", " 0% packet loss")
    for name, arguments, who in (("TCP", "", first), ("TCP, other way", "-R", first),
                                 ("TCP, 4 streams", "-P 4", first),
                                 ("TCP over IPv6", "-6", first), ("UDP", "-u -b 200M", first)):
        address = "fd05::1" if "-6" in arguments else "10.5.0.1"
        rate = iperf(who, second, arguments, seconds, address)
        print(f"      {name}: {rate:.0f} Mbit/s", flush=True)
    figures = lab.figures()
    print(json.dumps(figures, indent=1), flush=True)
    for port in figures[:2]:
        smoke.check(port["tso"] > 100 and port["gso"] > 100, "large packets went whole both ways")
        smoke.check(not port["malformed"] and not port["errors"], "nothing was malformed")
    for guest in guests:
        guest.must("! dmesg -l emerg,alert,crit,err,warn | grep -E 'WARNING:|BUG:|Oops|Trace'",
                   "the kernel has no complaint")
        guest.must("nstat -az 2>/dev/null | awk '/CsumErrors|InErrs/ && $2 {print; bad = 1} "
                   "END {exit bad}'", "no checksum was wrong")


def live(lab, guests, queues):
    """What a driver does in its life."""
    first, second = guests
    second.must("ip link set eth0 down && ip link set eth0 up", "down and up")
    second.eventually("ping -c1 -W1 10.5.0.1", "it talks again")
    if queues > 1:
        second.must(f"ethtool -L eth0 combined {queues}", "use all queues")
        second.eventually("ping -c1 -W1 10.5.0.1", "it talks")
        smoke.check(lab.figures()[1]["rxq"] == queues, f"{queues} receive rings run")
        rate = iperf(first, second, "-P 8", 2)
        print(f"      8 streams over {queues} queues: {rate:.0f} Mbit/s", flush=True)
        second.must("ethtool -L eth0 combined 1", "use one queue")
        second.eventually("ping -c1 -W1 10.5.0.1", "it talks")
        second.must(f"ethtool -L eth0 combined {queues}", "all queues again")
        second.eventually("ping -c1 -W1 10.5.0.1", "it talks")
    smoke.check(second.run("ethtool -G eth0 rx 128 tx 64")[0] != 0, "rings have one size")
    second.must("modprobe -r virtio_net", "the driver goes")
    smoke.check(not lab.figures()[1]["driven"], "and nobody drives the port")
    second.must("modprobe virtio_net", "the driver comes")
    second.eventually("ping -c1 -W1 10.5.0.1", "it talks again")
    for offload in ("tso", "gso", "tx", "rx", "gro"):
        second.run(f"ethtool -K eth0 {offload} off")
    second.eventually("ping -c1 -W1 10.5.0.1", "it talks without offloads")
    rate = iperf(first, second, "", 2)
    print(f"      TCP without offloads: {rate:.0f} Mbit/s", flush=True)


def wait_for(what, holds, limit=60):
    """Until holds() is true."""
    deadline = time.monotonic() + limit
    while not holds():
        if time.monotonic() > deadline:
            raise smoke.Failed(f"{what}: not in {limit} s")
        time.sleep(0.02)
    smoke.check(True, what)


def move(lab, still, mover, there):
    """A live migration from port 1 to port 2 under TCP; the streams go on."""
    there.qmp = smoke.Channel(there.folder + "/qmp", time.monotonic() + 20, there.alive)
    there.qmp.line(10)
    there.qmp.call("qmp_capabilities")
    uri = f"unix:{there.folder}/migration"
    there.qmp.call("migrate-incoming", **{"uri": uri})
    still.must("iperf3 -s -1 -D && sleep 0.3", "iperf3 listens")
    pid = mover.agent.call("guest-exec", path="/bin/sh",
                           arg=["-c", "iperf3 -c 10.5.0.1 -t 12 -b 20M -J > /tmp/iperf 2>&1; "
                                      "echo $? > /tmp/status"])["pid"]
    still.agent.call("guest-exec", path="/bin/sh",
                     arg=["-c", "ping -i 0.02 -c 500 -W2 10.5.0.2 > /tmp/ping 2>&1"])
    smoke.check(pid > 0, "TCP and ping run")
    time.sleep(1.5)
    begin = time.monotonic()
    mover.qmp.call("migrate", uri=uri)
    seen = {"logging": False}

    def done():
        seen["logging"] |= lab.figures()[1]["logging"]
        status = mover.qmp.call("query-migrate").get("status")
        if status == "failed":
            raise smoke.Failed("the migration failed: " + mover.said())
        return status == "completed"

    wait_for("the migration completes", done)
    there.qmp.call("cont")
    print(f"      migration: {time.monotonic() - begin:.2f} s", flush=True)
    smoke.check(seen["logging"], "the source's port logged dirty pages")
    there.agent = smoke.Channel(there.folder + "/ga", time.monotonic() + 20, there.alive)
    wait_for("the destination's port is driven", lambda: lab.figures()[2]["driven"])
    wait_for("the source's is not", lambda: not lab.figures()[1]["driven"])
    there.eventually("test -s /tmp/status", "iperf3 ends", 40)
    there.must("test $(cat /tmp/status) = 0", "and well")
    _, out = there.run("cat /tmp/iperf")
    end = json.loads(out)["end"]
    print(f"      {end['sum_received']['bits_per_second'] / 1e6:.1f} Mbit/s, "
          f"{end['sum_sent']['retransmits']} segments sent again", flush=True)
    still.eventually("grep -q 'packets transmitted' /tmp/ping", "ping ends", 40)
    _, out = still.run("tail -2 /tmp/ping")
    print("      " + out.strip().replace("\n", "; "), flush=True)
    there.must("ping -c3 -W2 10.5.0.1", "the guest talks at its new place", " 0% packet loss")
    figures = lab.figures()
    smoke.check(not any(port["errors"] for port in figures), "no ring broke")
    print(f"      announces: {[port['announces'] for port in figures]}", flush=True)
    there.must("! dmesg -l emerg,alert,crit,err,warn | grep -E 'WARNING:|BUG:|Oops|Trace'",
               "the kernel has no complaint")


def main():
    top = argparse.ArgumentParser(description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--lab", required=True, help="the program vhost_lab")
    top.add_argument("--kernel", default="6.12")
    top.add_argument("--queues", type=int, default=2)
    top.add_argument("--seconds", type=int, default=3, help="of each iperf3 run (%(default)s)")
    top.add_argument("--only", choices=("talk", "live", "move"), help="one part")
    args = top.parse_args()
    qemu = smoke.parts("qemu")["path"]
    image = smoke.parts("image", args.kernel)
    folder = tempfile.mkdtemp(prefix="hvlab-vhost.")
    lab = Lab(args.lab, folder, 3, args.queues)
    try:
        with Guest(image, qemu, folder + "/g0", folder, 0, args.queues) as first, \
             Guest(image, qemu, folder + "/g1", folder, 1, args.queues) as second:
            try:
                for guest in (first, second):
                    print(f"  ok  agent after {guest.wait_agent(180):.1f} s", flush=True)
                if args.only in (None, "talk"):
                    talk(lab, (first, second), args.seconds)
                if args.only in (None, "live"):
                    live(lab, (first, second), args.queues)
                if args.only in (None, "move"):
                    with Guest(image, qemu, folder + "/g2", folder, 1, args.queues, 2,
                               ("-incoming", "defer", "-S")) as there:
                        move(lab, first, second, there)
                        print("The destination said: " + (there.said() or "nothing"))
                print("QEMU said: " + (first.said() + second.said() or "nothing"))
            except BaseException:
                print(json.dumps(lab.figures(), indent=1), flush=True)
                for guest in (first, second):
                    with open(guest.console, errors="replace") as src:
                        print("--- console ---\n" + "".join(src.readlines()[-15:]))
                    print("--- QEMU ---\n" + guest.said())
                raise
        lab.close()
    except smoke.Failed as bad:
        print(f"  FAILED  {bad}", flush=True)
        return 1
    finally:
        lab.process.kill()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
