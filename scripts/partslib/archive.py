# SPDX-License-Identifier: BSD-2-Clause
"""A private apt: own lists, sources and state in the cache; the machine's apt is only read.

The archive's address, proxies, credentials and every other Acquire option come from the
machine's configuration; hooks and pins of the machine do not. Signatures are always checked,
against the Debian archive keyring.
"""

import errno
import functools
import os
import re
import subprocess
import sys
import time
import urllib.parse

from . import sources
from .common import PartsError, mb, need, run, say

SUITES = ("bookworm", "trixie", "trixie-backports")
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.pgp",
            "/usr/share/keyrings/debian-archive-keyring.gpg")
LISTS_FRESH = 6 * 3600      # seconds; younger lists are not fetched again

# Groups of Acquire options that are about what to fetch, not how: ours differ.
NOT_CARRIED = ("Acquire::IndexTargets", "Acquire::Languages", "Acquire::Changelogs",
               "Acquire::cdrom", "Acquire::AllowInsecureRepositories",
               "Acquire::AllowWeakRepositories", "Acquire::AllowDowngradeToInsecureRepositories")


def carried_options(dump):
    """The lines of `apt-config dump` that our own configuration takes over."""
    keep = []
    for line in dump.splitlines():
        name = line.split(" ", 1)[0]
        if name.startswith("Acquire::") and not any(
                name == n or name.startswith(n + "::") for n in NOT_CARRIED):
            keep.append(line)
    return keep


class Deb:
    """One package file that the archive offers."""

    def __init__(self, uri, name, size):
        self.uri = uri
        self.file = name            # as apt-get download names it
        self.size = size            # bytes
        package, version, _arch = name[:-len(".deb")].rsplit("_", 2)
        self.package = package
        self.version = urllib.parse.unquote(version)


class Archive:
    """The private apt. Callers hold the cache's lock."""

    def __init__(self, cache, pins=None):
        """pins: {package: version} preferred while the archive still has them."""
        self.cache = cache
        self.top = cache.make("apt")
        self.debs = cache.make("apt", "debs")
        self.updated = False
        self._configure(pins or {})

    def _configure(self, pins):
        for name in ("etc/empty", "state/lists/partial", "cache/archives/partial", "log"):
            os.makedirs(os.path.join(self.top, name), exist_ok=True)
        open(os.path.join(self.top, "status"), "w", encoding="utf-8").close()
        keyring = next((k for k in KEYRINGS if os.path.exists(k)), None)
        if keyring is None:
            raise PartsError("the Debian archive keyring is not installed",
                             "install the package debian-archive-keyring")
        uri, signed_by = sources.main_archive()
        keys = [keyring]
        # A site's own mirror may sign with a key of its own: the machine trusts it already.
        keys += [k for k in re.split(r"[\s,]+", signed_by)
                 if os.path.isabs(k) and os.path.exists(k)
                 and os.path.realpath(k) != os.path.realpath(keyring)]
        text = "".join(f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\n"
                       f"Architectures: amd64\nSigned-By: {' '.join(keys)}\n\n"
                       for suite in SUITES)
        changed = self._write("etc/hvlab.sources", text)
        self._write("etc/preferences", "".join(
            f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n\n"
            for name, version in sorted(pins.items())))
        dump = run([need("apt-config"), "dump"], "reading the apt configuration")
        found = re.findall(r"(\w+)='([^']*)'", run(
            [need("apt-config"), "shell", "netrc", "Dir::Etc::netrc/f",
             "netrcparts", "Dir::Etc::netrcparts/d"], "reading the apt configuration"))
        lines = carried_options(dump)
        settings = {
            "Dir": "/",
            "Dir::State": f"{self.top}/state", "Dir::State::lists": f"{self.top}/state/lists",
            "Dir::State::status": f"{self.top}/status",
            "Dir::Cache": f"{self.top}/cache", "Dir::Log": f"{self.top}/log",
            "Dir::Etc::parts": f"{self.top}/etc/empty", "Dir::Etc::main": "/dev/null",
            "Dir::Etc::sourcelist": f"{self.top}/etc/hvlab.sources",
            "Dir::Etc::sourceparts": f"{self.top}/etc/empty",
            "Dir::Etc::preferences": f"{self.top}/etc/preferences",
            "Dir::Etc::preferencesparts": f"{self.top}/etc/empty",
            "Dir::Etc::trusted": "/dev/null", "Dir::Etc::trustedparts": f"{self.top}/etc/empty",
            "APT::Architecture": "amd64",
            "APT::Install-Recommends": "false", "APT::Install-Suggests": "false",
            # The cache is the user's own folder: apt's download user cannot enter it.
            "APT::Sandbox::User": "root",
            "APT::Update::Error-Mode": "any",
            "APT::Get::Assume-Yes": "true",
            "Acquire::Languages": "none", "Acquire::PDiffs": "false",
            "Acquire::AllowInsecureRepositories": "false",
            "Acquire::AllowWeakRepositories": "false",
            "Acquire::AllowDowngradeToInsecureRepositories": "false",
            "Acquire::Retries": "2",
        }
        settings.update({f"Dir::Etc::{name}": path for name, path in found
                         if os.access(path, os.R_OK)})
        lines += [f'{name} "{value}";' for name, value in settings.items()]
        lines += ['APT::Architectures { "amd64"; };']
        self._write("etc/apt.conf", "\n".join(lines) + "\n")
        self.env = dict(os.environ, APT_CONFIG=os.path.join(self.top, "etc/apt.conf"),
                        LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive")
        if changed:
            self._forget_lists()

    def _write(self, name, text):
        path = os.path.join(self.top, name)
        try:
            with open(path, encoding="utf-8") as src:
                if src.read() == text:
                    return False
        except OSError:
            pass
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return True

    @property
    def _stamp(self):
        return os.path.join(self.top, "state", "updated")

    def _forget_lists(self):
        if os.path.exists(self._stamp):
            os.unlink(self._stamp)

    def _age(self):
        """Seconds since the lists were fetched; None if they never were."""
        try:
            return max(0, time.time() - os.stat(self._stamp).st_mtime)
        except OSError:
            return None

    def update(self):
        """Fetch the package lists, once per run."""
        if self.updated:
            return
        self.cache.need_space(150_000_000, "the archive's package lists")
        say("fetching package lists: " + ", ".join(SUITES))
        self._forget_lists()
        self._apt(["update"], "fetching the package lists")
        with open(self._stamp, "w", encoding="utf-8"):
            pass
        self.updated = True
        self.names.cache_clear()

    def _apt(self, argv, what, cwd=None):
        """Run apt-get; what it shows goes to a terminal's stderr, else is kept for an error."""
        argv = [need("apt-get"), *argv]
        tty = sys.stderr.isatty()
        done = subprocess.run(argv if tty else [*argv, "-q"], stdin=subprocess.DEVNULL,
                              stdout=sys.stderr if tty else subprocess.PIPE,
                              stderr=subprocess.STDOUT if not tty else subprocess.PIPE,
                              env=self.env, cwd=cwd, text=True, errors="replace", check=False)
        text = ((done.stdout or "") + (done.stderr or "")).strip()
        if done.returncode == 0:
            return
        if re.search(r"No space left on device|not have enough (free )?space", text):
            raise OSError(errno.ENOSPC, what)
        tail = "\n".join(l for l in text.splitlines() if re.match(r"\s*[EW]:", l)) or text
        remedy = "look at apt's message above"
        if "NO_PUBKEY" in text or "not signed" in text or "Missing key" in text:
            remedy = ("bring the keyring up to date: "
                      "apt-get update && apt-get install debian-archive-keyring")
        elif re.search(r"Could not (resolve|connect)|Temporary failure|Unable to connect|"
                       r"Failed to fetch|Network is unreachable|timed out", text):
            remedy = ("check the network and the proxy settings of apt (does apt-get update "
                      "work on this machine?), then run the same command again; "
                      "what is downloaded already is kept")
        raise PartsError(f"{what} failed\n{tail}", remedy)

    @functools.lru_cache(maxsize=None)
    def names(self):
        """All package names of the lists."""
        return run([need("apt-cache"), "pkgnames"], "reading the package lists",
                   env=self.env).split()

    def _resolve(self, packages, suite, depends):
        argv = [need("apt-get"), "-qq", "--print-uris", "-t", suite]
        argv += ["install"] if depends else ["download"]
        out = run([*argv, *packages], f"choosing packages of {suite} ({' '.join(packages[:4])}…)",
                  env=self.env)
        found = re.findall(r"^'([^']+)' (\S+\.deb) (\d+)", out, re.M)
        return sorted((Deb(uri, name, int(size)) for uri, name, size in found),
                      key=lambda d: d.file)

    def ready(self):
        """Whether lists are here, however old."""
        return self._age() is not None

    def exists(self, package):
        """Whether the archive has some version of package, not only a mention of it."""
        return bool(run([need("apt-cache"), "madison", package], "reading the package lists",
                        env=self.env).strip())

    def fetch(self, choose, suite, what, depends):
        """Paths of the .deb files of the packages that choose(archive) names.

        Offline when lists and files are here; else the lists are brought up to date first.
        """
        fresh = self.ready() and self._age() < LISTS_FRESH
        if not self.ready():
            self.update()
        debs = self._resolve(choose(self), suite, depends)
        missing = self._missing(debs)
        if missing and not fresh and not self.updated:
            self.update()
            debs = self._resolve(choose(self), suite, depends)
            missing = self._missing(debs)
        if missing:
            size = sum(d.size for d in missing)
            self.cache.need_space(size + 4 * sum(d.size for d in debs), what)
            say(f"downloading {what}: {len(missing)} packages, {mb(size)} MB")
            self._download(missing, what)
        return debs, [os.path.join(self.debs, d.file) for d in debs]

    def _missing(self, debs):
        return [d for d in debs if not os.path.exists(os.path.join(self.debs, d.file))]

    def _download(self, debs, what):
        # apt writes to the final name while it fetches, and goes on with what it finds there;
        # when it reports success every file has the size and hash that the signed lists give.
        partial = self.cache.make("apt", "debs", "partial")
        self._apt(["download", *(f"{d.package}={d.version}" for d in debs)],
                  f"downloading {what}", cwd=partial)
        for deb in debs:
            try:
                os.rename(os.path.join(partial, deb.file), os.path.join(self.debs, deb.file))
            except FileNotFoundError as absent:
                raise PartsError(f"downloading {what}: {deb.file} did not arrive",
                                 "run the same command again") from absent


def unpack(debs, dest, what):
    """Unpack .deb files into dest, in the order given; needs no root."""
    say(f"unpacking {what}: {len(debs)} packages")
    for deb in debs:
        run([need("dpkg-deb"), "-x", deb, dest], f"unpacking {os.path.basename(deb)}")
