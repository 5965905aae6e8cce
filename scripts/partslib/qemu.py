# SPDX-License-Identifier: BSD-2-Clause
"""A QEMU with the vfio-user-pci device: the user's, the system's, or a private unpack."""

import os
import re
import shutil
import subprocess

from .archive import Archive, unpack
from .common import PartsError, run, say

SUITE = "trixie-backports"
DEVICE = "vfio-user-pci"
BINARY = "qemu-system-x86_64"

# The unpacked tree holds its own libraries and loader, so it runs on any distribution; exec
# keeps the process id that the caller knows.
WRAPPER = """#!/bin/sh
# Runs the QEMU beside this file with the libraries it came with.
here=$(dirname "$(readlink -f "$0")")/root
lib=$here/usr/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=$lib/qemu
export QEMU_MODULE_DIR
exec "$here/usr/lib64/ld-linux-x86-64.so.2" --inhibit-cache --argv0 "$0" \\
\t--library-path "$lib" "$here/usr/bin/qemu-system-x86_64" \\
\t-L "$here/usr/share/qemu" -L "$here/usr/share/seabios" -L "$here/usr/lib/ipxe/qemu" "$@"
"""

# Not needed to run: documentation, translations, desktop files.
DROP = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info",
        "usr/share/applications", "usr/share/icons", "usr/share/bash-completion", "var")


def probe(path):
    """Version of a QEMU that has the device, else None."""
    try:
        done = subprocess.run([path, "-device", "help"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode or f'name "{DEVICE}"' not in done.stdout:
            return None
        text = run([path, "--version"], f"asking {path} for its version")
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"version (\S+)", text)
    return found[1] if found else None


def find(cache):
    """The description of a QEMU that is here already, or None."""
    chosen = os.environ.get("HVLAB_QEMU")
    if chosen:
        version = probe(chosen)
        if version is None:
            raise PartsError(f"HVLAB_QEMU={chosen} does not run or has no {DEVICE} device",
                             "name a QEMU 10.1 or later, or unset HVLAB_QEMU")
        return {"path": os.path.abspath(chosen), "version": version, "origin": "chosen"}
    system = shutil.which(BINARY)
    version = probe(system) if system else None
    if version:
        return {"path": system, "version": version, "origin": "system"}
    part = cache.read("qemu")
    if part:
        part["path"] = cache.path("qemu", BINARY)
    return part


def get(cache, update=False):
    """The description of a QEMU; downloads one when there is none."""
    part = find(cache)
    if part and not (update and part["origin"] == "private"):
        return part
    cache.lock()
    part = find(cache)
    if part and not update:
        return part
    archive = Archive(cache)
    if update:
        archive.update()
    debs, paths = archive.fetch(lambda _a: ["qemu-system-x86"], SUITE, "QEMU", depends=True)
    package = next(d for d in debs if d.package == "qemu-system-x86")
    if part and part.get("package") == package.version:
        return part
    cache.need_space(4 * sum(d.size for d in debs), "QEMU")
    with cache.staging() as tmp:
        root = os.path.join(tmp, "root")
        os.mkdir(root)
        unpack(paths, root, "QEMU")
        for name in DROP:
            shutil.rmtree(os.path.join(root, name), ignore_errors=True)
        wrapper = os.path.join(tmp, BINARY)
        with open(wrapper, "w", encoding="utf-8") as out:
            out.write(WRAPPER)
        os.chmod(wrapper, 0o755)
        version = probe(wrapper)
        if version is None:
            done = subprocess.run([wrapper, "-device", "help"], capture_output=True, text=True,
                                  errors="replace", stdin=subprocess.DEVNULL, check=False)
            raise PartsError(f"the QEMU of {SUITE} ({package.version}) does not run here or has "
                             f"no {DEVICE} device\n" + done.stderr[-600:].strip())
        part = cache.install(tmp, {"version": version, "origin": "private",
                                   "package": package.version}, "qemu")
    part["path"] = cache.path("qemu", BINARY)
    say(f"QEMU {version} is in {part['path']}")
    return part
