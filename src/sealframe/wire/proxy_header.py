"""The header of the PROXY protocol: for whom a balancer connects.

Both versions of HAProxy's specification, "The PROXY protocol", are read: a line of text (section
2.1) and a binary header (section 2.2). What is not in the specification is refused, since a
receiver must not guess whether there is a header. No more of it is held than the addresses: what
extends them (TLVs) is skipped, up to the 65,535 bytes that a header can declare.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final, TypeAlias

ClientAddress: TypeAlias = tuple[str, int] | str | None
"""``(host, port)`` for TCP, the path for a Unix socket, None if that has none."""

_TEXT_START: Final = b"PROXY "
_TEXT_SIZE: Final = 107
"""Bytes of the longest line, CR LF included."""

_BINARY_START: Final = b"\r\n\r\n\0\r\nQUIT\n"
_BINARY_HEAD: Final = 16
"""Its start, version and command, family and protocol, and the length of what follows."""

_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_VERSION: Final = 0x20
"""Version 2 in the upper half of its byte, the command in the lower."""

_UNSPECIFIED: Final = 0x00
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_UNIX_STREAM: Final = 0x31
_ADDRESSES: Final = {_UNSPECIFIED: 0, _TCP4: 12, _TCP6: 36, _UNIX_STREAM: 216}
"""Bytes that both addresses take. Those of datagrams are left out: these are no stream."""

_PATH_SIZE: Final = 108


@dataclass(frozen=True, slots=True)
class Relayed:
    """A client on whose behalf a balancer has connected."""

    address: ClientAddress


class ProxyHeaderReader:
    """Takes the first bytes of a stream in, however they are cut, up to the end of the header.

    :ivar started: whether any byte has come
    :ivar relayed: whom the header names. None before its end, and if it names nobody: the balancer
        has connected for itself (LOCAL, as for a health check) or does not know (UNKNOWN,
        AF_UNSPEC). The connection's own addresses hold then.
    """

    __slots__ = ("_held", "_to_skip", "relayed", "started")

    def __init__(self) -> None:
        self.started = False
        self.relayed: Relayed | None = None
        self._held = b""
        # Bytes of TLVs that are still to come.
        self._to_skip = 0

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes in; none after the end.

        :return: what stands behind the header, None before its end
        :raises ValueError: it is none; the text says what is wrong with it
        """
        self.started = True
        if self._to_skip:
            return self._skip(data)
        held = self._held = self._held + data
        if held.startswith(_TEXT_START):
            return self._take_text(held)
        if held.startswith(_BINARY_START):
            return self._take_binary(held)
        if _TEXT_START.startswith(held) or _BINARY_START.startswith(held):
            return None
        # Not what: it may be the beginning of a message, and this goes into logs.
        raise ValueError("it sent something else in place of a PROXY header")

    def _take_text(self, held: bytes) -> bytes | None:
        end = held.find(b"\r\n", 0, _TEXT_SIZE)
        if end < 0:
            if len(held) >= _TEXT_SIZE:
                raise ValueError(f"its PROXY header has no CR LF within {_TEXT_SIZE} bytes")
            return None
        match held[:end].split(b" "):
            case [_, b"UNKNOWN", *_]:
                # What else is in the line does not count.
                pass
            case [_, b"TCP4" | b"TCP6" as family, source, destination, port, own_port]:
                version = 4 if family == b"TCP4" else 6
                _host(destination, version)
                _port(own_port)
                self.relayed = Relayed((_host(source, version), _port(port)))
            case _:
                raise ValueError("its PROXY header is neither TCP4, TCP6 nor UNKNOWN")
        return held[end + 2 :]

    def _take_binary(self, held: bytes) -> bytes | None:
        if len(held) < _BINARY_HEAD:
            return None
        command, family = held[12], held[13]
        length = int.from_bytes(held[14:16], "big")
        if command not in (_LOCAL, _PROXY):
            raise ValueError(f"its PROXY header has version and command {command:#04x}")
        # Of LOCAL everything behind the head is ignored.
        size = _ADDRESSES.get(family) if command == _PROXY else 0
        if size is None:
            raise ValueError(f"its PROXY header has address family and protocol {family:#04x}")
        if length < size:
            raise ValueError(f"its PROXY header has {length} bytes for addresses of {size}")
        if len(held) < _BINARY_HEAD + size:
            return None
        if size:
            self.relayed = Relayed(_client(family, held[_BINARY_HEAD:]))
        self._held = b""
        self._to_skip = length - size
        return self._skip(held[_BINARY_HEAD + size :])

    def _skip(self, data: bytes) -> bytes | None:
        skipped = min(self._to_skip, len(data))
        self._to_skip -= skipped
        return None if self._to_skip else data[skipped:]


def _client(family: int, block: bytes) -> ClientAddress:
    if family == _UNIX_STREAM:
        return _path(block[:_PATH_SIZE])
    if family == _TCP4:
        return str(ipaddress.IPv4Address(block[:4])), int.from_bytes(block[8:10], "big")
    return _shown(ipaddress.IPv6Address(block[:16])), int.from_bytes(block[32:34], "big")


def _path(field: bytes) -> str | None:
    # Zero bytes fill it up. One in front is the abstract namespace of Linux (unix(7)).
    name = field.rstrip(b"\0")
    if not name.startswith(b"\0"):
        name = name.partition(b"\0")[0]
    return name.decode(errors="replace") or None


def _host(text: bytes, version: int) -> str:
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    try:
        shown = text.decode("ascii")
        if version == 4:
            return str(ipaddress.IPv4Address(shown))
        address = ipaddress.IPv6Address(shown)
    except ValueError:
        raise ValueError(f"its PROXY header has {text!r} for an IPv{version} address") from None
    if address.scope_id is not None:
        raise ValueError(f"its PROXY header has {text!r} for an IPv6 address")
    return _shown(address)


def _shown(address: ipaddress.IPv6Address) -> str:
    # A balancer that listens on both with one socket has IPv4-mapped addresses (RFC 4291, section
    # 2.5.5.2). The client's own is the one inside.
    return str(address.ipv4_mapped or address)


def _port(text: bytes) -> int:
    if not (text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError(f"its PROXY header has {text!r} for a port")
    return int(text)
