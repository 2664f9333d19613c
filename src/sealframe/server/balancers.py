"""Clients behind load balancers, which tell their addresses by the PROXY protocol.

accept → peer trusted? → its header is read → the connection goes to the registry, under the address
of the client. It counts there from then on; until then it is one of those that wait here.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import secrets
import socket
from collections.abc import Callable, Sequence, Sized
from typing import Final, Self, TypeAlias

from ..aio.addresses import Address, address_of
from ..aio.connection_protocol import ConnectionProtocol
from ..aio.time_limit import Expiry
from ..errors import ConfigurationError
from ..options import ServerOptions
from ..wire.proxy_header import ProxyHeaderReader, Relayed
from .admission import RandomSet
from .connection_log import ConnectionLog
from .reject import RejectedClient

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

ClientProtocol: TypeAlias = ConnectionProtocol | RejectedClient
Accept: TypeAlias = Callable[[asyncio.Transport, Relayed | None], ClientProtocol | None]

_UNIX: Final = "unix"
_THIS_MACHINE: Final = ("127.0.0.0/8", "::1", _UNIX)

_READ_SIZE: Final = 256
"""Bytes that are read at a time. Most headers are shorter; what comes behind one goes on."""


class TrustedPeers:
    """The balancers whose word is taken for the addresses of clients.

    :param unix: whether whoever comes over a Unix socket is one
    """

    def __init__(self, networks: Sequence[_Network], *, unix: bool) -> None:
        self._networks = networks
        self._unix = unix

    @classmethod
    def of(cls, given: object) -> Self | None:
        """Return what ``proxy_protocol`` says, None for no such protocol.

        :raises ConfigurationError: it is none of what it may be
        """
        if given is False:
            return None
        if given is True:
            given = _THIS_MACHINE
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
            raise ConfigurationError(
                f"proxy_protocol is {given!r}; use True, or the networks of the balancers: "
                "['10.0.0.0/8', 'unix']"
            )
        if not names:
            raise ConfigurationError("proxy_protocol trusts nobody: name the balancers' networks")
        try:
            networks = [ipaddress.ip_network(name) for name in names if name != _UNIX]
        except ValueError as error:
            raise ConfigurationError(f"proxy_protocol: {error}") from None
        return cls(networks, unix=_UNIX in names)

    def __str__(self) -> str:
        names = [str(network) for network in self._networks]
        if self._unix:
            names.append("Unix sockets")
        return ", ".join(names)

    def trusts(self, transport: asyncio.BaseTransport) -> bool:
        """Return whether the peer of a new connection is one of them."""
        name = transport.get_extra_info("peername")
        if not isinstance(name, tuple):
            return self._unix and _is_unix(transport)
        address = ipaddress.ip_address(name[0].partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            # On a socket for both (RFC 4291, section 2.5.5.2).
            address = address.ipv4_mapped or address
        return any(address in network for network in self._networks)


class HeaderReading:
    """Reads the header of each new connection, and hands the connection on.

    :param connections: those that were handed on and are still there
    :param accept: returns the protocol that goes on with a connection, None to drop it
    """

    def __init__(
        self,
        trusted: TrustedPeers,
        options: ServerOptions,
        log: ConnectionLog,
        connections: Sized,
        accept: Accept,
    ) -> None:
        self.log = log
        self.accept = accept
        self._trusted = trusted
        self._limit = options.max_connections
        self._timeout = options.handshake_timeout
        self._connections = connections
        self._waiting: RandomSet[HeaderProtocol] = RandomSet()
        self._closed = False

    def begin(self, transport: asyncio.Transport) -> HeaderProtocol | None:
        """Return the protocol for a new connection, None to drop it."""
        if self._closed:
            # It was accepted in the moment of the close.
            return None
        who = address_of(transport, "peername")
        if who is None and not _is_unix(transport):
            # Its peer was gone before anybody could ask for the address.
            self.log.probed_balancer(who)
            return None
        if not self._trusted.trusts(transport):
            self.log.refused_untrusted(who, self._trusted)
            return None
        if self._waiting and len(self._waiting) + len(self._connections) >= self._limit:
            self.log.dropped_handshake(who, len(self._waiting))
            self._waiting.pick(secrets.randbelow).drop()
        protocol = HeaderProtocol(self, transport, who, self._timeout)
        self._waiting.add(protocol)
        return protocol

    def close(self) -> None:
        """Drop all that wait for their header, and whoever comes."""
        self._closed = True
        while self._waiting:
            self._waiting.pick(lambda _: 0).drop()

    def discard(self, protocol: HeaderProtocol) -> None:
        """Forget one that waits no more."""
        self._waiting.discard(protocol)


class HeaderProtocol(asyncio.BufferedProtocol):
    """Reads up to the end of the header; what stands behind it goes to the next protocol.

    :param reading: decides who is next, and has the log
    :param who: the peer
    """

    __slots__ = ("_buffer", "_next", "_reader", "_reading", "_timer", "_transport", "_who")

    def __init__(
        self, reading: HeaderReading, transport: asyncio.Transport, who: Address, timeout: float
    ) -> None:
        self._reading = reading
        self._transport = transport
        self._who = who
        text = f"it sent no PROXY header within handshake_timeout, {timeout:g} s"
        expire = functools.partial(self._refuse, text)
        self._timer: Expiry | None = Expiry(asyncio.get_running_loop(), timeout, expire)
        self._buffer = bytearray(_READ_SIZE)
        # None once the header, or the wait for it, is over.
        self._reader: ProxyHeaderReader | None = ProxyHeaderReader()
        self._next: ClientProtocol | None = None

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        """Return where the next bytes go."""
        # Windows' event loop hands over a whole read to the protocol that it began with.
        return self._buffer if self._next is None else self._next.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """Take in the bytes of one read."""
        if self._next is not None:
            self._next.buffer_updated(nbytes)
        elif self._reader is not None:
            try:
                rest = self._reader.feed(bytes(self._buffer[:nbytes]))
            except ValueError as error:
                self._refuse(str(error))
                return
            if rest is not None:
                self._hand_on(self._reader.relayed, rest)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it went without a header."""
        if self._reader is None:
            return
        if self._reader.started:
            self._refuse("it went in the middle of its PROXY header")
        else:
            self._finish()
            self._reading.log.probed_balancer(self._who)

    def drop(self) -> None:
        """Wait no more."""
        self._finish()
        self._transport.abort()

    def _refuse(self, why: str) -> None:
        self.drop()
        self._reading.log.refused_header(self._who, why)

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # The one refers to this object.
        self._timer = self._reader = None
        self._reading.discard(self)

    def _hand_on(self, relayed: Relayed | None, rest: bytes) -> None:
        self._finish()
        transport = self._transport
        protocol = self._next = self._reading.accept(transport, relayed)
        if protocol is None:
            transport.abort()
            return
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        while rest and not transport.is_closing():
            buffer = protocol.get_buffer(len(rest))
            size = min(len(buffer), len(rest))
            with memoryview(buffer) as target:
                target[:size] = rest[:size]
            protocol.buffer_updated(size)
            rest = rest[size:]


def _is_unix(transport: asyncio.BaseTransport) -> bool:
    sock = transport.get_extra_info("socket")
    return sock is not None and sock.family == getattr(socket, "AF_UNIX", None)
