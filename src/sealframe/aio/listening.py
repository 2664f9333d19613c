"""Opens the listening sockets of a server: TCP ports and Unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias, cast

from ..errors import ListenError
from ..options import Options
from .addresses import Address, normalise
from .endpoint import Endpoint, reason
from .socket_options import configure

_BACKLOG: Final = 1024
"""Connections that wait in the kernel. The kernel drops the SYN of a further one, and its client
sends it again after a second (RFC 6298, section 2.1)."""

_ACCEPTS: Final = 16
"""Accepts in one turn of asyncio's loop. In a flood the other sockets are served after so many,
and without descriptors each failed accept is a traceback in the log."""

Decide: TypeAlias = Callable[[asyncio.Transport], asyncio.BaseProtocol | None]


class Listener:
    """An open listening socket, or several where a name has several addresses."""

    def __init__(self, server: asyncio.Server, path: str) -> None:
        self._server = server
        self._path = path
        self._file = _identity(path) if path else None
        self.addresses: list[Address] = [normalise(s.getsockname()) for s in server.sockets]

    def close(self) -> None:
        """Stop listening, and remove the socket file unless it is another server's now."""
        self._server.close()
        if self._file is not None and _identity(self._path) == self._file:
            with contextlib.suppress(FileNotFoundError):
                Path(self._path).unlink()
            self._file = None

    async def wait_closed(self) -> None:
        """Wait until the sockets are closed."""
        await self._server.wait_closed()


class AcceptProtocol(asyncio.Protocol):
    """The first protocol of every accepted connection; ``decide`` returns the second.

    An event loop asks for a protocol before it has the transport, which tells who the peer is.
    This one has no state, so one object serves all connections, and a connection that ends
    before its transport is there leaves nothing to undo.
    """

    def __init__(self, decide: Decide) -> None:
        self._decide = decide

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass the connection to its own protocol, or drop it."""
        # uvloop's transports do not inherit from asyncio's.
        transport = cast("asyncio.Transport", transport)
        protocol = self._decide(transport)
        if protocol is None:
            transport.abort()
        else:
            transport.set_protocol(protocol)
            protocol.connection_made(transport)


async def listen(
    decide: Decide, endpoint: Endpoint, options: Options, *, keepalive: bool
) -> Listener:
    """Start to listen.

    :param decide: returns the protocol for a new connection, None to drop it
    :param keepalive: whether the kernel probes the clients, since some may know no PING
    :raises ListenError: the address is in use, forbidden or unknown
    """
    loop = asyncio.get_running_loop()
    first = AcceptProtocol(decide)
    try:
        if endpoint.path:
            _remove_stale(endpoint.path)
            server = await loop.create_unix_server(
                lambda: first, endpoint.path, backlog=_ACCEPTS, start_serving=False
            )
        else:
            server = await loop.create_server(
                lambda: first,
                endpoint.host,
                endpoint.port,
                backlog=_ACCEPTS,
                start_serving=False,
            )
        listener = Listener(server, endpoint.path)
        try:
            for sock in server.sockets:
                configure(sock, options, keepalive=keepalive)
            # Not by create_server(): if that is cancelled while it does so, it leaves them open.
            await server.start_serving()
            for sock in server.sockets:
                # asyncio uses `backlog` for listen() and for the accepts in a turn; this sets the
                # former alone.
                with socket.fromfd(sock.fileno(), sock.family, sock.type) as same:
                    same.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    except ListenError:
        raise
    except UnicodeError as error:
        # Host names are encoded by IDNA before they are looked up.
        raise ListenError(f"cannot listen on {endpoint}: this is no host name") from error
    except OSError as error:
        number, why = reason(error)
        raise ListenError(number, f"cannot listen on {endpoint}: {why}") from error
    return listener


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


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
