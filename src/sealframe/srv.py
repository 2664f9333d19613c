"""Servers that DNS names, with priorities and weights (SRV records, RFC 2782); needs
``pip install "sealframe[srv]"``::

    from sealframe.srv import Service

    chat = Service("_chat._tcp.example.org")
    async for conn in sealframe.connect(sock=chat):
        ...

Texts and the file of known servers call the service by the name of its records, or by host and port
where these are given beside it. All its servers have one line in that file, and so one key.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from .errors import ConfigurationError, MissingExtraError

try:
    from dns.asyncresolver import Resolver
    from dns.exception import DNSException
    from dns.resolver import NXDOMAIN, NoAnswer
except ImportError as error:
    raise MissingExtraError(
        'SRV records need the dnspython package: run: pip install "sealframe[srv]"'
    ) from error

__all__ = ["Service"]

_EACH: Final = 2.0
_NAME: Final = re.compile(r"_[^\s:/]+\._tcp\.[^\s:/]+")


class Service:
    """A service whose servers are in SRV records: what ``connect()`` takes as ``sock``.

    Each time that a client connects it looks them up anew, and tries one after the other until one
    lets it in: those of the lowest priority number first, among these at random by weight
    (RFC 2782). One that refuses the client, or whose handshake fails, is not the end of it: the
    next is tried at once. A session is over once the server that had it says so, or all of them do.
    ``connect_timeout`` is that of each such attempt; those in between that cannot be reached are
    part of the next one.

    :param name: of the records, ``"_service._tcp.example.org"``
    :param each: seconds for each address of each server
    :param resolver: of dnspython, with other DNS servers than the system's
    :raises ConfigurationError: the name is no such name, or ``each`` is not above 0, or
        without an end
    """

    def __init__(self, name: str, *, each: float = _EACH, resolver: Resolver | None = None) -> None:
        given: object = name
        if not isinstance(given, str) or not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} cannot be the name of SRV records: write '_service._tcp.example.org', "
                "without a port, which the records tell"
            )
        if not 0 < each < math.inf:
            raise ConfigurationError(f"each is {each!r}; use seconds above 0")
        self.name = name
        self._each = each
        self._resolver = resolver

    def __repr__(self) -> str:
        return f"Service({self.name!r})"

    async def look_up(self) -> list[tuple[str, int]]:
        """Return host and port of each server, in the order in which they are to be tried now.

        :raises OSError: there are no such records, they say that there is no such service, or DNS
            does not answer
        """
        try:
            # It raises where the system has no DNS servers.
            resolver = Resolver() if self._resolver is None else self._resolver
            answer = await resolver.resolve(self.name, "SRV")
        except (NXDOMAIN, NoAnswer):
            raise OSError(f"DNS has no SRV records of {self.name}") from None
        except DNSException as error:
            raise OSError(f"DNS does not tell the SRV records of {self.name}: {error}") from error
        assert answer.rrset is not None
        found = [
            (record.target.to_text(omit_final_dot=True), record.port)
            for record in answer.rrset.processing_order()
        ]
        if found == [(".", found[0][1])]:
            # RFC 2782, "Target": a single root says that the service is decidedly not there.
            raise OSError(f"DNS says that there is no service {self.name}")
        return found

    async def __call__(self) -> socket.socket:
        """Return a new connection to one of the servers.

        :raises OSError: none can be reached
        """
        return await self.round()()

    def round(self, waits: Callable[[str], bool] = lambda _server: False) -> ServiceRound:
        """Return what goes through the servers once; ``connect()`` calls this.

        :param waits: called with the ``"host:port"`` of each: whether it is to be left out, as one
            that has asked not to be asked again before a time
        """
        return ServiceRound(self, waits)

    async def connect(self, host: str, port: int) -> socket.socket:
        """Return a new connection to one server.

        :raises OSError: it cannot be reached
        """
        loop = asyncio.get_running_loop()
        failure: OSError | None = None
        for family, kind, _, _, address in await loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind)
            try:
                sock.setblocking(False)
                async with asyncio.timeout(self._each):
                    await loop.sock_connect(sock, address)
            except TimeoutError:
                sock.close()
                failure = OSError(f"no answer within {self._each:g} s")
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure or OSError("the name has no address")


class ServiceRound:
    """Goes through the servers of a service once, in the order in which they were found first."""

    def __init__(self, service: Service, waits: Callable[[str], bool]) -> None:
        self._service = service
        self._waits = waits
        self._servers: deque[tuple[str, int]] | None = None
        self._found: list[str] = []
        self.server = ""
        """The ``"host:port"`` that was tried last; empty before that."""

    @property
    def left(self) -> int:
        """How many servers were not tried."""
        return len(self._servers or ())

    @property
    def servers(self) -> list[str]:
        """All that were found, those included that are left out; none before the first call."""
        return self._found

    async def __call__(self) -> socket.socket:
        """Return a new connection to the next that can be reached.

        :raises OSError: none of those that are left
        """
        name = self._service.name
        if self._servers is None:
            found = await self._service.look_up()
            self._found = [f"{host}:{port}" for host, port in found]
            due = (one for one in found if not self._waits(f"{one[0]}:{one[1]}"))
            self._servers = deque(due)
            if not self._servers:
                raise OSError(f"each server of {name} has asked not to be asked again so soon")
        failures = []
        while self._servers:
            host, port = self._servers.popleft()
            self.server = f"{host}:{port}"
            try:
                return await self._service.connect(host, port)
            except OSError as error:
                failures.append(f"{self.server}: {_why(error)}")
        raise OSError(f"no server of {name} can be reached: {', '.join(failures)}")


def _why(error: OSError) -> str:
    # Event loops write the address into the text; those of name look-ups have numbers of their own.
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)
