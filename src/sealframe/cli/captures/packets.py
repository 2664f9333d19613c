"""Packets of a capture, pcap or pcapng, down to their TCP segments.

Importing this module needs dpkt and python-pcapng, the extra ``doctor``. The files are read by
them, the packets by dpkt.
"""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple

from ... import MissingExtraError
from .reassembly import Segment
from .stream import PCAPNG, CaptureError

try:
    import dpkt
    import pcapng
except ImportError:
    raise MissingExtraError(
        "captures of packets are read by dpkt and python-pcapng, which are not installed; "
        'run: pip install "sealframe[doctor]"'
    ) from None

_MAX_RECORD: Final = 16 * 1024 * 1024
"""The largest packet or block that is read; libpcap captures 262,144 bytes of a packet at most."""

_FAULTS: Final = (
    *(dpkt.Error, pcapng.exceptions.PcapngException, struct.error),
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
)
"""What the libraries raise on bytes that are no packet."""

_LINK_TYPES: Final[dict[int, Any]] = {
    0: dpkt.loopback.Loopback,
    1: dpkt.ethernet.Ethernet,
    # Raw IP has three numbers, of different systems.
    12: None,
    14: None,
    101: None,
    108: dpkt.loopback.Loopback,
    113: dpkt.sll.SLL,
    228: dpkt.ip.IP,
    229: dpkt.ip6.IP6,
    276: dpkt.sll2.SLL2,
}
"""How packets begin, by the numbers of tcpdump.org/linktypes.html; None: with IP of any version."""


class _FileEndsError(Exception):
    """The file ends inside a packet."""


class _BoundedFile:
    """A file of which nobody reads more at once than a packet can have."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_RECORD:
            raise ValueError(f"a record claims {size:,} bytes")
        data = self._file.read(size)
        if 0 < len(data) < size:
            raise _FileEndsError
        return data


class Packet(NamedTuple):
    """One packet, and how it begins."""

    link_type: int
    data: bytes
    time: float = 0.0
    """When it was captured, in seconds since 1970; 0 where nobody knows."""


class PacketFile:
    """The packets of a file; can be gone through again and again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __iter__(self) -> Iterator[Packet]:
        self._file.seek(0)
        start = self._file.read(len(PCAPNG))
        self._file.seek(0)
        file = _BoundedFile(self._file)
        if start != PCAPNG:
            reader = dpkt.pcap.Reader(file)
            # The upper bits tell of checksums behind the frames (draft-ietf-opsawg-pcap, 4).
            link_type = reader.datalink() & 0xFFFF
            for time, packet in reader:
                yield Packet(link_type, packet, float(time))
            return
        for block in _blocks(file):
            if isinstance(block, pcapng.blocks.BasePacketBlock):
                # A simple packet block has no time.
                time = float(getattr(block, "timestamp", 0.0))
                yield Packet(block.interface.link_type, block.packet_data, time)


def _blocks(file: _BoundedFile) -> Iterator[Any]:
    """Yield the blocks of a pcapng.

    python-pcapng warns of its own table of options at each interface with a resolution of time or
    a filter, as Wireshark writes them: that is no business of who reads a capture.
    """
    blocks = iter(pcapng.FileScanner(file))
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            block = next(blocks, None)
        if block is None:
            return
        yield block


class SegmentReader:
    """The TCP segments of packets, in their order; can be gone through again like these.

    :param packets: in the order in which they were captured
    """

    def __init__(self, packets: Iterable[Packet]) -> None:
        self._packets = packets
        self.seen: Counter[str] = Counter()
        """How many packets there are of each kind: ``TCP``, ``UDP``, ``fragment``, ``other``."""
        self.unknown: Counter[int] = Counter()
        """Packets of each link type that is not known here."""
        self.fault = ""
        """Why reading ended before the end of the file; empty where it did not."""

    def __iter__(self) -> Iterator[Segment]:
        """Yield the segments; stop at what cannot be read.

        :raises CaptureError: not one packet can be read
        """
        self.seen.clear()
        self.unknown.clear()
        packets = 0
        try:
            for packet in self._packets:
                packets += 1
                segment = self._segment(packet)
                if segment is not None:
                    yield segment
        except _FileEndsError:
            self.fault = f"the file ends inside a packet, behind {packets:,} whole ones"
        except _FAULTS as error:
            self.fault = f"the file is damaged behind {packets:,} packets ({error})"
        if self.fault and not packets:
            raise CaptureError(f"no packet can be read: {self.fault}")

    def _segment(self, packet: Packet) -> Segment | None:
        if packet.link_type not in _LINK_TYPES:
            self.unknown[packet.link_type] += 1
            return None
        try:
            kind, segment = _tcp(_internet_packet(packet.link_type, packet.data), packet.time)
        except _FAULTS:
            kind, segment = "other", None
        self.seen[kind] += 1
        return segment


def _internet_packet(link_type: int, packet: bytes) -> Any:
    unpack = _LINK_TYPES[link_type]
    if unpack is None:
        unpack = dpkt.ip6.IP6 if packet[0] >> 4 == 6 else dpkt.ip.IP
    found = unpack(packet)
    while not isinstance(found, (dpkt.ip.IP, dpkt.ip6.IP6)):
        # Where there is none in it, this ends at bytes, which have no data.
        found = found.data
    return found


def _tcp(packet: Any, time: float) -> tuple[str, Segment | None]:
    """Return of what kind an IP packet is, and the TCP segment in it."""
    if isinstance(packet, dpkt.ip.IP):
        fragment = packet.mf or packet.offset
        size = packet.len - packet.hl * 4 if packet.len else None
    else:
        headers = packet.all_extension_headers
        fragment = any(
            isinstance(header, dpkt.ip6.IP6FragmentHeader) and (header.frag_off or header.m_flag)
            for header in headers
        )
        size = packet.plen - sum(header.length for header in headers) if packet.plen else None
    if fragment:
        return "fragment", None
    tcp = packet.data
    if not isinstance(tcp, dpkt.tcp.TCP):
        return "UDP" if isinstance(tcp, dpkt.udp.UDP) else "other", None
    data = bytes(tcp.data)
    return "TCP", Segment(
        (packet.src, tcp.sport),
        (packet.dst, tcp.dport),
        tcp.seq,
        data,
        # With segmentation offload the packet's length is 0, and what was captured is all of it.
        len(data) if size is None else max(len(data), size - tcp.off * 4),
        syn=bool(tcp.flags & dpkt.tcp.TH_SYN),
        ack=bool(tcp.flags & dpkt.tcp.TH_ACK),
        fin=bool(tcp.flags & dpkt.tcp.TH_FIN),
        rst=bool(tcp.flags & dpkt.tcp.TH_RST),
        time=time,
    )
