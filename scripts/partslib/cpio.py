# SPDX-License-Identifier: BSD-2-Clause
"""Writes initramfs archives (cpio "newc") of which equal content gives equal bytes."""

import os
import stat


class Writer:
    """Entries are written in the order of the calls; owner is root, times are fixed."""

    def __init__(self, path, mtime):
        self.out = open(path, "wb")     # closed by close()
        self.mtime = mtime              # seconds since 1970
        self.ino = 0

    def _entry(self, name, mode, data=b"", rdev=(0, 0), links=1):
        self.ino += 1
        raw = name.encode() + b"\0"
        fields = (self.ino, mode, 0, 0, links, self.mtime, len(data), 0, 0, *rdev, len(raw), 0)
        self.out.write(b"070701" + b"".join(b"%08X" % f for f in fields) + raw)
        self._pad()
        self.out.write(data)
        self._pad()

    def _pad(self):
        self.out.write(b"\0" * (-self.out.tell() % 4))

    def folder(self, name):
        self._entry(name, stat.S_IFDIR | 0o755, links=2)

    def file(self, name, data, mode=0o644):
        self._entry(name, stat.S_IFREG | mode, data)

    def char_device(self, name, major, minor):
        self._entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def copy(self, name, path):
        """A host file, with its execute bit."""
        with open(path, "rb") as src:
            mode = 0o755 if os.fstat(src.fileno()).st_mode & 0o100 else 0o644
            self.file(name, src.read(), mode)

    def close(self):
        """Write the trailer."""
        self.ino = -1
        self._entry("TRAILER!!!", 0)
        self.out.close()
