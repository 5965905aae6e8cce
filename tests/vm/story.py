# SPDX-License-Identifier: BSD-2-Clause
"""Runs the checks of a story one after the other, prints a line for each, keeps what explains a
failure, and ends with a status that tells.

A story is a program: it makes a Story, opens labs with Story.lab() and runs checks in them with
Story.check(). A check that fails does not end the story; a lab that is broken ends the checks of
that lab, and each one not run counts as failed.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback

import lab as labs

KERNELS = ("6.1", "6.12", "7.2")


class Story:
    """A run of one story on one kernel."""

    def __init__(self, name, doc, unsupported=None):
        """unsupported: {kernel: {feature: why the kernel's driver lacks it}}"""
        top = argparse.ArgumentParser(description=doc,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
        top.add_argument("--kernel", required=True, choices=KERNELS)
        top.add_argument("--build", default="build/dev", help="build folder (%(default)s)")
        top.add_argument("--artifacts", help="where a failure's files go "
                         "(BUILD/Testing/artifacts/STORY.KERNEL)")
        top.add_argument("--only", metavar="REGEX", help="run the checks whose name matches")
        top.add_argument("--whole", action="store_true", help="all checks; on other kernels than "
                         "6.12 some stories leave out what is no matter of the guest's kernel")
        top.add_argument("--keep", action="store_true",
                         help="leave the lab up after the last check, or after a failed one, "
                              "until Ctrl-C")
        self.args = top.parse_args()
        self.name, self.kernel = name, self.args.kernel
        self.whole = self.args.whole or self.kernel == "6.12"
        self.lacking = (unsupported or {}).get(self.kernel, {})
        self.artifacts = os.path.abspath(self.args.artifacts or os.path.join(
            self.args.build, "Testing", "artifacts", f"{name}.{self.kernel}"))
        self.passed = self.failed = 0
        self.lab_now = self.broken = None
        self.allowed = None
        shutil.rmtree(self.artifacts, ignore_errors=True)
        for sig in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, self._signalled)

    @staticmethod
    def _signalled(number, _frame):
        print(f"ended by {signal.Signals(number).name}", flush=True)
        sys.exit(128 + number)

    def why_unsupported(self, feature):
        """Why this kernel has no such feature, or None when it has it."""
        return self.lacking.get(feature)

    @contextlib.contextmanager
    def lab(self, vms, mtu=1500, allowed=None, before=(), drivers=True, **options):
        """A lab that is up. Its end is checked too: no kernel complaint, nothing left behind.

        allowed: a pattern of complaints that the story provokes
        before: (name, func) of checks that have a daemon but no lab yet
        drivers: whether every NIC has its driver in the end
        options: further ones of lab.lab_text()
        """
        self.broken = None
        self.allowed = re.compile(allowed) if allowed else None
        text = labs.lab_text(self.kernel, vms, mtu, **options)
        with labs.Lab(self.args.build, text, self.args.keep) as lab:
            self.lab_now = lab
            for name, func in before:
                self.check(name, func, lab)
            self.check("the lab comes up", lab.up, drivers, always=True)
            if not lab.up_done:
                self.broken = "the lab did not come up"
            try:
                yield lab
            finally:
                if sys.exc_info()[0] is None:
                    self.check("no kernel warning, no sanitizer report", self._quiet, lab,
                               always=True)
                    if not self.args.keep:
                        self.check("down leaves nothing behind", self._down, lab, always=True)
                self.lab_now = None

    def quiet_until_now(self, lab):
        """A check: no complaint at all, also none of those that the story provokes later."""
        found = lab.complaints()
        labs.require(not found, "\n    ".join(found[:12]))

    def _quiet(self, lab):
        found = lab.complaints(self.allowed)
        labs.require(not found, "\n    ".join(found[:12]))

    def _down(self, lab):
        if lab.up_done:
            lab.cli("down")
        labs.wait_for(lambda: not lab.leftovers(), 10, f"nothing is left; {lab.leftovers()}")
        status = lab.stop_daemon()
        labs.require(status == 0, f"hvlabd ended with status {status}: "
                                  + lab.daemon_errors()[-1500:])
        labs.require(not lab.leftovers(), f"left behind: {lab.leftovers()}")
        reports = lab.sanitizer_reports()
        labs.require(not reports, "\n    ".join(reports[:12]))

    def check(self, name, func, *args, always=False, capture=None):
        """Run one check; True when it holds. capture: the vNIC whose frames a failure keeps."""
        if self.args.only and not always and not re.search(self.args.only, name):
            return True
        started = time.monotonic()
        if self.broken:
            self._report(name, started, f"not run: {self.broken}")
            return False
        lab = self.lab_now
        tap = None
        if lab:
            lab.note(f"--- {name}")
        try:
            if capture:
                path = tempfile.mktemp(dir=lab.dir, suffix=".pcapng")
                tap = labs.Capture(lab, capture, path)
            func(*args)
            reason = None
        except labs.CheckFailed as error:
            reason = str(error)
        except (labs.LabDead, labs.Closed) as error:
            self.broken = reason = str(error)
        except (labs.Refused, TimeoutError) as error:
            reason = str(error)
        except Exception:                           # a bug of the check: say where
            reason = traceback.format_exc()
        finally:
            if tap:
                tap.stop()
        if reason and lab:
            folder = os.path.join(self.artifacts, re.sub(r"[^A-Za-z0-9.]+", "-", name))
            lab.keep_artifacts(folder)
            if tap:
                shutil.copyfile(tap.path, os.path.join(folder, "capture.pcapng"))
            reason += f"\n    kept: {folder}"
            if not self.broken and lab.up_done and lab.control:
                self.broken = lab.healthy()
        if tap:
            os.unlink(tap.path)
        self._report(name, started, reason)
        return reason is None

    def _report(self, name, started, reason):
        seconds = time.monotonic() - started
        if reason is None:
            self.passed += 1
            print(f"ok {name} ({seconds:.1f})", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {name}: {reason}", flush=True)

    def end(self):
        """The exit status."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def run(main):
    """Call a story's main and exit with its status."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
