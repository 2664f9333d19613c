"""Socket addresses as programs and people see them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, TypeAlias

Address: TypeAlias = tuple[str, int] | str | None
"""``(host, port)`` for TCP, the path for a Unix socket, None if it has none."""

AddressInfo: TypeAlias = tuple[int, int, int, str, Any]
"""What ``getaddrinfo`` returns: family, type, protocol, canonical name, socket address."""


def address_of(transport: asyncio.BaseTransport, name: str) -> Address:
    """Return one of the transport's addresses.

    :param name: ``"peername"`` or ``"sockname"``
    """
    return normalise(transport.get_extra_info(name))


def normalise(raw: object) -> Address:
    """Return a socket module address in the form that programs use.

    IPv6 has a flow label and a scope beside it. The scope says which link a link-local address is
    on, without which it leads nowhere: it stays, as ``fe80::1%eth0`` (RFC 4007, section 11).
    """
    if isinstance(raw, tuple):
        host, port = str(raw[0]), int(raw[1])
        if len(raw) == 4 and raw[3] and "%" not in host:
            host = f"{host}%{_interface(raw[3])}"
        return host, port
    if isinstance(raw, bytes):
        return raw.decode(errors="replace") or None
    return raw if isinstance(raw, str) and raw else None


async def look_up(host: str, port: int) -> list[AddressInfo]:
    """Return the addresses of a host, in the order in which the system prefers them (RFC 6724).

    Not by the event loop's ``getaddrinfo``: uvloop's forgets the scope of link-local addresses.

    :raises OSError: there is no such host
    """
    if is_numeric(host):
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    look_up_name = socket.getaddrinfo
    return list(await asyncio.to_thread(look_up_name, host, port, type=socket.SOCK_STREAM))


def is_numeric(host: str) -> bool:
    """Return whether this is an address, which needs no look-up, and not a name."""
    # Most are of IPv4, which this tells in a fortieth of the time.
    with contextlib.suppress(OSError, ValueError):
        socket.inet_pton(socket.AF_INET, host)
        return True
    # An address of IPv6 may have a scope, and one of IPv4 may be short: 127.1.
    with contextlib.suppress(socket.gaierror):
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return True
    return False


def show(address: Address) -> str:
    """Return the address as people write it, ``[::1]:1234`` for IPv6, on one line."""
    if isinstance(address, tuple):
        host, port = address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if address is None:
        return "unnamed"
    if address.startswith("\0"):
        # The abstract namespace of Linux, as unix(7) and most tools write it.
        address = "@" + address[1:]
    # A peer on a Unix socket chooses its path, line feeds and all.
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in address)


def _interface(number: int) -> str:
    try:
        return socket.if_indextoname(number)
    except OSError:
        # It is gone meanwhile. The number names it as well.
        return str(number)
