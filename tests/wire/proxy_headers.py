"""PROXY headers as balancers write them."""

from __future__ import annotations

import ipaddress

START = b"\r\n\r\n\0\r\nQUIT\n"
"""Of a binary one."""

LOCAL, PROXY = 0x20, 0x21
UNSPECIFIED, TCP4, UDP4, TCP6, UNIX = 0x00, 0x11, 0x12, 0x21, 0x31


def text(host: str, port: int) -> bytes:
    """Return version 1 for a client at that address."""
    address = ipaddress.ip_address(host)
    own = "192.0.2.1" if address.version == 4 else "2001:db8::1"
    return f"PROXY TCP{address.version} {host} {own} {port} 1234\r\n".encode()


def binary(host: str, port: int, *, tlvs: bytes = b"") -> bytes:
    """Return version 2 for a client at that address."""
    address = ipaddress.ip_address(host)
    own = bytes(len(address.packed))
    ports = port.to_bytes(2, "big") + (1234).to_bytes(2, "big")
    family = TCP4 if address.version == 4 else TCP6
    return framed(PROXY, family, address.packed + own + ports + tlvs)


def unix(path: bytes) -> bytes:
    """Return version 2 for a client on a Unix socket."""
    return framed(PROXY, UNIX, path.ljust(108, b"\0") + b"/own".ljust(108, b"\0"))


def framed(command: int, family: int, rest: bytes = b"", *, length: int | None = None) -> bytes:
    """Return version 2 with whatever this is.

    :param length: what it declares, if that is not how much there is
    """
    declared = len(rest) if length is None else length
    return START + bytes([command, family]) + declared.to_bytes(2, "big") + rest


UNKNOWN = b"PROXY UNKNOWN\r\n"
CHECK = framed(LOCAL, UNSPECIFIED)
"""What precedes a health check."""
