"""Where to listen or connect: host and port, the path of a Unix socket, or given sockets."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol, Self, TypeAlias, runtime_checkable

from ..errors import ConfigurationError
from .addresses import normalise, show

OpenSocket: TypeAlias = Callable[[], Awaitable[socket.socket]]
"""Returns a new connected socket each time, through a proxy for example."""


@runtime_checkable
class Round(Protocol):
    """Returns a new connected socket each time: to each of several servers once, one after the
    other."""

    server: str
    """The one that was tried last; empty before that."""

    async def __call__(self) -> socket.socket:
        """Return a connection to the next of them that can be reached."""

    @property
    def left(self) -> int:
        """How many more of them there are."""

    @property
    def servers(self) -> Collection[str]:
        """All of them, those included that were left out; none before the first call."""


@runtime_checkable
class Servers(Protocol):
    """Several servers of one name, of which each attempt takes another."""

    @property
    def name(self) -> str:
        """What to call them, where the program gives no host and port."""

    def round(self, waits: Callable[[str], bool]) -> Round:
        """Return what goes through them once, from the one on that is the first now.

        :param waits: returns whether one of them is to be left out
        """


@dataclass(frozen=True)
class Endpoint:
    """Where to connect to, and what through; :meth:`of` checks what a program gave."""

    host: str = ""
    port: int | None = 0
    """None where several servers are called by the name of their records."""
    path: str = ""
    """Empty for TCP."""
    sock: socket.socket | OpenSocket | None = field(default=None, compare=False)
    """What is connected already, or makes it so. Host and port then only name the server."""
    local: tuple[str, int] | None = None
    """From which address to connect."""

    @classmethod
    def of(
        cls, host: object, port: object, path: object, sock: object, local_address: object
    ) -> Self:
        """Return the endpoint.

        :raises ConfigurationError: these cannot go together, or are of wrong types
        """
        if local_address is not None and (path is not None or sock is not None):
            raise ConfigurationError("local_address goes with host and port alone")
        if path is not None:
            if sock is not None:
                raise ConfigurationError("give either path or sock, not both")
            return cls(path=_path(host, port, path))
        if sock is not None:
            _check_connected(sock)
            if host is None and port is None:
                if isinstance(sock, socket.socket):
                    return cls(sock=sock)
                if isinstance(sock, Servers):
                    return cls(host=sock.name, port=None, sock=sock)  # type: ignore[arg-type]
                raise ConfigurationError("give host and port, which name the server, with sock")
        host, port = _host(host), _port(port)
        if local_address is not None and not _is_address(local_address):
            raise ConfigurationError(
                f"local_address is {local_address!r}; use (host, port), with port 0 for any"
            )
        # The checks above have no types for what they let through.
        return cls(host=host, port=port, sock=sock, local=local_address)  # type: ignore[arg-type]

    @classmethod
    def all_of(
        cls, host: object, port: object, path: object, sock: object, local_address: object
    ) -> tuple[Self, ...]:
        """Return the endpoints of a server that may have several, each ``"host:port"``.

        :raises ConfigurationError: these cannot go together, or are of wrong types
        """
        if not isinstance(host, Sequence) or isinstance(host, str | bytes):
            return (cls.of(host, port, path, sock, local_address),)
        if not host:
            raise ConfigurationError("host is an empty list: there is nothing to connect to")
        if port is not None or path is not None or sock is not None:
            raise ConfigurationError(
                "a list of hosts has the port of each, as in ['a:1234', 'b:1234']: give no port, "
                "path or sock beside it"
            )
        return tuple(
            cls.of(host, port, path, None, local_address) for host, port, path in map(_split, host)
        )

    @property
    def server(self) -> str:
        """Which of several servers :meth:`in_turn` has led to; empty where there is one."""
        return self.sock.server if isinstance(self.sock, Round) else ""

    @property
    def servers(self) -> Collection[str]:
        """All of them; empty where there is one, or they are not known."""
        return self.sock.servers if isinstance(self.sock, Round) else ()

    def in_turn(self, waits: Callable[[Self, str], bool]) -> Iterator[Self]:
        """Yield what is to be tried in one round: itself, as often as it has servers.

        :param waits: returns whether one of several servers is to be left out
        """
        several: object = self.sock
        # isinstance() of a Protocol is slow up to Python 3.11, and most clients give None.
        if several is None or not isinstance(several, Servers):
            yield self
            return
        these = several.round(partial(waits, self))
        turn = replace(self, sock=these)
        yield turn
        left = these.left
        while left:
            yield turn
            if these.left == left:
                # Nobody has asked for a connection: the address is passed over, or the attempt
                # failed before. So would the others.
                return
            left = these.left

    @property
    def name(self) -> str:
        """The name in files of known servers: ``host:port``, or the absolute path."""
        return _name(self.path) if self.path else str(self)

    def __str__(self) -> str:
        if not self.host and isinstance(self.sock, socket.socket):
            try:
                return show(normalise(self.sock.getpeername()))
            except OSError:
                return "the given socket"
        if self.port is None:
            return show(self.host)
        return show(self.path or (self.host, self.port))


@dataclass(frozen=True)
class Binding:
    """Where to listen; :meth:`of` checks what a program gave."""

    hosts: tuple[str, ...] = ()
    port: int = 0
    path: str = ""
    socks: tuple[socket.socket, ...] = ()
    """Sockets that are bound already, maybe by another process."""
    reuse_port: bool = False

    @classmethod
    def of(cls, host: object, port: object, path: object, sock: object, reuse_port: object) -> Self:
        """Return where to listen.

        :raises ConfigurationError: these cannot go together, or are of wrong types
        """
        if not isinstance(reuse_port, bool):
            raise ConfigurationError(f"reuse_port is {reuse_port!r}; use True or False")
        if reuse_port and (path is not None or sock is not None):
            raise ConfigurationError("reuse_port goes with host and port alone")
        if reuse_port and not hasattr(socket, "SO_REUSEPORT"):
            raise ConfigurationError("this platform has no SO_REUSEPORT")
        if sock is not None:
            if host is not None or port is not None or path is not None:
                raise ConfigurationError("sock says where to listen: give no host, port or path")
            return cls(socks=_bound(sock))
        if path is not None:
            return cls(path=_path(host, port, path))
        hosts = tuple(map(_host, host if isinstance(host, list | tuple) else [host]))
        if not hosts:
            raise ConfigurationError("host is an empty list: nothing would be listened on")
        return cls(hosts=hosts, port=_port(port), reuse_port=reuse_port)

    def __str__(self) -> str:
        if self.socks:
            return "the given socket"
        return show(self.path) if self.path else ", ".join(show((h, self.port)) for h in self.hosts)


def _split(text: object) -> tuple[str | None, int | None, str | None]:
    """Return host, port and path of one address in a list."""
    if isinstance(text, str):
        if text.startswith("unix:/"):
            return None, None, text.removeprefix("unix:")
        host, _, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        # Without brackets the last part of an IPv6 address would be the port.
        split = host and (bracketed or ":" not in host)
        if split and port.isascii() and port.isdecimal() and 0 < int(port) <= 65535:
            return host, int(port), None
    raise ConfigurationError(
        f"{text!r} in the list of hosts is no address; use 'host:port', '[IPv6]:port', "
        "or 'unix:/path'"
    )


def _host(host: object) -> str:
    if not isinstance(host, str) or not host:
        raise ConfigurationError(
            f"host is {host!r}; use a name or an address, '0.0.0.0' for every IPv4 network, "
            "or give path=... for a Unix socket"
        )
    return host


def _port(port: object) -> int:
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
        raise ConfigurationError(f"port is {port!r}; use a number from 0 to 65535")
    return port


def _path(host: object, port: object, path: object) -> str:
    if host is not None or port is not None:
        raise ConfigurationError("give either host and port, or path, not both")
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    # A first NUL is the abstract namespace of Linux (unix(7)); there is none further on.
    abstract = sys.platform == "linux" and isinstance(text, str) and text[:1] == "\0"
    if not isinstance(text, str) or not text[abstract:] or "\0" in text[abstract:]:
        raise ConfigurationError(f"path is {path!r}; use the path of a Unix socket")
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigurationError("this platform has no Unix sockets: use host and port")
    return text


def _name(path: str) -> str:
    return show(path) if is_abstract(path) else str(Path(path).absolute())


def is_abstract(path: str) -> bool:
    """Return whether a Unix socket has a name in the abstract namespace, and so no file."""
    return path.startswith("\0")


def _check_connected(sock: object) -> None:
    if not isinstance(sock, socket.socket):
        if not callable(sock):
            raise ConfigurationError(
                "sock is a connected socket, or an async function that returns one"
            )
        return
    try:
        sock.getpeername()
    except OSError as error:
        raise ConfigurationError(f"sock is not connected: {error.strerror}") from error
    _check_stream(sock)


def _check_stream(sock: socket.socket) -> None:
    if sock.type != socket.SOCK_STREAM:
        raise ConfigurationError("sock is not a stream socket (SOCK_STREAM)")


def _bound(sock: object) -> tuple[socket.socket, ...]:
    socks = tuple(sock) if isinstance(sock, list | tuple) else (sock,)
    if not socks:
        raise ConfigurationError("sock is an empty list: nothing would be listened on")
    for one in socks:
        if not isinstance(one, socket.socket):
            raise ConfigurationError("sock is a socket, or a list of sockets, to listen on")
        _check_stream(one)
    return socks


def _is_address(address: object) -> bool:
    if not isinstance(address, tuple) or len(address) != 2:
        return False
    _host(address[0])
    _port(address[1])
    return True


def reason(error: OSError) -> tuple[int | None, str]:
    """Return errno, None if there is none, and the error's text without the address.

    Event loops write the address into the text, which the caller does too. Where a name has
    several addresses, asyncio joins the texts of all failures and sets no errno: if the joined
    texts name one number, it is that.
    """
    number = error.errno
    if number is None and len(numbers := set(re.findall(r"\[Errno (\d+)\]", str(error)))) == 1:
        number = int(numbers.pop())
    if number is None and str(error).startswith("could not bind on any address"):
        # asyncio from 3.13 on skips what is not this machine's, and gives no number.
        number = errno.EADDRNOTAVAIL
    if number is None or isinstance(error, socket.gaierror):
        return number, error.strerror or str(error)
    return number, os.strerror(number)
