# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of the command line share: running it, a fake daemon, waiting."""

import os
import shutil
import subprocess
import tempfile
import time
import unittest

from fake import Fake

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
HVLAB = os.environ["HVLAB_BIN"]
WAIT = 60  # seconds for anything that must happen; sanitizers and a busy machine are slow


def wait_for(what, condition):
    """Until condition() is true; its value."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {WAIT} s for {what}")


def read_exactly(stream, size):
    """So many bytes, without a look at what is behind them."""
    data = b""
    while len(data) < size:
        chunk = os.read(stream.fileno(), size - len(data))
        if not chunk:
            break
        data += chunk
    return data


def alive(pid):
    """Is there such a process, other than a zombie?"""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as src:
            return src.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class CliTest(unittest.TestCase):
    """A runtime directory of its own, perhaps with a fake daemon in it."""

    def setUp(self):
        # Short: a Unix socket's path has 107 bytes.
        self.dir = tempfile.mkdtemp(prefix="hvl", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.dir)
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("HVLAB_", "XDG_", "FAKE_"))}
        self.env["HVLAB_RUNTIME_DIR"] = self.dir + "/run"

    def hvlab(self, *args, stdin=None, env=None):
        """Run to the end; stdout and stderr as text."""
        done = subprocess.run([HVLAB, *args], capture_output=True, check=False, timeout=WAIT,
                              env=dict(self.env, **(env or {})),
                              input=stdin if stdin is not None else b"")
        done.out = done.stdout.decode(errors="replace")
        done.err = done.stderr.decode(errors="replace")
        return done

    def start(self, *args, env=None, **more):
        """Start it; it is killed at the end of the test if need be."""
        more.setdefault("stdout", subprocess.PIPE)
        child = subprocess.Popen([HVLAB, *args], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                 env=dict(self.env, **(env or {})), **more)
        self.addCleanup(self.stop, child)
        return child

    @staticmethod
    def stop(child):
        if child.poll() is None:
            child.kill()
        child.wait()
        for stream in (child.stdout, child.stderr):
            if stream:
                stream.close()

    def fake(self, handlers=None, **more):
        daemon = Fake(self.dir + "/run", handlers, **more)
        self.addCleanup(daemon.close)
        return daemon

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, mode)
        return path

    def check(self, done, code, out=None, err=None):
        """Exit status, and words that must be there."""
        told = f"\nstatus {done.returncode}\nstdout: {done.out}\nstderr: {done.err}"
        self.assertEqual(done.returncode, code, told)
        if out is not None:
            self.assertIn(out, done.out, told)
        if err is not None:
            self.assertIn(err, done.err, told)


def commands():
    """Names in the overview."""
    done = subprocess.run([HVLAB, "help"], capture_output=True, text=True, check=True)
    text = done.stdout.split("Commands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in text.splitlines()]
