# SPDX-License-Identifier: BSD-2-Clause
"""Reads the machine's own apt sources and picks the main archive's address from them."""

import glob
import os
import re

from .common import PartsError, need, run

# Suites of the main archive. The machine's own release is preferred when it names it.
MAIN_SUITES = ("bookworm", "trixie", "forky", "sid", "stable", "oldstable", "testing", "unstable")


def parse_one_line(text):
    """Entries of a sources.list: `deb [option=value ...] URI suite component...`."""
    entries = []
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        match = re.match(r"deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*(.*)$", line)
        if not match:
            continue
        options = dict(o.split("=", 1) for o in (match[1] or "").split() if "=" in o)
        entries.append({"uris": [match[2]], "suites": [match[3]],
                        "components": match[4].split(),
                        "signed-by": options.get("signed-by", "")})
    return entries


def parse_deb822(text):
    """Entries of a .sources file: paragraphs of `Field: value`, folded lines, # comments."""
    entries = []
    text = "\n".join(l for l in text.splitlines() if not l.startswith("#"))
    for paragraph in re.split(r"\n[ \t]*\n", text):
        fields, last = {}, None
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t") and last:
                fields[last] += "\n" + line.strip()
            elif ":" in line:
                last, value = line.split(":", 1)
                last = last.strip().lower()
                fields[last] = value.strip()
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() in ("no", "false", "off", "0", "without", "disable"):
            continue
        entries.append({"uris": fields.get("uris", "").split(),
                        "suites": fields.get("suites", "").split(),
                        "components": fields.get("components", "").split(),
                        "signed-by": fields.get("signed-by", "")})
    return entries


def system_entries():
    """All entries that the machine's apt uses, in apt's order."""
    out = run([need("apt-config"), "shell", "LIST", "Dir::Etc::sourcelist/f",
               "PARTS", "Dir::Etc::sourceparts/d"], "reading the apt configuration")
    where = dict(re.findall(r"(\w+)='([^']*)'", out))
    paths = [where.get("LIST", "/etc/apt/sources.list")]
    parts = where.get("PARTS", "/etc/apt/sources.list.d/")
    paths += sorted(glob.glob(os.path.join(glob.escape(parts), "*.list")) +
                    glob.glob(os.path.join(glob.escape(parts), "*.sources")))
    entries = []
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as src:
                text = src.read()
        except OSError:
            continue
        entries += (parse_deb822 if path.endswith(".sources") else parse_one_line)(text)
    return entries


def pick_main(entries, codename):
    """(URI, Signed-By) of the Debian main archive among entries, or None.

    Security, updates and backports suites have a dash or a slash in their names; archives of
    other vendors use suites of their own. Media in a drive cannot serve another release.
    """
    best = None
    for entry in entries:
        if entry["components"] and "main" not in entry["components"]:
            continue
        for uri in entry["uris"]:
            if uri.startswith("cdrom:"):
                continue
            for suite in entry["suites"]:
                rank = 2 if suite == codename else 1 if suite in MAIN_SUITES else 0
                if rank and suite in MAIN_SUITES and (best is None or rank > best[0]):
                    best = (rank, uri, entry["signed-by"])
    return best[1:] if best else None


def codename():
    """VERSION_CODENAME of this machine, or an empty string."""
    try:
        with open("/etc/os-release", encoding="utf-8") as src:
            found = re.search(r'^VERSION_CODENAME="?([\w.-]+)', src.read(), re.M)
    except OSError:
        return ""
    return found[1] if found else ""


def main_archive():
    """(URI, Signed-By) of the archive to use; HVLAB_ARCHIVE overrides the URI."""
    override = os.environ.get("HVLAB_ARCHIVE")
    if override:
        return override, ""
    found = pick_main(system_entries(), codename())
    if found is None:
        raise PartsError("the apt configuration of this machine names no Debian archive "
                         "(an enabled `deb` entry for a Debian release with component main)",
                         "add one to /etc/apt/sources.list.d, or set HVLAB_ARCHIVE to its URI")
    return found
