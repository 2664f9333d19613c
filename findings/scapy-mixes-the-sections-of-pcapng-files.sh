#!/bin/sh
# scapy: a pcapng file is a row of sections, as of captures that were joined by "cat", and the number
# that a packet has of its interface is counted anew in each (pcapng, sections 3.1 and 4.2). scapy goes on
# counting: packets of a second section are taken for those of the first section's interfaces. Here a
# packet of 2023, on raw IP and in microseconds, becomes an Ethernet frame of January 1970.
# Besides, a snap length of 0 says that there is no limit (section 4.2), and scapy takes it for 0 bytes:
# packets in Simple Packet Blocks come out empty.
#
# Seen with scapy 2.8.0 and python-pcapng 2.1.1 on CPython 3.11; this prints what it sees, and fails
# where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check scapy==2.8.0 python-pcapng==2.1.1
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import logging
import platform
import struct
import sys

logging.disable(logging.CRITICAL)

from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket, SimplePacket
from scapy.utils import RawPcapNgReader

ETHERNET, RAW_IP = 1, 101
SECONDS = 1_700_000_000
IP = bytes.fromhex("4500001c00010000401100007f0000017f00000100010002 00080000")
FRAME = bytes.fromhex("ffffffffffff 000000000001 0800") + IP


def block(kind, body):
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def option(code, value):
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(link, snap, ticks, *packets):
    """A section header and one interface, whose ticks are powers of ten a second; then packets."""
    interface = struct.pack("<HHI", link, 0, snap) + option(9, bytes([ticks])) + option(0, b"")
    header = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    return block(0x0A0D0D0A, header) + block(1, interface) + b"".join(packets)


def enhanced(ticks, data):
    time = SECONDS * 10**ticks
    return block(6, struct.pack("<5I", 0, time >> 32, time & 0xFFFFFFFF, len(data), len(data)) + data)


def by_scapy(path):
    """Of each packet: its link type, its time in seconds if it has one, its length."""
    for data, meta in RawPcapNgReader(path):
        time = meta.tshigh and ((meta.tshigh << 32) + meta.tslow) // meta.tsresol
        yield meta.linktype, time, len(data)


def by_pcapng(path):
    with open(path, "rb") as file:
        for item in FileScanner(file):
            if isinstance(item, EnhancedPacket):
                yield item.interface.link_type, int(item.timestamp), len(item.packet_data)
            elif isinstance(item, SimplePacket):
                yield item.interface.link_type, None, len(item.packet_data)


names = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("scapy", "python-pcapng"))
print(f"{names}, CPython {platform.python_version()}")
first = section(ETHERNET, 65535, 9, enhanced(9, FRAME))
second = section(RAW_IP, 65535, 6, enhanced(6, IP))
simple = section(ETHERNET, 0, 6, block(3, struct.pack("<I", len(FRAME)) + FRAME))
seen = {}
for name, content in (("two sections", first + second), ("no limit", simple)):
    with open(sys.argv[1], "wb") as file:
        file.write(content)
    seen[name] = (list(by_scapy(sys.argv[1])), list(by_pcapng(sys.argv[1])))
    print(f"{name}:\n    scapy  {seen[name][0]}\n    pcapng {seen[name][1]}")
assert seen == {
    "two sections": (
        [(ETHERNET, SECONDS, 42), (ETHERNET, SECONDS // 1000, 28)],
        [(ETHERNET, SECONDS, 42), (RAW_IP, SECONDS, 28)],
    ),
    "no limit": ([(ETHERNET, None, 0)], [(ETHERNET, None, 42)]),
}, seen
PROGRAM
"$folder/venv/bin/python" "$folder/program.py" "$folder/file.pcapng"
