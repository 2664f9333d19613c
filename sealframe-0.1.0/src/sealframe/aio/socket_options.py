"""Options set on TCP sockets. A platform that lacks one does without it."""

from __future__ import annotations

import contextlib
import math
import socket
import sys
from typing import Final

from ..options import Options

_NOTSENT_LOWAT: Final = 256 * 1024
"""Bytes that the kernel takes beyond what is in flight (TCP_NOTSENT_LOWAT). The rest waits in our
send queue, where a small frame can still overtake it."""

_PROBES: Final = 3
"""Unanswered keepalive probes after which the kernel ends the connection (RFC 9293 section
3.8.4)."""

INHERITED: Final = sys.platform == "linux"
"""Whether an accepted socket inherits the options of the listening one. That saves five system
calls for each connection, and the memory of a socket object."""


def configure(sock: socket.socket | None, options: Options) -> None:
    """Set keepalive and the write low-water mark, if this is a TCP socket."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    _set(sock, socket.IPPROTO_TCP, "TCP_NOTSENT_LOWAT", _NOTSENT_LOWAT)
    if options.keepalive_interval is None:
        return
    _set(sock, socket.SOL_SOCKET, "SO_KEEPALIVE", 1)
    idle = max(1, math.ceil(options.keepalive_interval))
    between = max(1, math.ceil(options.keepalive_timeout / _PROBES))
    for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE"):
        if hasattr(socket, name):
            _set(sock, socket.IPPROTO_TCP, name, idle)
            break
    _set(sock, socket.IPPROTO_TCP, "TCP_KEEPINTVL", between)
    _set(sock, socket.IPPROTO_TCP, "TCP_KEEPCNT", _PROBES)


def _set(sock: socket.socket, level: int, name: str, value: int) -> None:
    option = getattr(socket, name, None)
    if option is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(level, option, value)
