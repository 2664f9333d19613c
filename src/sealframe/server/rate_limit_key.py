"""The key by which connections are counted where limits are per address."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final, TypeAlias

from ..aio.addresses import Address

RateLimitKey: TypeAlias = bytes | int | None
"""4 bytes of IPv4, 8 of IPv6, the user id at the other end of a Unix socket; None if peers
cannot be told apart."""

_MAPPED: Final = bytes(10) + b"\xff\xff"


def rate_limit_key(transport: asyncio.BaseTransport) -> RateLimitKey:
    """Return what the peer of a new connection cannot easily have many of.

    This is the address in IPv4; in IPv6 the subnet prefix, its first 64 bits (RFC 4291,
    section 2.5.4), since each subscriber gets a whole subnet at least; on a Unix socket the
    user, where the platform tells it (SO_PEERCRED).
    """
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        return network(name[0])
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family == getattr(socket, "AF_UNIX", None):
        return _uid(sock)
    return None


def relayed_key(address: Address) -> RateLimitKey:
    """Return the same for a client that a balancer names; of a Unix socket's it knows no user."""
    return network(address[0]) if isinstance(address, tuple) else None


def network(host: str) -> bytes:
    """Return the key of a numeric address: all 4 bytes of IPv4, also of an IPv4-mapped address
    such as ``::ffff:192.0.2.7`` (RFC 4291, section 2.5.5.2), and the first 8 of IPv6."""
    if ":" not in host:
        return socket.inet_aton(host)
    packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return packed[12:] if packed.startswith(_MAPPED) else packed[:8]


def _uid(sock: socket.socket) -> RateLimitKey:
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
