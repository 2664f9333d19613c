"""Captures of packets, made with dpkt and python-pcapng as libpcap and Wireshark write them."""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import dpkt
import pcapng

CLIENT = ("192.0.2.1", 50000)
SERVER = ("192.0.2.2", 502)
CLIENT6 = ("2001:db8::1", 50000)
SERVER6 = ("2001:db8::2", 502)

FIN, SYN, RST = (dpkt.tcp.TH_FIN, dpkt.tcp.TH_SYN, dpkt.tcp.TH_RST)
PUSH, ACK = (dpkt.tcp.TH_PUSH, dpkt.tcp.TH_ACK)


def packet(
    source: tuple[str, int],
    target: tuple[str, int],
    sequence: int,
    data: bytes = b"",
    flags: int = PUSH | ACK,
) -> Any:
    """Return an IP packet with a TCP segment."""
    tcp = dpkt.tcp.TCP(
        sport=source[1], dport=target[1], seq=sequence % 2**32, flags=flags, data=data
    )
    if ":" in source[0]:
        ends = [socket.inet_pton(socket.AF_INET6, end[0]) for end in (source, target)]
        return dpkt.ip6.IP6(src=ends[0], dst=ends[1], nxt=6, plen=len(tcp), hlim=64, data=tcp)
    ends = [socket.inet_pton(socket.AF_INET, end[0]) for end in (source, target)]
    return dpkt.ip.IP(src=ends[0], dst=ends[1], p=6, data=tcp)


@dataclass
class Talk:
    """The packets of one connection, in the order in which they are written down."""

    client: tuple[str, int] = CLIENT
    server: tuple[str, int] = SERVER
    first: int = 1000
    """Sequence number of the SYN, for both ends."""
    packets: list[Any] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=lambda: {"client": 0, "server": 0})

    def open(self) -> Talk:
        """Add the two SYN."""
        self.packets.append(packet(self.client, self.server, self.first, flags=SYN))
        self.packets.append(packet(self.server, self.client, self.first, flags=SYN | ACK))
        return self

    def segment(self, sender: str, data: bytes, flags: int = PUSH | ACK) -> Any:
        """Return the next segment, which is not added."""
        ends = self.client, self.server
        source, target = ends if sender == "client" else ends[::-1]
        at = self.first + 1 + self.sent[sender]
        self.sent[sender] += len(data)
        return packet(source, target, at, data, flags)

    def say(self, sender: str, *parts: bytes) -> Talk:
        """Add segments."""
        self.packets += [self.segment(sender, part) for part in parts]
        return self

    def close(self) -> Talk:
        """Add a FIN of each."""
        for sender in ("client", "server"):
            self.packets.append(self.segment(sender, b"", FIN | ACK))
        return self


def ethernet(packet: Any) -> bytes:
    """Return a frame of Ethernet, padded as cards do."""
    kind = dpkt.ethernet.ETH_TYPE_IP6 if isinstance(packet, dpkt.ip6.IP6) else 0x0800
    frame = bytes(dpkt.ethernet.Ethernet(src=b"\2" * 6, dst=b"\4" * 6, type=kind, data=packet))
    return frame.ljust(60, b"\xee")


def tagged(packet: Any) -> bytes:
    """Return a frame of Ethernet with a VLAN."""
    frame = ethernet(packet)
    return frame[:12] + b"\x81\x00\x00\x07" + frame[12:]


def loopback(packet: Any) -> bytes:
    """Return a packet of BSD's loopback, of a little-endian machine."""
    return struct.pack("<I", 30 if isinstance(packet, dpkt.ip6.IP6) else 2) + bytes(packet)


def cooked(packet: Any) -> bytes:
    """Return a packet of Linux's interface ``any``."""
    kind = 0x86DD if isinstance(packet, dpkt.ip6.IP6) else 0x0800
    return struct.pack(">HHH8sH", 0, 1, 6, b"\2" * 6, kind) + bytes(packet)


def cooked2(packet: Any) -> bytes:
    """Return a packet of Linux's interface ``any``, as newer versions write it."""
    kind = 0x86DD if isinstance(packet, dpkt.ip6.IP6) else 0x0800
    return struct.pack(">HHIHBB8s", kind, 0, 1, 1, 0, 6, b"\2" * 6) + bytes(packet)


LINKS: dict[str, tuple[int, Callable[[Any], bytes]]] = {
    "ethernet": (1, ethernet),
    "vlan": (1, tagged),
    "loopback": (0, loopback),
    "raw": (101, bytes),
    "raw-12": (12, bytes),
    "cooked": (113, cooked),
    "cooked2": (276, cooked2),
}


def pcap(packets: Iterable[Any], link: str = "ethernet", *, cut: int | None = None) -> bytes:
    """Return a pcap, whose packets are cut at so many bytes (tcpdump -s)."""
    link_type, frame = LINKS[link]
    file = io.BytesIO()
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, cut or 262144, link_type))
    for number, one in enumerate(packets):
        data = frame(one)
        kept = data[:cut]
        file.write(struct.pack("<IIII", number, 0, len(kept), len(data)) + kept)
    return file.getvalue()


def pcapng_of(packets: Iterable[tuple[str, Any]], *, order: str = "<") -> bytes:
    """Return a pcapng of packets, each with the name of its link; one interface for each name."""
    section = pcapng.blocks.SectionHeader(endianness=order)
    interfaces: dict[str, int] = {}
    listed = list(packets)
    for link, _ in listed:
        if link not in interfaces:
            interfaces[link] = len(interfaces)
            section.new_member(
                pcapng.blocks.InterfaceDescription, link_type=LINKS[link][0], snaplen=0
            )
    file = io.BytesIO()
    writer = pcapng.FileWriter(file, section)
    for link, one in listed:
        block = section.new_member(pcapng.blocks.EnhancedPacket, interface_id=interfaces[link])
        block.packet_data = LINKS[link][1](one)
        writer.write_block(block)
    return file.getvalue()
