"""Where a server listens: TCP addresses and Unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import ConfigurationError, ListenError
from .addresses import show


@dataclass
class Listener:
    """An address to listen on: host and port, or the path of a Unix socket.

    :raises ConfigurationError: neither or both, or not of these types
    """

    host: str | None
    port: int | None
    path: str | os.PathLike[str] | None
    _made: tuple[int, int] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_address(self.host, self.port, self.path)

    def __str__(self) -> str:
        if self.path is not None:
            return os.fspath(self.path)
        assert self.host is not None and self.port is not None
        return show((self.host, self.port))

    def remember(self) -> None:
        """Note which socket file was made, so that only that one is removed."""
        if self.path is not None:
            status = os.stat(self.path)
            self._made = (status.st_dev, status.st_ino)

    def clean_up(self) -> None:
        """Remove the socket file, unless another server has put its own there."""
        if self.path is None or self._made is None:
            return
        with contextlib.suppress(OSError):
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) == self._made:
                os.unlink(self.path)


def check_address(
    host: object, port: object, path: object
) -> None:
    """Check that there is either host and port, or a path.

    :raises ConfigurationError: there is not
    """
    if path is not None:
        if host is not None or port is not None:
            raise ConfigurationError("give either host and port, or path, not both")
        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError(f"path is {path!r}; use the path of a Unix socket")
        if not hasattr(socket, "AF_UNIX"):
            raise ConfigurationError("this platform has no Unix sockets; use host and port")
        return
    if not isinstance(host, str) or not host:
        raise ConfigurationError(
            f"host is {host!r}; use a name or an address, '0.0.0.0' for every IPv4 network, "
            "or give path=... for a Unix socket"
        )
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
        raise ConfigurationError(f"port is {port!r}; use a number from 0 to 65535")


async def listen(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], asyncio.BaseProtocol],
    listener: Listener,
) -> asyncio.Server:
    """Start to listen.

    :raises ListenError: the address is in use, forbidden or unknown
    """
    try:
        if listener.path is None:
            return await loop.create_server(
                factory, listener.host, listener.port, backlog=_BACKLOG
            )
        _remove_stale(os.fspath(listener.path))
        server = await loop.create_unix_server(factory, listener.path, backlog=_BACKLOG)
        listener.remember()
        return server
    except OSError as error:
        why = error.strerror or str(error)
        raise ListenError(error.errno, f"cannot listen on {listener}: {why}") from error


_BACKLOG = 1024


def _remove_stale(path: str) -> None:
    """Remove the socket file that a dead server left, and only that.

    An event loop would remove the file of a living server just as well.
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "something that is not a socket is there")
    except FileNotFoundError:
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.setblocking(False)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    except BlockingIOError:
        raise OSError(errno.EADDRINUSE, "address already in use") from None
    else:
        raise OSError(errno.EADDRINUSE, "address already in use")
    finally:
        probe.close()
