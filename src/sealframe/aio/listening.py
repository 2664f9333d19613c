"""Accepts the connections of a server, on all its listening sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from ..errors import ListenError
from ..options import Options
from .addresses import Address, normalise
from .endpoint import Binding, is_abstract, reason
from .listening_sockets import ListeningSocket, bind
from .socket_options import configure

_BACKLOG: Final = 1024
"""Connections that wait in the kernel. The kernel drops the SYN of a further one, and its client
sends it again after a second (RFC 6298, section 2.1)."""

_ACCEPTS: Final = 16
"""Accepts in one turn of asyncio's loop. In a flood the other sockets are served after so many."""

Decide: TypeAlias = Callable[[asyncio.Transport], asyncio.BaseProtocol | None]


class Listener:
    """The open listening sockets of a server.

    :param path: of the socket file that was made for it, empty if there is none
    :param given: whether the sockets were; others may listen on them too
    """

    def __init__(self, socks: list[ListeningSocket], path: str, *, given: bool) -> None:
        self._socks = socks
        self._servers: list[asyncio.Server] = []
        self._path = path
        self._given = given
        self._file = _identity(path) if path else None
        self.addresses: list[Address] = [normalise(s.getsockname()) for s in socks]

    async def start(self, first: AcceptProtocol) -> None:
        """Listen, and accept from now on."""
        loop = asyncio.get_running_loop()
        for sock in self._socks:
            options: dict[str, Any] = {"sock": sock, "backlog": _ACCEPTS, "start_serving": False}
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                server = await loop.create_server(lambda: first, **options)
            else:
                if sys.version_info >= (3, 13):
                    # We know whose the file is.
                    options["cleanup_socket"] = False
                server = await loop.create_unix_server(lambda: first, **options)
            self._servers.append(server)
        for server, sock in zip(self._servers, self._socks, strict=True):
            await server.start_serving()
            # asyncio uses `backlog` for listen() and for the accepts in a turn; this sets the
            # former alone.
            sock.listen(_BACKLOG)

    def close(self) -> None:
        """Stop listening, and remove the socket file unless it is another server's now.

        What asyncio accepted in this very turn has no transport yet. Made after the close of its
        server, the transport fails, and the collector writes a traceback of ``Server._wakeup``
        (from Python 3.13 on) while the socket stays open. So accepting ends now, and the server
        is closed after what waits in the loop; then whoever decides drops such a connection.
        """
        loop = asyncio.get_running_loop()
        for sock in self._socks[: len(self._servers)]:
            # Windows' proactor has no readers, and cancels an accept only with the server.
            with contextlib.suppress(NotImplementedError, ValueError):
                loop.remove_reader(sock)
        for sock in self._socks:
            if not self._given:
                # A process that was forked meanwhile holds the socket too, and would have the
                # kernel accept clients that nobody ever serves.
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for server in self._servers:
            loop.call_soon(server.close)
        for sock in self._socks[len(self._servers) :]:
            sock.close()
        if self._file is not None and _identity(self._path) == self._file:
            with contextlib.suppress(FileNotFoundError):
                Path(self._path).unlink()
            self._file = None

    async def wait_closed(self) -> None:
        """Wait until the sockets are closed."""
        for server in self._servers:
            await server.wait_closed()


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
    decide: Decide, binding: Binding, options: Options, *, keepalive: bool
) -> Listener:
    """Start to listen.

    :param decide: returns the protocol for a new connection, None to drop it
    :param keepalive: whether the kernel probes the clients, since some may know no PING
    :raises ListenError: the address is in use, forbidden or unknown
    """
    try:
        socks = await bind(binding)
        for sock in socks:
            configure(sock, options, keepalive=keepalive)
        path = "" if is_abstract(binding.path) else binding.path
        listener = Listener(socks, path, given=bool(binding.socks))
        try:
            await listener.start(AcceptProtocol(decide))
        except BaseException:
            listener.close()
            raise
    except ListenError:
        raise
    except UnicodeError as error:
        # Host names are encoded by IDNA before they are looked up.
        raise ListenError(f"cannot listen on {binding}: this is no host name") from error
    except OSError as error:
        number, why = reason(error)
        raise ListenError(number, f"cannot listen on {binding}: {why}") from error
    return listener


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
