#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The example device of vfio/ behind a stock QEMU, driven by a stock kernel.

A guest with the copier cold-plugged copies pages and gets all four MSI-X vectors; then it is
unplugged and plugged again, several times; a second QEMU device on the same socket is refused and
nothing else happens; QEMU is killed and the next one is served; memory that the device cannot
share is explained in the log.
"""

import argparse
import contextlib
import importlib.machinery
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))

# QMP, the guest agent and one QEMU are as in the smoke test of the guest image.
_loader = importlib.machinery.SourceFileLoader("smoke", os.path.join(REPO, "guest", "smoke"))
smoke = importlib.util.module_from_spec(importlib.util.spec_from_loader("smoke", _loader))
sys.dont_write_bytecode = True
_loader.exec_module(smoke)
check, Failed = smoke.check, smoke.Failed


class Server:
    """The example program; leaving the block ends it."""

    def __init__(self, program, folder, *options):
        self.path = os.path.join(folder, "copier")
        self.log = os.path.join(folder, "copier.log")
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([program, *options, self.path], stderr=log,
                                            stdin=subprocess.DEVNULL)
        self.until("serving at")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.terminate()
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed("the server did not end on SIGTERM") from None
        if status:
            raise Failed(f"the server ended with status {status}")

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def until(self, what, count=1, limit=15):
        deadline = time.monotonic() + limit
        while self.text().count(what) < count:
            if self.process.poll() is not None:
                raise Failed(f"the server ended:\n{self.text()}")
            if time.monotonic() > deadline:
                raise Failed(f"the server never said `{what}`:\n{self.text()}")
            time.sleep(0.02)

    def device(self, name, bus):
        return {"driver": "vfio-user-pci", "id": name, "bus": bus, "x-msg-timeout": 2000,
                "socket": {"type": "unix", "path": self.path}}


class Machine(smoke.Guest):
    """A guest with two root ports and a device on the first; memory None: QEMU's default."""

    def __init__(self, image, qemu, folder, device, memory="share=on", iommu=True, run=True):
        self.console = os.path.join(folder, "console")
        self.folder = folder
        argv = [qemu, "-nodefaults", "-nographic", "-no-reboot", "-no-user-config",
                "-machine", "q35" + (",memory-backend=m0" if memory else ""), "-accel", "tcg,thread=multi", "-cpu", "max",
                "-smp", "2", "-m", "512M",
                "-kernel", image["kernel"], "-initrd", image["initrd"],
                "-append", image["cmdline"] + " intel_iommu=on", "-serial", "file:" + self.console,
                "-qmp", f"unix:{folder}/qmp,server=on,wait=off",
                "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=ga0,path={folder}/ga,server=on,wait=off",
                "-device", f"virtserialport,chardev=ga0,name={image['agent']}",
                "-device", "pcie-root-port,id=rp0,chassis=1,slot=1",
                "-device", "pcie-root-port,id=rp1,chassis=2,slot=2",
                "-device", json.dumps(device)]
        if memory:
            argv += ["-object", "memory-backend-memfd,id=m0,size=512M," + memory]
        argv += ["-device", "intel-iommu,intremap=on,caching-mode=on"] if iommu else []
        argv += [] if run else ["-S"]
        for number, drive in enumerate(image["drives"]):
            argv += ["-blockdev", json.dumps({
                "driver": drive["format"], "node-name": f"drive{number}", "read-only": True,
                "file": {"driver": "file", "filename": drive["file"]}}),
                "-device", f"{drive['interface']},drive=drive{number},serial={drive['serial']}"]
        for name in ("qmp", "ga"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
        self.started = time.monotonic()
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.stderr,
                                        stderr=self.stderr, start_new_session=True)

    def event(self, name, limit=20):
        deadline = time.monotonic() + limit
        while (left := deadline - time.monotonic()) > 0:
            message = self.qmp.line(left)
            if message and message.get("event") == name:
                return message["data"]
        self.alive()
        raise Failed(f"no event {name} in {limit} s")

    def unplug(self, name):
        """Seconds from device_del to DEVICE_DELETED."""
        begin = time.monotonic()
        self.qmp.send("device_del", id=name)
        while self.event("DEVICE_DELETED").get("device") != name:
            pass
        self.alive()
        return time.monotonic() - begin

    def drive_copier(self):
        status, out = self.run("exec python3 /tmp/copier_guest.py", 60)
        if status:
            raise Failed(f"in the guest: status {status}: {out[-1500:]}")
        return json.loads(out.strip().splitlines()[-1])

    def bring_driver(self):
        with open(os.path.join(HERE, "copier_guest.py")) as f:
            text = f.read()
        status, out = self.run("cat >/tmp/copier_guest.py <<'END-OF-FILE'\n" + text +
                               "END-OF-FILE\n")
        check(status == 0, f"the guest has its driver{out}")


WANT = {"id": 0x59504F43, "bar": 4096, "jobs": 4, "after_reset": 0}


def story(args, image, qemu, folder):
    program = os.path.join(args.build, "vfio", "examples", "copier")
    with Server(program, folder) as server:
        with Machine(image, qemu, folder, server.device("c0", "rp0")) as guest:
            guest.wait_agent(60)
            tree = guest.qmp.call("human-monitor-command", **{"command-line": "info pci"})
            check("1af4:10f0" in tree, "info pci shows the device")
            guest.bring_driver()
            check(guest.drive_copier() == WANT, "cold-plugged: copies, four vectors, reset")
            for cycle in range(args.cycles):
                out = guest.unplug("c0")
                server.until("client gone", cycle + 1)
                begin = time.monotonic()
                guest.qmp.call("device_add", **server.device("c0", "rp0"))
                back = time.monotonic() - begin
                guest.eventually("grep -qx 0x10f0 /sys/bus/pci/devices/*/device",
                                 f"cycle {cycle + 1}: out {out * 1000:.0f} ms, device_add "
                                 f"{back * 1000:.0f} ms, seen by the guest")
                check(guest.drive_copier() == WANT, "copies, four vectors, reset")
            try:
                guest.qmp.call("device_add", **server.device("c1", "rp1"))
                raise Failed("a second client was served")
            except Failed as refused:
                check("busy" in str(refused), f"a second client: {refused}")
            check(guest.drive_copier() == WANT, "the first one did not notice")
            status, out = guest.run("dmesg -l emerg,alert,crit,err,warn | "
                                    "grep -E 'WARNING:|BUG:|Oops|Call Trace'")
            check(status != 0, f"the kernel has no complaint{out}")
        server.until("client gone", args.cycles + 1)
        check(True, "QEMU was killed, the server runs on")
        check("share=on" not in server.text(), "nothing was said of its memory")
        with Machine(image, qemu, folder, server.device("c0", "rp0"), memory=None, iommu=False,
                     run=False):
            server.until("came without a descriptor")
            check(True, "memory without a descriptor is explained")
        with Machine(image, qemu, folder, server.device("c0", "rp0"), memory="share=off",
                     iommu=False) as guest:
            guest.wait_agent(60)
            guest.run("cd /sys/bus/pci/devices/$(basename $(dirname $(grep -lx 0x10f0 "
                      "/sys/bus/pci/devices/*/device))) && "
                      "printf '\\006' | dd of=config bs=1 seek=4 conv=notrunc")
            server.until("reads as zeros")
            check(True, "memory that is a private copy is explained")
        check(server.text().count("share=on") == 2, "once each")
    with Server(program, folder, "--native") as server:
        with Machine(image, qemu, folder, server.device("c0", "rp0")) as guest:
            guest.wait_agent(60)
            guest.bring_driver()
            check(guest.drive_copier() == WANT, "native MSI-X: copies, four vectors, reset")


def main():
    top = argparse.ArgumentParser(description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--build", required=True, help="build folder")
    top.add_argument("--kernel", default="6.12", help="a kernel with vfio-pci (%(default)s)")
    top.add_argument("--cycles", type=int, default=5, help="plug cycles (%(default)s)")
    args = top.parse_args()
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, _frame: sys.exit(128 + number))
    qemu = smoke.parts("qemu")["path"]
    image = smoke.parts("image", args.kernel)
    folder = tempfile.mkdtemp(prefix="hvlab-copier.")
    try:
        story(args, image, qemu, folder)
    except Failed as bad:
        print(f"  FAILED  {bad}", flush=True)
        for name in ("copier.log", "console"):
            with contextlib.suppress(FileNotFoundError):
                with open(os.path.join(folder, name), errors="replace") as f:
                    print(f"--- {name} ---\n" + "".join(f.readlines()[-25:]))
        return 1
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
