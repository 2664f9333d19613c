"""Writes to a transport: several buffers in one call, the end of the stream, or past it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Final

_SOUND: Final = sys.version_info >= (3, 13, 2) or (3, 12, 9) <= sys.version_info < (3, 13)
"""Whether asyncio's ``writelines`` can be used: 3.11 joins the buffers, and 3.12.0 to 3.12.8 and
3.13.0 to 3.13.1 never pause the writer (CVE-2024-12254)."""


def write_buffers(transport: asyncio.WriteTransport, buffers: list[bytes]) -> int:
    """Write non-empty buffers in order; return how many bytes they held."""
    if len(buffers) == 1:
        transport.write(buffers[0])
        return len(buffers[0])
    if _SOUND or not type(transport).__module__.startswith("asyncio."):
        transport.writelines(buffers)
        return sum(map(len, buffers))
    joined = b"".join(buffers)
    transport.write(joined)
    return len(joined)


def end_writing(transport: asyncio.WriteTransport) -> None:
    """Send FIN after all that was written."""
    if transport.can_write_eof():
        # Fails if the peer has reset the connection, which the event loop reports by itself.
        with contextlib.suppress(OSError):
            transport.write_eof()


NO_SOCKET: Final = -1
"""In place of a socket that may be written to."""


def socket_of(transport: asyncio.BaseTransport) -> int:
    """Return the socket that may be written to while the transport has nothing to write.

    uvloop collects what is written until the end of its turn. Its transports write plainly to
    their socket, and keep it open until ``connection_lost`` was called.
    """
    kind = type(transport)
    if kind.__module__ != "uvloop.loop" or kind.__name__ not in ("TCPTransport", "UnixTransport"):
        return NO_SOCKET
    sock = transport.get_extra_info("socket")
    return NO_SOCKET if sock is None else int(sock.fileno())
