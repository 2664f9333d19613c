"""The sockets that a server listens on: bound here, or given by the program."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import sys
import time
from pathlib import Path
from typing import Any, Final

from ..errors import ListenError
from .addresses import look_up
from .endpoint import Binding, is_abstract
from .log_throttle import LogThrottle

logger = logging.getLogger("sealframe.server")

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""With which accept() fails when the process or the system has no descriptor or memory left."""

_PAUSE: Final = 0.5
"""Seconds for which nothing is accepted then; asyncio tries again after one."""

_PORT_TRIES: Final = 20
"""How many free ports are tried where several addresses are to have the same."""

_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class _ExhaustedError(OSError):
    """What asyncio is told, and does not get to log: see :class:`ListeningSocket`."""


def _is_wanted(record: logging.LogRecord) -> bool:
    # asyncio says exc_info=False where there is none, which logging keeps.
    return not record.exc_info or not isinstance(record.exc_info[1], _ExhaustedError)


class ListeningSocket(socket.socket):
    """Tells of missing descriptors by one line a minute.

    asyncio tries as many accepts in a turn as its backlog says, logs a traceback for each that
    fails, and sets a timer for each: a crowd fills the disk. Here the first failure of a turn is
    told to asyncio, which waits a second because of it; the others look as if nobody were there.
    """

    __slots__ = ("_pause_ends", "_throttle")

    def __init__(
        self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None
    ):
        super().__init__(family, type, proto, fileno)
        self.setblocking(False)
        self._throttle = LogThrottle()
        self._pause_ends = 0.0

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        :raises BlockingIOError: there is none, or it is too early to try again
        :raises OSError: there are no descriptors left
        """
        if self._pause_ends and time.monotonic() < self._pause_ends:
            raise BlockingIOError(errno.EAGAIN, "no descriptors left a moment ago")
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            now = time.monotonic()
            self._pause_ends = now + _PAUSE
            more = self._throttle.count(now, "tries")
            if more is not None:
                logger.error("new clients have to wait: %s%s", error.strerror, more)
            raise _ExhaustedError(error.errno, error.strerror) from None


async def bind(binding: Binding) -> list[ListeningSocket]:
    """Return bound sockets; they do not listen yet.

    :raises OSError: the address is in use, forbidden or unknown
    """
    logging.getLogger("asyncio").addFilter(_is_wanted)  # once, however often it is added
    if binding.socks:
        # The server closes them, and nobody else is to do that a second time.
        return [ListeningSocket(fileno=sock.detach()) for sock in binding.socks]
    if binding.path:
        return [_bind_path(binding.path)]
    addresses: dict[tuple[int, Any], bool] = {}
    for host in binding.hosts:
        found = await look_up(host, binding.port)
        # Only of a name are addresses left out that this machine does not have.
        optional = len(found) > 1
        addresses.update({(family, target): optional for family, _, _, _, target in found})
    for _ in range(_PORT_TRIES):
        try:
            return _bind_addresses(addresses, binding)
        except OSError as error:
            # With port 0 another process had the port of one address at another.
            if binding.port or error.errno != errno.EADDRINUSE:
                raise
            failure = error
    raise failure


def _bind_addresses(
    addresses: dict[tuple[int, Any], bool], binding: Binding
) -> list[ListeningSocket]:
    port = binding.port
    bound: list[ListeningSocket] = []
    failure: OSError | None = None
    try:
        for (family, target), optional in addresses.items():
            try:
                bound.append(_bind_one(family, (target[0], port, *target[2:]), binding.reuse_port))
            except OSError as error:
                if not optional or error.errno not in _NOT_HERE:
                    raise
                failure = error
            else:
                # A free port that the first has taken is that of all: a client knows only one.
                port = bound[-1].getsockname()[1]
        if failure is not None and not bound:
            raise failure
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind_one(family: int, address: Any, reuse_port: bool) -> ListeningSocket:
    sock = ListeningSocket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix" and sys.platform != "cygwin":
            # Elsewhere it would let others take the port away.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # Beside "0.0.0.0" on the same port, whatever the system's default is.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_path(path: str) -> ListeningSocket:
    if not is_abstract(path):
        _remove_stale(path)
    sock = ListeningSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """Remove a socket file on which nobody listens; refuse any other file.

    A connection attempt tells: only a file without a listener refuses it. Event loops remove
    the file without asking.
    """
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise ListenError(
                errno.EEXIST, f"cannot listen on {path}: something that is not a socket is there"
            )
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        except BlockingIOError:
            # The backlog is full, so a live server listens.
            raise OSError(errno.EADDRINUSE, "address already in use") from None
        else:
            raise OSError(errno.EADDRINUSE, "address already in use")
