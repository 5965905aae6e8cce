#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""hvlab compare between two guests: every figure is there, proven by the counters of both sides,
and what it did to the VFs is undone. How large a figure is does not matter here.
"""

import story as stories
from lab import require
from paths import BOTH, carried, vf, wait_pair

MEASURES = {"ping RTT", "TCP 1 stream A>B", "TCP 1 stream B>A", "TCP 4 streams A>B",
            "TCP 4 streams B>A", "UDP 1400 B A>B", "UDP 1400 B B>A", "UDP 64 B A>B",
            "UDP 64 B B>A"}


def both_paths(lab, name):
    wait_pair(lab.vm(name))


def compare(lab):
    """One round of both paths, as JSON."""
    before = {vm.name: carried(vm) for vm in lab.vms()}
    found = lab.cli_json("compare", "a", "b", "--rounds", "1", "--seconds", "1", timeout=800)
    require(found["valid"] and not found["invalid"], f"invalid: {found['invalid']}")
    require({row["measure"] for row in found["rows"]} == MEASURES,
            f"measured {[row['measure'] for row in found['rows']]}")
    for row in found["rows"]:
        for path in ("vf", "synthetic"):
            judge(row, path)
    for vm in lab.vms():
        for path, (tx, rx) in carried(vm).items():
            was = before[vm.name][path]
            require(tx > was[0] and rx > was[1], f"{vm.name}: nothing went over {path}")


def judge(row, path):
    """A figure, its range, its witnesses and the CPU time of its threads."""
    what = f"{row['measure']}, {path}"
    got = row[path]
    require(0 < got["min"] <= got["median"] <= got["max"], f"{what}: {got}")
    for figure in row[f"{path}_figures"]:
        driver = {"vf": "mana", "synthetic": "virtio_net"}[path]
        suffix = {"vf": "vf", "synthetic": "syn"}[path]
        for vm in ("a", "b"):
            require(figure["host"][f"{vm}/eth0/{suffix}"] > 0, f"{what}: the switch saw nothing")
            require(figure["guest"][vm][driver] > 0, f"{what}: guest {vm} saw nothing")
    threads = got["cpu"]["threads"]
    for vm in ("a", "b"):
        require(any(name.startswith(f"{vm}/CPU ") for name in threads),
                f"{what}: no vCPU of {vm} in {sorted(threads)}")
    require(any(name.startswith("hvlabd/") for name in threads),
            f"{what}: no thread of hvlabd in {sorted(threads)}")
    # What the threads used is what their processes used, but for those that have ended since.
    for process, prefixes in (("daemon", ("hvlabd/",)), ("qemu", ("a/", "b/"))):
        own = sum(cores for name, cores in threads.items() if name.startswith(prefixes))
        require(own <= got["cpu"][process] + 0.05, f"{what}: {process} {got['cpu']}")


def undone(lab):
    """The VFs are back, and no server is left."""
    for vm in lab.vms():
        wait_pair(vm)
        require(vf(vm)["state"] == "driven", f"{vm.name}: {vf(vm)}")
        require(vm.run("pidof iperf3", check=False).status, f"{vm.name}: iperf3 still runs")


def main():
    story = stories.Story("compare", __doc__)
    with story.lab({"a": BOTH, "b": BOTH}) as lab:
        for vm in ("a", "b"):
            story.check(f"{vm} has both paths", both_paths, lab, vm)
        story.check("one round on both paths, every figure proven", compare, lab)
        story.check("the VFs are back", undone, lab)
    return story.end()


if __name__ == "__main__":
    stories.run(main)
