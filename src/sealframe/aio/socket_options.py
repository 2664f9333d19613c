"""Options set on TCP sockets. A platform that lacks one does without it."""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import sys
from functools import lru_cache
from typing import Final

from ..options import Options

_NOTSENT_LOWAT: Final = 16 * 1024
"""Bytes that the kernel takes beyond what is in flight (TCP_NOTSENT_LOWAT). The rest waits in our
send queue, where a small frame can still overtake it. At 20 Mbit/s these are 6 ms."""

_MUCH: Final = 1024 * 1024
"""Bytes in flight from which :func:`widen` lets the kernel take more."""

_TCP_INFO: Final = struct.Struct("=16xI4xI")
"""``tcpi_snd_mss`` and ``tcpi_unacked`` of Linux' ``struct tcp_info``."""

_CAN_WIDEN: Final = sys.platform == "linux"

WIDEN_INTERVAL: Final = 0.1
"""Seconds between two calls of :func:`widen`: less than a round trip of a long link, and so much
that the calls cost nothing."""

WRITE_BUFFER: Final = 32 * 1024
"""Bytes in the event loop's own buffer above which nothing more is given to it; for the same
reason less than its default, 64 KiB, beside which a whole batch may stand."""

_PROBES: Final = 3
"""Unanswered keepalive probes after which the kernel ends the connection (RFC 9293 section
3.8.4)."""

_RTO_MAX_MS: Final = 1000
"""The longest wait before the kernel sends again what was not acknowledged; the least that Linux
takes. Its own 120 s are doubled towards while a link is cut (RFC 6298, section 5.5), so that a link
that is back stays unused for as long again."""

_TCP_RTO_MAX_MS: Final = 44
"""Of Linux 6.15; Python's socket module has no name for it."""

_TCP_RXT_CONNDROPTIME: Final = 0x80
"""Of macOS: seconds that it sends again for; Python's socket module has no name for it."""

INHERITED: Final = sys.platform == "linux"
"""Whether an accepted socket inherits the options of the listening one. That saves five system
calls for each connection, and the memory of a socket object."""


def configure(sock: socket.socket | None, options: Options, *, keepalive: bool) -> None:
    """Set what holds for all TCP sockets, if this is one.

    :param keepalive: whether the kernel probes the peer, since there may be no PING
    """
    if sock is None or (family := sock.family) not in (socket.AF_INET, socket.AF_INET6):
        return
    # That of an event loop makes a socket object of its own for each call.
    same = socket.socket(family, sock.type, sock.proto, fileno=sock.fileno())
    try:
        for level, option, value in _settings(options, keepalive):
            with contextlib.suppress(OSError):
                same.setsockopt(level, option, value)
    finally:
        same.detach()


def widen(sock: socket.socket | None) -> None:
    """Adapt TCP_NOTSENT_LOWAT to what is in flight.

    Linux calls a socket writable once a third of its send buffer is free, and on a link that is
    long and fast that buffer is all that is in flight. Who then writes 16 KiB at a time never
    fills that third, and goes at two thirds of the speed. Half of what is in flight fills it. A
    small frame waits half a round trip for that, at most.
    """
    if sock is None or not _CAN_WIDEN or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        segment_size, unacknowledged = _TCP_INFO.unpack(info)
        in_flight = segment_size * unacknowledged
        lowat = in_flight // 2 if in_flight >= _MUCH else _NOTSENT_LOWAT
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, lowat)


@lru_cache(maxsize=16)
def _settings(options: Options, keepalive: bool) -> tuple[tuple[int, int, int], ...]:
    settings: list[tuple[int, int, int]] = []

    def add(level: int, name: str, value: int) -> None:
        if hasattr(socket, name):
            settings.append((level, getattr(socket, name), value))

    # asyncio does it only for a socket whose protocol number is given, and many have 0.
    add(socket.IPPROTO_TCP, "TCP_NODELAY", 1)
    add(socket.IPPROTO_TCP, "TCP_NOTSENT_LOWAT", _NOTSENT_LOWAT)
    seconds = user_timeout(options)
    if options.keepalive_interval is None or seconds is None:
        return tuple(settings)
    # Nothing is probed while data is unacknowledged; this bounds that time (RFC 5482).
    add(socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", math.ceil(seconds * 1000))
    if sys.platform == "darwin":
        settings.append((socket.IPPROTO_TCP, _TCP_RXT_CONNDROPTIME, math.ceil(seconds)))
    if sys.platform == "linux":
        # Only with the time-out: Linux gives up after so many attempts, which are then 15 s.
        settings.append((socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, _RTO_MAX_MS))
    if keepalive:
        add(socket.SOL_SOCKET, "SO_KEEPALIVE", 1)
        # TCP_KEEPALIVE is macOS's name.
        name = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
        add(socket.IPPROTO_TCP, name, max(1, math.ceil(options.keepalive_interval)))
        between = max(1, math.ceil(options.keepalive_timeout / _PROBES))
        add(socket.IPPROTO_TCP, "TCP_KEEPINTVL", between)
        add(socket.IPPROTO_TCP, "TCP_KEEPCNT", _PROBES)
    return tuple(settings)


def user_timeout(options: Options) -> float | None:
    """Return the seconds that data may stay unacknowledged: as long as a silent peer has, and a
    second at least, since what is lost is sent again only after some tenths of one. None where
    ``keepalive_interval`` is."""
    if options.keepalive_interval is None:
        return None
    return max(1.0, options.keepalive_interval + options.keepalive_timeout)
