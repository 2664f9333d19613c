"""What counts as one address where connections are counted per address."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final, TypeAlias

Origin: TypeAlias = bytes | int | None
"""4 bytes of IPv4, 8 of IPv6, the uid behind a Unix socket; None if there is nothing
to tell peers apart by."""

_MAPPED: Final = bytes(10) + b"\xff\xff"


def origin(transport: asyncio.BaseTransport) -> Origin:
    """Return what the peer of a new connection cannot easily have many of.

    This is the address in IPv4, in IPv6 the network of 64 bits that each subscriber
    gets at least, and the user on a Unix socket where the platform tells (SO_PEERCRED).
    """
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        return network(name[0])
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family == getattr(socket, "AF_UNIX", None):
        return _uid(sock)
    return None


def network(host: str) -> bytes:
    """Return the bytes that stand for a numeric address: all 4 of IPv4, also where it is
    written as ``::ffff:192.0.2.7``, and the first 8 of IPv6."""
    if ":" not in host:
        return socket.inet_aton(host)
    packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return packed[12:] if packed.startswith(_MAPPED) else packed[:8]


def _uid(sock: socket.socket) -> Origin:
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    # struct ucred: pid, uid, gid. The user ids are unsigned.
    credentials = struct.Struct("iII")
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    except OSError:
        return None
    uid: int = credentials.unpack(raw)[1]
    return uid
