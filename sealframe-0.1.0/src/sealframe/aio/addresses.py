"""Socket addresses as programs and people see them."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

Address: TypeAlias = tuple[str, int] | str | None
"""``(host, port)`` for TCP, the path for a Unix socket, None if it has none."""


def address_of(transport: asyncio.BaseTransport, name: str) -> Address:
    """Return one of the transport's addresses.

    :param name: ``"peername"`` or ``"sockname"``
    """
    return normalise(transport.get_extra_info(name))


def normalise(raw: object) -> Address:
    """Return a socket module address without the parts that only IPv6 has."""
    if isinstance(raw, tuple):
        return (str(raw[0]), int(raw[1]))
    if isinstance(raw, bytes):
        return raw.decode(errors="replace") or None
    return raw if isinstance(raw, str) and raw else None


def show(address: Address) -> str:
    """Return the address as people write it, ``[::1]:1234`` for IPv6, on one line."""
    if isinstance(address, tuple):
        host, port = address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if address is None:
        return "unnamed"
    # A peer on a Unix socket chooses its path, line feeds and all.
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in address)
