"""Ports of this machine that stay a test's own, also while nobody listens there."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a TCP port of 127.0.0.1 until the end of the block.

    Whoever connects is refused, and servers that set ``SO_REUSEADDR``, as those of asyncio do, may
    listen there one after the other, in any process. A port that was merely free a moment ago goes
    to the next socket that asks for one: a test that runs beside this one has many.

    Elsewhere than on Linux such a server would find the port in use, and it is let go of.
    """
    with socket.socket() as sock:
        if sys.platform == "linux":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        if sys.platform != "linux":
            sock.close()
        yield port
