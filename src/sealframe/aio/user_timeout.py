"""Keeps the kernel's time-out from peers that are there and do not read.

``TCP_USER_TIMEOUT`` ends a connection whose data is not acknowledged for so long. Linux also counts
the time during which the peer's window is closed, though the peer acknowledges every probe: a
program that takes its time over a message looks like that, and where packets flow it is ordinary
back-pressure. Such a connection is to stay (RFC 9293, section 3.8.6.1), so its time-out is put
off for as long as probes are answered. Other systems count retransmissions alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from ..options import Options
from .socket_options import user_timeout

if TYPE_CHECKING:
    from .connection_protocol import ConnectionProtocol

_CHECKS: Final = 4
"""Looks at a connection within the time-out."""

_SLICE: Final = 256
"""Connections that are looked at in one turn of the event loop; each costs 2 us."""

_SMALLEST_WINDOW: Final = 1024
"""Bytes that any peer takes before its window closes. A connection on which fewer were sent is not
looked at: uvloop keeps 300 bytes for each socket that is asked for."""

_UNANSWERED: Final = 3
"""Probes in a row without an answer after which a peer counts as gone."""

# struct tcp_info of Linux 5.4: tcpi_probes, tcpi_unacked, tcpi_notsent_bytes, tcpi_snd_wnd.
_TCP_INFO: Final = struct.Struct("=3xB20xI116xI80xI")


class UserTimeouts:
    """Looks at connections from time to time, and puts time-outs off.

    :param connections: a live view of them; those that are no TCP connections are left alone
    """

    __slots__ = ("_connections", "_period", "_seconds", "_stalled", "_timer", "_waiting")

    def __init__(self, options: Options, connections: Collection[ConnectionProtocol]) -> None:
        self._connections = connections
        self._seconds = user_timeout(options) or 0.0
        self._period = self._seconds / _CHECKS
        # Connections whose window is closed, and since when, by the event loop's clock.
        self._stalled: dict[ConnectionProtocol, float] = {}
        self._waiting: list[ConnectionProtocol] = []
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on, where that is of use."""
        if self._seconds and sys.platform == "linux" and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._period, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            self._stalled = {p: t for p, t in self._stalled.items() if p.transport is not None}
            self._waiting = list(self._connections)
        now = loop.time()
        for protocol in self._waiting[-_SLICE:]:
            self._look_at(protocol, now)
        del self._waiting[-_SLICE:]
        self._timer = loop.call_later(0 if self._waiting else self._period, self._look)

    def _look_at(self, protocol: ConnectionProtocol, now: float) -> None:
        transport = protocol.transport
        # A peer that gives windows reads all the time; if it does not, it fails the keepalive.
        if transport is None or protocol.machine.windowed:
            return
        if protocol.stats.bytes_sent < _SMALLEST_WINDOW:
            return
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
            # An older kernel tells less, and none of it is taken for a closed window.
            probes, unacked, unsent, window = _TCP_INFO.unpack(raw.ljust(_TCP_INFO.size, b"\xff"))
            seconds = self._seconds
            if window and (unacked or not unsent):
                if self._stalled.pop(protocol, None) is None:
                    return
            elif probes >= _UNANSWERED:
                return
            else:
                # The window was closed at some time after the look before the first of these.
                since = self._stalled.setdefault(protocol, now)
                seconds += now - since + self._period
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


class _Members:
    __slots__ = ("connections", "timeouts")

    def __init__(self, options: Options) -> None:
        self.connections: set[ConnectionProtocol] = set()
        self.timeouts = UserTimeouts(options, self.connections)


_shared: Final[dict[tuple[asyncio.AbstractEventLoop, Options], _Members]] = {}
"""Of connections that no server has, by event loop: one timer for all of the same options."""


def watch(protocol: ConnectionProtocol) -> None:
    """Look at a client's connection from time to time, if it is a TCP connection."""
    if not isinstance(protocol.remote_address, tuple) or protocol.machine.windowed:
        return
    for loop, options in list(_shared):
        if loop.is_closed():
            _shared.pop((loop, options), None)
    members = _shared.setdefault((protocol.loop, protocol.options), _Members(protocol.options))
    members.connections.add(protocol)
    members.timeouts.start()


def unwatch(protocol: ConnectionProtocol) -> None:
    """Look at it no more; harmless if it was not looked at."""
    members = _shared.get((protocol.loop, protocol.options))
    if members is None:
        return
    members.connections.discard(protocol)
    if not members.connections:
        members.timeouts.stop()
        del _shared[protocol.loop, protocol.options]
