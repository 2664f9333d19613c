"""What a file is, and the streams in it: a capture of packets, a dump, or the bytes themselves."""

from __future__ import annotations

import io
import ipaddress
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from . import hexdump
from .reassembly import Connection, End, Reassembly
from .stream import PCAP, PCAPNG, WINDOW, CaptureError, Stream

if TYPE_CHECKING:
    from .packets import SegmentReader

_TEXT: Final = 5 * WINDOW
"""Bytes of a file that are looked at; a dump has several characters for each byte."""
_INPUT: Final = 32 * WINDOW
"""Bytes of standard input that are kept: a capture is read twice."""
_LISTED: Final = 20
"""Connections of a capture that are listed, those with most bytes."""


def read_file(path: Path, *, raw: bool = False, number: int | None = None) -> list[Stream]:
    """Return the streams in a file.

    :param raw: take the bytes of the file, whatever they look like
    :param number: which connection of a capture, from 1; None takes the one with most bytes
    :raises CaptureError: it cannot be read as what it is
    :raises MissingExtraError: it is a capture, and what reads those is not installed
    :raises OSError: it cannot be read
    """
    with path.open("rb") as file:
        return read(file, str(path), raw=raw, number=number)


def read_input(file: BinaryIO, *, raw: bool = False, number: int | None = None) -> list[Stream]:
    """Return the streams in what is piped in; like :func:`read_file`."""
    data = file.read(_INPUT + 1)
    if len(data) > _INPUT and is_packets(data) and not raw:
        raise CaptureError(f"a capture of more than {_INPUT:,} bytes: give it as a file")
    return read(io.BytesIO(data), "standard input", raw=raw, number=number)


def read(
    file: BinaryIO, name: str, *, raw: bool = False, number: int | None = None
) -> list[Stream]:
    """Return the streams in a file that is at its start and can be read twice."""
    start = file.read(_TEXT)
    if not start:
        raise CaptureError(f"{name} is empty")
    if not raw and is_packets(start):
        return _named(_read_packets(file, number), name)
    if number is not None:
        raise CaptureError(f"{name} is no capture of packets: leave out --stream")
    if not raw and (dumped := hexdump.find(start)):
        return _named(_carried(dumped), name)
    more = len(start) == _TEXT and bool(file.read(1))
    # Somebody may have pasted what is not understood.
    text = (
        not raw
        and start.isascii()
        and not any(byte < 32 and byte not in b"\t\n\r" for byte in start)
    )
    notes = (
        ("no dump was found in this text: its characters are taken as the bytes",) if text else ()
    )
    return [Stream(start, complete=not more, name=name, notes=notes).limited()]


def is_packets(start: bytes) -> bool:
    """Return whether a file that starts so is a pcap or a pcapng."""
    if start[:4] == PCAPNG:
        return start[8:12] in (b"\x1a\x2b\x3c\x4d", b"\x4d\x3c\x2b\x1a")
    return start[:4] in PCAP


def _named(streams: list[Stream], name: str) -> list[Stream]:
    return [
        replace(stream, name=f"{name}, {stream.name}" if stream.name else name)
        for stream in streams
    ]


def _carried(streams: list[Stream]) -> list[Stream]:
    """Return what packets carry, where a dump is one of packets; else the dump itself."""
    packets = [part for stream in streams for part in stream.parts]
    types = [link_type(packet) for packet in packets]
    if not any(types):
        return streams
    from .packets import Packet, SegmentReader

    known = [
        Packet(link, packet)
        for link, packet in zip(types, packets, strict=True)
        if link is not None
    ]
    return _assembled(SegmentReader(known), None)


def link_type(packet: bytes) -> int | None:
    """Return how a packet from a dump begins, as its link type; None where it is not of TCP.

    The length in the head of IP has to be that of the packet (RFC 791, section 3.1; RFC 8200,
    section 3), but what Ethernet carries is padded to 46 bytes.
    """
    for start, found in ((0, 101), (14, 1), (4, 0), (16, 113), (20, 276)):
        head = packet[start:]
        if len(head) < 40:
            continue
        if head[0] >> 4 == 4 and head[0] & 15 >= 5 and head[9] == socket.IPPROTO_TCP:
            size = int.from_bytes(head[2:4], "big")
        elif head[0] >> 4 == 6 and head[6] == socket.IPPROTO_TCP:
            size = int.from_bytes(head[4:6], "big") + 40
        else:
            continue
        if size == len(head) or (start == 14 and 40 <= size < len(head) == 46):
            return found
    return None


def _read_packets(file: BinaryIO, number: int | None) -> list[Stream]:
    from .packets import PacketFile, SegmentReader

    return _assembled(SegmentReader(PacketFile(file)), number)


def _assembled(segments: SegmentReader, number: int | None) -> list[Stream]:
    """Return the streams of one connection; it is gone through the segments twice."""
    counted = Reassembly()
    for segment in segments:
        counted.add(segment)
    connections = counted.connections
    # By size; of equal ones the first.
    order = sorted(range(len(connections)), key=lambda index: -connections[index].size)
    if not order or not connections[order[0]].size:
        raise CaptureError(nothing(segments, len(order)))
    if number is not None and not 0 < number <= len(connections):
        raise CaptureError(f"there is no stream {number}: the capture has {len(connections)}")
    chosen = order[0] if number is None else number - 1
    if not connections[chosen].size:
        raise CaptureError(f"stream {number} has no bytes")
    kept = Reassembly(chosen)
    for segment in segments:
        kept.add(segment)
        if len(kept.connections) > chosen and kept.connections[chosen].has(connections[chosen]):
            break
    notes = [segments.fault] if segments.fault else []
    if segments.seen["fragment"]:
        notes.append(f"{segments.seen['fragment']:,} fragments of IP were left out")
    if len(order) > 1:
        notes += _list(connections, order, chosen)
    connection = kept.connections[chosen]
    ends = {"client": (connection.client, connection.server)}
    ends["server"] = ends["client"][::-1]
    return [
        replace(
            stream,
            name=" → ".join(map(shown, ends[stream.sender or "client"])),
            # What concerns the whole capture is said once.
            notes=(*stream.notes, *(notes if index == 0 else ())),
        )
        for index, stream in enumerate(connection.streams())
    ]


def _list(connections: list[Connection], order: list[int], chosen: int) -> list[str]:
    lines = [
        f"{len(order):,} connections; number {chosen + 1} was looked at, --stream N takes another:"
    ]
    for index in order[:_LISTED]:
        connection = connections[index]
        sizes = " and ".join(f"{size:,}" for size in connection.sizes())
        ends = f"{shown(connection.client)} → {shown(connection.server)}"
        lines.append(f"  {index + 1}: {ends}, {sizes} bytes")
    if len(order) > _LISTED:
        lines.append(f"  and {len(order) - _LISTED:,} smaller ones")
    return lines


def nothing(segments: SegmentReader, connections: int) -> str:
    """Return why there is no stream in a capture, and what to do."""
    if connections:
        return "the TCP connections of this capture have no bytes, only their opening and closing"
    if segments.unknown:
        types = ", ".join(map(str, sorted(segments.unknown)))
        return (
            f"packets of link type {types} cannot be read: Ethernet, IP, loopback and Linux cooked "
            "captures can"
        )
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(segments.seen.items()))
    return f"there is no TCP in this capture: {kinds or 'not one packet'}"


def shown(end: End) -> str:
    """Return an end as ``host:port``."""
    host = ipaddress.ip_address(end[0])
    return f"[{host}]:{end[1]}" if host.version == 6 else f"{host}:{end[1]}"
