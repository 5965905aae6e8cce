# SPDX-License-Identifier: BSD-2-Clause
"""The cache directory: where it is, its lock, its staging folders; errors, messages, tools."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

# A tool that we call, and the Debian package that brings it.
TOOLS = {
    "apt-get": "apt",
    "apt-config": "apt",
    "apt-cache": "apt",
    "dpkg-deb": "dpkg",
    "depmod": "kmod",
    "mksquashfs": "squashfs-tools",
    "xz": "xz-utils",
    "zstd": "zstd",
}

STAGING_PREFIX = "tmp."
REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class PartsError(Exception):
    """A failure that the user can act on: what failed, and the remedy."""

    def __init__(self, what, remedy=None):
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def say(text):
    """One line of progress, on stderr: stdout carries results only."""
    print(f"parts: {text}", file=sys.stderr, flush=True)


def need(tool):
    """Path of a tool; sbin folders count even where the user's PATH leaves them out."""
    path = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        package = TOOLS[tool]
        raise PartsError(f"{tool} is not installed",
                         f"install the package {package} (apt-get install {package}), "
                         "or run scripts/setup")
    return path


def mb(size):
    """Bytes as whole megabytes (10^6), at least 1."""
    return max(1, round(size / 1e6))


def run(argv, what, env=None, cwd=None):
    """Run a tool, return its stdout; on failure raise with the last lines of its stderr."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=env, cwd=cwd, text=True,
                          errors="replace", check=False)
    if done.returncode:
        tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-8:])
        if "No space left on device" in tail:
            raise OSError(errno.ENOSPC, what)
        raise PartsError(f"{what}: {os.path.basename(argv[0])} failed "
                         f"with status {done.returncode}\n{tail}")
    return done.stdout


def file_digest(path):
    """sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as src:
        while chunk := src.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_json(path, value):
    """Write value so that equal values give equal bytes."""
    with open(path, "w", encoding="utf-8") as out:
        json.dump(value, out, indent="\t", sort_keys=True)
        out.write("\n")


class Cache:
    """The user's cache folder: parts in place are complete, all else is staging.

    A part is a folder that holds part.json. It is made in a staging folder beside it and
    renamed at the end, so a reader needs no lock; writers hold the lock for their whole run.
    """

    def __init__(self):
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        if not os.path.isabs(base):
            raise PartsError(f"the cache folder {base} is not an absolute path",
                             "set HOME or XDG_CACHE_HOME to an absolute path")
        self.top = os.path.join(base, "hvlab")
        self._lock = None

    def path(self, *names):
        """A path inside the cache."""
        return os.path.join(self.top, *names)

    def make(self, *names):
        """The same, made as a folder."""
        path = self.path(*names)
        os.makedirs(path, exist_ok=True)
        return path

    def read(self, *names):
        """The description of a complete part, or None."""
        try:
            with open(self.path(*names, "part.json"), encoding="utf-8") as src:
                return json.load(src)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as bad:
            raise PartsError(f"{self.path(*names, 'part.json')} is damaged: {bad}",
                             "remove that folder, or run scripts/parts clean") from bad

    def lock(self):
        """Become the only writer; waits for another run. Idempotent in one process."""
        if self._lock is not None:
            return
        os.makedirs(self.top, mode=0o700, exist_ok=True)
        handle = os.open(self.path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("waiting for another run of scripts/parts")
                fcntl.flock(handle, fcntl.LOCK_EX)
        except BaseException:
            os.close(handle)
            raise
        self._lock = handle
        # Only the holder of the lock has staging folders: these are left from a killed run.
        for name in os.listdir(self.top):
            if name.startswith(STAGING_PREFIX):
                remove_tree(self.path(name))

    @contextlib.contextmanager
    def staging(self):
        """A folder to make a part in; gone at the end unless install() renamed it away."""
        self.lock()
        path = tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=self.top)
        os.chmod(path, 0o755)
        try:
            yield path
        finally:
            remove_tree(path)

    def install(self, staged, part, *names):
        """Describe a staged folder and rename it into place; an old one is replaced."""
        write_json(os.path.join(staged, "part.json"), part)
        dest = self.path(*names)
        os.makedirs(os.path.dirname(dest), exist_ok=True)
        old = None
        if os.path.lexists(dest):
            old = tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=self.top)
            os.rename(dest, os.path.join(old, "old"))
        os.rename(staged, dest)
        if old:
            remove_tree(old)
        return part

    def need_space(self, size, what):
        """Refuse to start what cannot fit; size in bytes."""
        os.makedirs(self.top, mode=0o700, exist_ok=True)
        free = shutil.disk_usage(self.top).free
        if free < size:
            raise PartsError(f"the disk is too full for {what}: about {mb(size)} MB are needed, "
                             f"{mb(free)} MB are free in {self.top}",
                             f"free {mb(size - free)} MB, or set XDG_CACHE_HOME to another disk")


def remove_tree(path):
    """Remove a tree though folders in it may be read-only; absent is fine."""
    def retry(func, name, _info):
        if not os.path.lexists(name):
            return
        os.chmod(os.path.dirname(name), 0o700)
        if os.path.isdir(name) and not os.path.islink(name):
            os.chmod(name, 0o700)
        func(name)
    if os.path.lexists(path):
        shutil.rmtree(path, onerror=retry)
