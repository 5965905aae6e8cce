# SPDX-License-Identifier: BSD-2-Clause
"""Stock Debian kernels of the cloud flavour: a vmlinuz and its modules, by series."""

import os
import re

from .archive import Archive, unpack
from .common import PartsError, remove_tree, say

# The kernels that the tests use, and the suite that carries each.
STOCK = {"6.1": "bookworm", "6.12": "trixie", "7.2": "trixie-backports"}


def check_name(series):
    """Refuse what cannot be a kernel series before anything is fetched."""
    if series not in STOCK:
        raise PartsError(f"no kernel is called {series!r}",
                         "the stock kernels are " + ", ".join(STOCK) + "; for a kernel of your "
                         "own use --bzimage FILE --modules DIR")


def version_key(version):
    """Sort key: numbers as numbers, so that 6.1.9 comes before 6.1.147."""
    return [(0, int(t), "") if t.isdigit() else (1, 0, t) for t in re.findall(r"\d+|\D+", version)]


def newest(series, archive):
    """Package names of the newest kernel of a series.

    Up to 7.1 one package holds kernel and modules; since then linux-binary and linux-modules.
    """
    found = {}
    for name in archive.names():
        match = re.match(rf"linux-(image|binary)-({re.escape(series)}[.-][\w.+-]*-cloud-amd64)$",
                         name)
        if match:
            found.setdefault(match[2], set()).add(match[1])
    for version in sorted(found, key=version_key, reverse=True):
        if "binary" in found[version]:
            packages = [f"linux-binary-{version}", f"linux-modules-{version}"]
        else:
            packages = [f"linux-image-{version}"]
        if all(archive.exists(p) for p in packages):
            return packages
    raise PartsError(f"the archive has no {series} kernel of the cloud flavour",
                     "run with --update to fetch its package lists again")


def find(cache, series):
    """The description of a kernel that is here already, or None."""
    check_name(series)
    part = cache.read("kernel", series)
    if part:
        part["dir"] = cache.path("kernel", series)
        part["vmlinuz"] = os.path.join(part["dir"], "vmlinuz")
        part["modules"] = os.path.join(part["dir"], "modules", "lib", "modules", part["version"])
    return part


def get(cache, series, update=False):
    """The description of a stock kernel; downloads it when it is not here."""
    part = find(cache, series)
    if part and not update:
        return part
    cache.lock()
    part = find(cache, series)
    if part and not update:
        return part
    archive = Archive(cache)
    if update:
        archive.update()
    debs, paths = archive.fetch(lambda a: newest(series, a), STOCK[series],
                                f"kernel {series}", depends=False)
    if part and part["packages"] == {d.package: d.version for d in debs}:
        return part
    cache.need_space(8 * sum(d.size for d in debs), f"kernel {series}")
    with cache.staging() as tmp:
        tree = os.path.join(tmp, "tree")
        os.mkdir(tree)
        unpack(paths, tree, f"kernel {series}")
        version = _lay_out(tree, tmp, series)
        cache.install(tmp, {"name": series, "version": version,
                            "packages": {d.package: d.version for d in debs}}, "kernel", series)
    say(f"kernel {version} is in {cache.path('kernel', series)}")
    return find(cache, series)


def _lay_out(tree, dest, series):
    """Move vmlinuz and lib/modules/VERSION of an unpacked package to their places."""
    for modules in ("usr/lib/modules", "lib/modules"):
        top = os.path.join(tree, modules)
        if os.path.isdir(top):
            break
    else:
        raise PartsError(f"the packages of kernel {series} hold no lib/modules")
    (version,) = os.listdir(top)
    source = os.path.join(top, version)
    for image in (os.path.join(source, "vmlinuz"), os.path.join(tree, "boot", f"vmlinuz-{version}")):
        if os.path.exists(image):
            os.rename(image, os.path.join(dest, "vmlinuz"))
            break
    else:
        raise PartsError(f"the packages of kernel {series} hold no vmlinuz")
    os.makedirs(os.path.join(dest, "modules", "lib", "modules"))
    os.rename(source, os.path.join(dest, "modules", "lib", "modules", version))
    remove_tree(tree)
    return version
