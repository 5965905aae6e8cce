# SPDX-License-Identifier: BSD-2-Clause
"""Runs in a guest with an IOMMU: drives the copier of vfio/examples through vfio-pci.

That is the stock kernel's own MSI-X, reset and IOMMU code under a driver in user space. Every
page is mapped by itself, at scattered addresses, so the device meets many small maps. Prints one
JSON object.
"""

import ctypes
import fcntl
import glob
import json
import mmap
import os
import select
import struct
import subprocess
import sys

# _IO(';', 100 + n) of linux/vfio.h
SET_IOMMU, GROUP_SET_CONTAINER, IOMMU_MAP, IOMMU_UNMAP = 0x3b66, 0x3b68, 0x3b71, 0x3b72
GROUP_GET_DEVICE_FD, DEVICE_GET_REGION_INFO = 0x3b6a, 0x3b6c
DEVICE_SET_IRQS, DEVICE_RESET = 0x3b6e, 0x3b6f
TYPE1, MSIX, CONFIG = 1, 2, 7
EVENTFD_TRIGGER = 4 | 32
PAGE = 4096

def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def find():
    for path in glob.glob("/sys/bus/pci/devices/*"):
        with open(path + "/vendor") as v, open(path + "/device") as d:
            if (v.read().strip(), d.read().strip()) == ("0x1af4", "0x10f0"):
                return path
    sys.exit("no copier on the PCI bus")


class Pages:
    """Memory of which every page is mapped for the device by itself."""

    def __init__(self, container, count):
        self.map = mmap.mmap(-1, count * PAGE)
        at = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        for page in range(count):
            fcntl.ioctl(container, IOMMU_MAP,
                        struct.pack("<IIQQQ", 32, 3, at + page * PAGE, self.iova(page), PAGE))

    @staticmethod
    def iova(page):
        return 0x10000000 + page * 0x10000


def main():
    path = find()
    name = os.path.basename(path)
    subprocess.run(["modprobe", "vfio-pci"], check=True)
    if not os.path.exists(path + "/driver"):
        write(path + "/driver_override", "vfio-pci")
        write("/sys/bus/pci/drivers_probe", name)
    group = os.open("/dev/vfio/" + os.path.basename(os.readlink(path + "/iommu_group")),
                    os.O_RDWR)
    container = os.open("/dev/vfio/vfio", os.O_RDWR)
    fcntl.ioctl(group, GROUP_SET_CONTAINER, struct.pack("i", container))
    fcntl.ioctl(container, SET_IOMMU, TYPE1)
    device = fcntl.ioctl(group, GROUP_GET_DEVICE_FD, ctypes.create_string_buffer(name.encode()))

    def region(index):
        info = bytearray(struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0))
        fcntl.ioctl(device, DEVICE_GET_REGION_INFO, info)
        return struct.unpack("<IIIIQQ", info)[4:]

    bar_size, bar = region(0)
    _, config = region(CONFIG)

    def get(off, fmt="<I"):
        return struct.unpack(fmt, os.pread(device, struct.calcsize(fmt), bar + off))[0]

    def put(off, value, fmt="<I"):
        os.pwrite(device, struct.pack(fmt, value), bar + off)

    # Memory and bus mastering, as a driver's pci_set_master() does.
    command = struct.unpack("<H", os.pread(device, 2, config + 4))[0]
    os.pwrite(device, struct.pack("<H", command | 6), config + 4)
    events = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(4)]
    fcntl.ioctl(device, DEVICE_SET_IRQS,
                struct.pack("<IIIII4i", 36, EVENTFD_TRIGGER, MSIX, 0, 4, *events))
    pages = Pages(container, 64)
    jobs = 0
    for vector in range(4):
        source, target = 2 * vector, 2 * vector + 1
        data = bytes((i * 31 + vector) & 255 for i in range(PAGE))
        pages.map[source * PAGE:(source + 1) * PAGE] = data
        put(0x08, pages.iova(source), "<Q")
        put(0x10, pages.iova(target), "<Q")
        put(0x18, PAGE)
        put(0x1c, vector)
        put(0x80, 1)
        if not select.select([events[vector]], [], [], 10)[0]:
            sys.exit(f"vector {vector} never came; status {get(0x20):#x}")
        jobs += 1
        if os.eventfd_read(events[vector]) != 1 or get(0x20) != 2 or get(0x24) != jobs:
            sys.exit(f"vector {vector}: status {get(0x20):#x}, jobs {get(0x24)}")
        if pages.map[target * PAGE:(target + 1) * PAGE] != data:
            sys.exit(f"vector {vector}: the copy differs")
    # A page that is unmapped is out of the device's reach.
    fcntl.ioctl(container, IOMMU_UNMAP, struct.pack("<IIQQ", 24, 0, pages.iova(0), PAGE))
    put(0x08, pages.iova(0), "<Q")
    put(0x80, 1)
    if not select.select([events[3]], [], [], 10)[0] or get(0x20) != 0x8000000e:
        sys.exit(f"a copy from unmapped memory: status {get(0x20):#x}")
    identity = get(0)
    fcntl.ioctl(device, DEVICE_RESET)
    print(json.dumps({"id": identity, "bar": bar_size, "jobs": jobs, "after_reset": get(0x24)}))


main()
