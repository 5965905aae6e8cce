# SPDX-License-Identifier: BSD-2-Clause
"""The guest's root file system: one read-only squashfs that all kernels share.

Made from Debian packages without running their maintainer scripts, so it needs no root and no
chroot; what those scripts would have left that the guest needs is in guest/rootfs.
"""

import hashlib
import os
import shutil

from .archive import Archive, unpack
from .common import REPO, PartsError, file_digest, need, remove_tree, run, say

SUITE = "trixie"
FORMAT = 1                          # raise when this file changes what the root holds
GUEST = os.path.join(REPO, "guest")
OVERLAY = os.path.join(GUEST, "rootfs")
LOCK = os.path.join(GUEST, "packages.lock")
PYTHON = "usr/lib/python3.13"

# Documentation, translations, package management: nothing that a program needs to run.
DROP = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info",
        "usr/share/lintian", "usr/share/bash-completion", "usr/share/bug", "usr/share/perl5",
        "usr/share/debconf", "usr/share/zsh", "usr/share/applications", "usr/share/pixmaps",
        "usr/share/zoneinfo", "usr/share/systemd", "usr/lib/systemd", "usr/lib/udev",
        "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/perl-base",
        "usr/bin/perl", "usr/bin/dpkg-deb", "var/lib/dpkg", "etc/init.d", "etc/cron.daily",
        PYTHON + "/idlelib", PYTHON + "/pydoc_data", PYTHON + "/turtledemo",
        PYTHON + "/ensurepip", PYTHON + "/lib2to3")

# name in the root -> what it points to
LINKS = {
    "usr/sbin/init": "../bin/busybox",
    "usr/sbin/poweroff": "../bin/busybox",
    "usr/sbin/reboot": "../bin/busybox",
    "usr/sbin/halt": "../bin/busybox",
    "usr/bin/nc": "busybox",
    "usr/bin/vi": "busybox",
    "usr/bin/less": "busybox",
    "usr/bin/awk": "mawk",
    "etc/mtab": "../proc/self/mounts",
}
FOLDERS = ("dev", "proc", "sys", "run", "tmp", "root", "mnt", "var/tmp", "var/log", "etc/network")


def epoch():
    """The time that every file of an image carries, in seconds since 1970."""
    value = os.environ.get("SOURCE_DATE_EPOCH", "1767225600")      # 2026-01-01
    if not value.isdigit():
        raise PartsError(f"SOURCE_DATE_EPOCH={value} is not a number of seconds")
    return int(value)


def read_list(path):
    """Lines of a list file as words, without comments."""
    with open(path, encoding="utf-8") as src:
        return [w for w in (line.split("#", 1)[0].split() for line in src) if w]


def wanted():
    """Package names of guest/packages."""
    return [words[0] for words in read_list(os.path.join(GUEST, "packages"))]


def pins():
    """{package: version} of guest/packages.lock."""
    return {name: version for name, version in read_list(LOCK)} if os.path.exists(LOCK) else {}


def tree_digest(top):
    """sha256 over names, modes and bytes of a folder of ours."""
    digest = hashlib.sha256()
    for folder, names, files in os.walk(top):
        names.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            mode = os.stat(path).st_mode & 0o100
            digest.update(f"{os.path.relpath(path, top)} {mode} {file_digest(path)}\n".encode())
    return digest.hexdigest()


def key():
    """Names the root that this tree would build: changes with whatever goes in."""
    text = f"{FORMAT} {epoch()} {wanted()} {sorted(pins().items())} {tree_digest(OVERLAY)} "
    text += file_digest(os.path.abspath(__file__))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find(cache):
    """The description of the root when the one here is the one that this tree builds."""
    part = cache.read("root", key())
    if part:
        part["file"] = cache.path("root", key(), "root.squashfs")
        part["busybox"] = cache.path("root", key(), "busybox")
    return part


def squash(source, dest, what):
    """A squashfs of a folder: root owns all, times are fixed, nothing is compressed.

    Under TCG the guest's CPU is the bottleneck; reading plain blocks costs it least.
    """
    argv = [need("mksquashfs"), source, dest, "-noappend", "-no-progress", "-quiet", "-all-root",
            "-no-xattrs", "-no-exports", "-mkfs-time", str(epoch()), "-all-time", str(epoch()),
            "-noI", "-noD", "-noF", "-noX"]
    env = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
    run(argv, f"making {what}", env=env)


def get(cache):
    """The description of the root; builds it when the tree's one is not here."""
    part = find(cache)
    if part:
        return part
    cache.lock()
    part = find(cache)
    if part:
        return part
    need("mksquashfs")
    archive = Archive(cache, pins())
    debs, paths = archive.fetch(lambda _a: wanted(), SUITE, "the guest's packages", depends=True)
    moved = [f"{d.package} {d.version}" for d in debs if pins().get(d.package) != d.version]
    if moved:
        say("not as pinned in guest/packages.lock (the archive has moved on): " + ", ".join(moved))
    cache.need_space(12 * sum(d.size for d in debs), "the guest root")
    with cache.staging() as tmp:
        root = os.path.join(tmp, "tree")
        os.mkdir(root)
        # base-files brings the links /bin, /lib and so on that the others unpack through.
        unpack(sorted(paths, key=lambda p: not os.path.basename(p).startswith("base-files_")),
               root, "the guest root")
        _finish(root)
        shutil.copyfile(os.path.join(root, "usr/bin/busybox"), os.path.join(tmp, "busybox"))
        image = os.path.join(tmp, "root.squashfs")
        squash(root, image, "the guest root")
        remove_tree(root)
        cache.install(tmp, {"sha256": file_digest(image), "pinned": not moved,
                            "packages": {d.package: d.version for d in debs}}, "root", key())
    for name in os.listdir(cache.path("root")):
        if name != key():
            remove_tree(cache.path("root", name))
    part = find(cache)
    say(f"the guest root is in {part['file']}")
    return part


def _finish(root):
    """Turn unpacked packages into a root that boots."""
    for name in DROP:
        path = os.path.join(root, name)
        if os.path.isdir(path) and not os.path.islink(path):
            remove_tree(path)
        elif os.path.lexists(path):
            os.unlink(path)
    for name in FOLDERS:
        os.makedirs(os.path.join(root, name), exist_ok=True)
    for name, target in LINKS.items():
        path = os.path.join(root, name)
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(target, path)
    for folder, _names, files in os.walk(OVERLAY):
        inside = os.path.join(root, os.path.relpath(folder, OVERLAY))
        os.makedirs(inside, exist_ok=True)
        for name in files:
            dest = os.path.join(inside, name)
            if os.path.lexists(dest):
                os.unlink(dest)
            shutil.copyfile(os.path.join(folder, name), dest)
            executable = os.stat(os.path.join(folder, name)).st_mode & 0o100
            os.chmod(dest, 0o755 if executable else 0o644)
    # Without set-user-id bits a build by a user and one by root give the same modes; the
    # guest's only user is root.
    for folder, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                mode = os.stat(path).st_mode & 0o777
                os.chmod(path, mode | (0o700 if os.path.isdir(path) else 0o600))
    os.chmod(os.path.join(root, "tmp"), 0o1777)
    _compile_python(root)


def _compile_python(root):
    """Byte-code for the standard library, by the guest's own interpreter: importing sources
    takes the emulated CPU many times longer. Names in the guest and hashes go into the files, no
    times; what this run itself imports must not write its own files, with names of this host."""
    lib = os.path.join(root, "usr/lib/x86_64-linux-gnu")
    env = {"PYTHONHOME": os.path.join(root, "usr"), "PATH": "/usr/bin:/bin",
           "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
    run([os.path.join(root, "usr/lib64/ld-linux-x86-64.so.2"), "--inhibit-cache",
         "--library-path", lib, os.path.join(root, "usr/bin/python3.13"), "-S", "-m", "compileall",
         "-q", "-j", "1", "-s", root, "-p", "/", "--invalidation-mode", "unchecked-hash",
         os.path.join(root, PYTHON)], "compiling the guest's Python library", env=env)


def relock(cache):
    """Write guest/packages.lock from what the archive has now; returns its path."""
    cache.lock()
    archive = Archive(cache)
    archive.update()
    debs, _paths = archive.fetch(lambda _a: wanted(), SUITE, "the guest's packages", depends=True)
    with open(LOCK + ".new", "w", encoding="utf-8") as out:
        out.write("# Versions of the guest's packages and of all they depend on; written by\n"
                  "# scripts/parts lock. When the archive has dropped one, its successor is used.\n")
        for deb in debs:
            out.write(f"{deb.package} {deb.version}\n")
    os.rename(LOCK + ".new", LOCK)
    return LOCK
