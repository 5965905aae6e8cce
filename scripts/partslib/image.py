# SPDX-License-Identifier: BSD-2-Clause
"""A guest image: a kernel, its initramfs, its modules drive, and the shared root drive."""

import gzip
import hashlib
import lzma
import os
import re
import shutil
import struct

from . import cpio, guestroot, kernel
from .common import (PartsError, file_digest, need, remove_tree, run, say)

INITRAMFS = os.path.join(guestroot.GUEST, "initramfs")

# What every boot needs on its kernel command line, before what the caller adds:
#  loglevel=5	warnings and worse reach the console; dmesg has all
#  panic=-1	a panic ends QEMU at once under -no-reboot
#  no_timer_check	on a busy machine an emulated timer tick comes too late for the boot-time test
#		("IO-APIC + timer doesn't work!"), which then panics; KVM guests skip it too
CMDLINE = "console=ttyS0 loglevel=5 panic=-1 no_timer_check"

# Needed on the way to the agent; where a kernel lacks one, the remedy is its option.
REQUIRED = {"virtio_pci": "CONFIG_VIRTIO_PCI", "virtio_blk": "CONFIG_VIRTIO_BLK",
            "virtio_console": "CONFIG_VIRTIO_CONSOLE", "squashfs": "CONFIG_SQUASHFS",
            "overlay": "CONFIG_OVERLAY_FS"}


def _key(kern):
    """Names the image that this tree would build for a kernel."""
    text = kern["id"] + guestroot.tree_digest(INITRAMFS) + file_digest(os.path.abspath(__file__))
    text += file_digest(os.path.abspath(cpio.__file__)) + str(guestroot.epoch())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _describe(cache, part, kern, root, folder):
    """The contract with whoever boots it; docs/parts.md has the meaning of each field."""
    drives = [{"file": root["file"], "serial": "hvlab-root"},
              {"file": os.path.join(folder, "modules.squashfs"), "serial": "hvlab-modules"}]
    for drive in drives:
        drive.update({"format": "raw", "readonly": True, "interface": "virtio-blk-pci"})
    return {"name": part["name"], "version": part["version"], "dir": folder,
            "kernel": kern["vmlinuz"], "initrd": os.path.join(folder, "initrd"),
            "drives": drives, "cmdline": CMDLINE,
            "agent": "org.qemu.guest_agent.0", "ready": "hvlab-guest: ready",
            "sha256": dict(part["sha256"], root=root["sha256"]),
            "packages": root["packages"], "pinned": root["pinned"]}


def _stock(cache, series, update=False, download=True):
    part = kernel.get(cache, series, update) if download else kernel.find(cache, series)
    if part:
        part["id"] = f"{part['version']} {sorted(part['packages'].items())}"
    return part


def _own(bzimage, modules):
    """A kernel of the user's, described as kernel.find() describes a stock one."""
    version = bzimage_version(bzimage)
    tree = None
    if modules:
        choices = [modules, os.path.join(modules, version),
                   os.path.join(modules, "lib", "modules", version),
                   os.path.join(modules, "usr", "lib", "modules", version)]
        tree = next((c for c in choices if os.path.isdir(os.path.join(c, "kernel"))), None)
        if tree is None:
            raise PartsError(f"{modules} holds no modules of kernel {version}",
                             "run make modules_install INSTALL_MOD_PATH=DIR in the kernel's build "
                             "tree and name that DIR")
        given = os.path.basename(os.path.realpath(tree))
        if given != version and re.match(r"\d+\.\d+", given):
            raise PartsError(f"the modules in {tree} are for {given}, but {bzimage} is {version}",
                             "name the modules that were built with this kernel")
    digest = hashlib.sha256(file_digest(bzimage).encode())
    for folder, names, files in os.walk(tree or os.devnull):
        names.sort()
        for name in sorted(files):
            info = os.stat(os.path.join(folder, name))
            digest.update(f"{folder}/{name} {info.st_size} {info.st_mtime_ns}\n".encode())
    return {"name": f"own-{digest.hexdigest()[:12]}", "version": version,
            "vmlinuz": os.path.abspath(bzimage), "modules": tree and os.path.abspath(tree),
            "id": digest.hexdigest()}


def bzimage_version(path):
    """The version string in a bzImage (Linux Documentation/arch/x86/boot.rst, kernel_version)."""
    try:
        with open(path, "rb") as src:
            head = src.read(0x10000)
    except OSError as bad:
        raise PartsError(f"cannot read the kernel {path}: {bad.strerror}") from bad
    if head[0x202:0x206] != b"HdrS":
        raise PartsError(f"{path} is not an x86 bzImage",
                         "name the file arch/x86/boot/bzImage of the build tree")
    (offset,) = struct.unpack_from("<H", head, 0x20e)
    text = head[offset + 0x200:offset + 0x300].split(b"\0", 1)[0]
    return text.decode("ascii", "replace").split(" ", 1)[0]


def _find(cache, kern):
    root = guestroot.find(cache)
    part = cache.read("image", kern["name"])
    if not root or not part or part["key"] != _key(kern):
        return None
    return _describe(cache, part, kern, root, cache.path("image", kern["name"]))


def find(cache, series):
    """The description of a stock kernel's image if it is here and current, else None."""
    kern = _stock(cache, series, download=False)
    return _find(cache, kern) if kern else None


def get(cache, series, bzimage=None, modules=None, update=False):
    """The description of an image; builds what is missing."""
    if series:
        kern = _stock(cache, series, update)
    else:
        kern = _own(bzimage, modules)
    done = _find(cache, kern)
    if done:
        return done
    cache.lock()
    root = guestroot.get(cache)
    done = _find(cache, kern)
    return done if done else _build(cache, kern, root)


def _build(cache, kern, root):
    need("depmod")
    cache.need_space(400_000_000, f"the image of kernel {kern['version']}")
    say(f"making the image of kernel {kern['version']}")
    with cache.staging() as tmp:
        base = os.path.join(tmp, "tree")
        tree = os.path.join(base, "lib", "modules", kern["version"])
        os.makedirs(tree)
        if kern["modules"]:
            copy_modules(kern["modules"], tree)
        # Debian's newest packages and small kernels come without the lists of what is built in.
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            with open(os.path.join(tree, name), "ab"):
                pass
        run([need("depmod"), "-b", base, kern["version"]], "listing the modules' dependencies")
        load = load_order(tree, [w[0] for w in guestroot.read_list(
            os.path.join(INITRAMFS, "modules"))])
        check_required(tree, kern["version"], load)
        write_initramfs(os.path.join(tmp, "initrd"), tree, load, root["busybox"])
        guestroot.squash(tree, os.path.join(tmp, "modules.squashfs"), "the modules drive")
        remove_tree(base)
        part = {"name": kern["name"], "version": kern["version"], "key": _key(kern),
                "sha256": {n: file_digest(os.path.join(tmp, f)) for n, f in
                           (("initrd", "initrd"), ("modules", "modules.squashfs"))}}
        part["sha256"]["kernel"] = file_digest(kern["vmlinuz"])
        cache.install(tmp, part, "image", kern["name"])
    say(f"the image is in {cache.path('image', kern['name'])}")
    return _find(cache, kern)


def copy_modules(source, dest):
    """Copy a modules folder, each module uncompressed: the guest's CPU is the slow one."""
    for folder, names, files in os.walk(source):
        # build and source point into a kernel tree
        names[:] = sorted(n for n in names if not os.path.islink(os.path.join(folder, n)))
        inside = os.path.join(dest, os.path.relpath(folder, source))
        os.makedirs(inside, exist_ok=True)
        for name in sorted(files):
            path = os.path.join(folder, name)
            stem, ext = os.path.splitext(name)
            if not os.path.isfile(path) or (folder == source and name not in
                                            ("modules.order", "modules.builtin",
                                             "modules.builtin.modinfo")):
                continue
            if ext == ".xz":
                with lzma.open(path) as src, open(os.path.join(inside, stem), "wb") as out:
                    shutil.copyfileobj(src, out)
            elif ext == ".gz":
                with gzip.open(path) as src, open(os.path.join(inside, stem), "wb") as out:
                    shutil.copyfileobj(src, out)
            elif ext == ".zst":
                run([need("zstd"), "-dqf", path, "-o", os.path.join(inside, stem)],
                    f"unpacking {name}")
            else:
                shutil.copyfile(path, os.path.join(inside, name))
            os.chmod(os.path.join(inside, stem if ext in (".xz", ".gz", ".zst") else name), 0o644)


def load_order(tree, names):
    """Paths in tree of the modules to load, each after what it depends on."""
    depends = {}
    with open(os.path.join(tree, "modules.dep"), encoding="utf-8") as src:
        for line in src:
            module, needs = line.split(":", 1)
            depends[module] = needs.split()
    paths = {os.path.basename(m)[:-len(".ko")].replace("-", "_"): m for m in depends}
    order = []
    for name in names:
        if name in paths:
            # modules.dep lists dependencies so that the last must be loaded first.
            for path in [*reversed(depends[paths[name]]), paths[name]]:
                if path not in order:
                    order.append(path)
    return order


def check_required(tree, version, load):
    """Refuse a kernel that says it can never reach the agent; one that says nothing may pass."""
    with open(os.path.join(tree, "modules.builtin"), encoding="utf-8") as src:
        builtin = {os.path.basename(l.strip())[:-len(".ko")].replace("-", "_") for l in src}
    if not builtin:
        return
    have = builtin | {os.path.basename(p)[:-len(".ko")].replace("-", "_") for p in load}
    lacking = [option for name, option in REQUIRED.items() if name not in have]
    if lacking:
        raise PartsError(f"kernel {version} cannot boot the guest image: it has no "
                         + ", ".join(lacking), "set these to y or m and build it again")


def write_initramfs(path, tree, load, busybox):
    """The small first root: busybox, init and the modules that reach the drives."""
    out = cpio.Writer(path, guestroot.epoch())
    for name in ("bin", "dev", "modules", "new", "proc", "ro", "rw", "sys"):
        out.folder(name)
    out.char_device("dev/console", 5, 1)
    with open(busybox, "rb") as src:
        out.file("bin/busybox", src.read(), 0o755)
    out.file("init", open(os.path.join(INITRAMFS, "init"), "rb").read(), 0o755)
    for module in load:
        with open(os.path.join(tree, module), "rb") as src:
            out.file("modules/" + os.path.basename(module), src.read())
    out.file("modules/order", "".join(os.path.basename(m) + "\n" for m in load).encode())
    out.close()
