"""Opens what a server listens on: TCP ports and Unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .addresses import Address, normalise
from .endpoint import Endpoint, reason
from .errors import ListenError

_BACKLOG: Final = 128
"""Also how many accepts asyncio tries at a time, all in vain without descriptors."""


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


async def listen(factory: Callable[[], asyncio.BaseProtocol], endpoint: Endpoint) -> Listener:
    """Start to listen.

    :raises ListenError: the address is in use, forbidden or unknown
    """
    loop = asyncio.get_running_loop()
    try:
        if endpoint.path:
            _remove_stale(endpoint.path)
            server = await loop.create_unix_server(
                factory, endpoint.path, backlog=_BACKLOG, start_serving=False
            )
        else:
            server = await loop.create_server(
                factory, endpoint.host, endpoint.port, backlog=_BACKLOG, start_serving=False
            )
        listener = Listener(server, endpoint.path)
        try:
            # Not by create_server(): if that is cancelled here, asyncio leaves it serving.
            await server.start_serving()
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
    """Remove the socket file that a dead server left, and only that.

    An event loop would remove the file of a living server just as well.
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
            # Its queue is full: somebody does listen.
            raise OSError(errno.EADDRINUSE, "address already in use") from None
        else:
            raise OSError(errno.EADDRINUSE, "address already in use")
