"""The one port of several processes."""

from __future__ import annotations

import errno
import socket
from typing import Final

import click

from ... import ListenError
from ..address import TcpAddress

_NOT_HERE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Of an address that this machine does not have."""


def check_platform() -> None:
    """Refuse where processes cannot share a port.

    :raises click.UsageError: there is no SO_REUSEPORT
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise click.UsageError(
            "--workers needs SO_REUSEPORT, which this platform has not: start a relay for each "
            "port, all with the same --cluster URL"
        )


class Reservation:
    """Keeps the port of an address for the workers, until they listen.

    :param address: where; port 0 takes a free one
    :ivar addresses: where the workers are to listen, all with the same port
    :raises ListenError: the address is in use, forbidden or unknown
    """

    def __init__(self, address: TcpAddress) -> None:
        self._socks: list[socket.socket] = []
        try:
            self._bind(address)
        except OSError as error:
            self.close()
            text = f"cannot listen on {address}: {error.strerror or error}"
            raise ListenError(error.errno, text) from error
        self.addresses: list[tuple[str, int]] = [sock.getsockname()[:2] for sock in self._socks]

    @property
    def port(self) -> int:
        """The port of all addresses."""
        return self.addresses[0][1]

    def close(self) -> None:
        """Let go of it. Elsewhere than on Linux the kernel could give it clients, later on."""
        for sock in self._socks:
            sock.close()

    def _bind(self, address: TcpAddress) -> None:
        port = address.port
        found = socket.getaddrinfo(address.host, port, type=socket.SOCK_STREAM)
        failure: OSError | None = None
        for family, _, _, _, target in found:
            try:
                sock = _bound(family, (target[0], port, *target[2:]))
            except OSError as error:
                # Of a name's addresses some may be no address of this machine.
                if len(found) == 1 or error.errno not in _NOT_HERE:
                    raise
                failure = error
                continue
            self._socks.append(sock)
            port = sock.getsockname()[1]
        if failure is not None and not self._socks:
            raise failure


def _bound(family: int, target: tuple[object, ...]) -> socket.socket:
    # First without SO_REUSEPORT: other relays share their ports as well, and this one is not to
    # get a part of their clients. A port that the kernel chooses is nobody's.
    if target[1]:
        with _socket(family) as probe:
            probe.bind(target)
    sock = _socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(target)
    except BaseException:
        sock.close()
        raise
    return sock


def _socket(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock
