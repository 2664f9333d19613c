"""Opens the connection to a server: to whichever of its addresses answers first.

A name may have several addresses, and one of them may swallow what is sent to it: an IPv6 route
that leads nowhere, a machine that is down. Attempts to the others begin a moment later, beside the
first (RFC 8305, Happy Eyeballs). asyncio's event loop has that on demand, uvloop has not.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from ..aio.addresses import normalise, show
from ..aio.connection_protocol import ConnectionProtocol
from ..aio.endpoint import Endpoint, reason
from ..errors import ConnectError, ConnectTimeoutError

_ATTEMPT_DELAY: Final = 0.25
"""Seconds before the next address is tried, beside those before it (RFC 8305, section 5)."""

AddressInfo: TypeAlias = tuple[int, int, int, str, Any]
"""What ``getaddrinfo`` returns: family, type, protocol, canonical name, socket address."""


async def dial(endpoint: Endpoint, protocol: ConnectionProtocol, timeout: float) -> None:
    """Open a connection for this protocol.

    :param timeout: seconds for name look-up and connection together
    :raises ConnectTimeoutError: it took longer
    :raises ConnectError: no such host, or no address of it lets us in
    """
    race = Race()
    try:
        async with asyncio.timeout(timeout):
            await _open(endpoint, protocol, race)
    except TimeoutError as error:
        raise ConnectTimeoutError(
            f"cannot connect to {endpoint} within connect_timeout, {timeout:g} s{race.tried()}"
        ) from error
    except UnicodeError as error:
        # Host names are encoded by IDNA before they are looked up.
        raise ConnectError(f"cannot connect to {endpoint}: this is no host name") from error
    except OSError as error:
        number, why = reason(error)
        if number is None and race.failures:
            why = race.describe()
        raise ConnectError(number, f"cannot connect to {endpoint}: {why}") from error


async def _open(endpoint: Endpoint, protocol: ConnectionProtocol, race: Race) -> None:
    loop = asyncio.get_running_loop()

    def factory() -> ConnectionProtocol:
        return protocol

    if endpoint.path:
        await loop.create_unix_connection(factory, endpoint.path)
        return
    host, port = endpoint.host, endpoint.port
    if not is_numeric(host):
        addresses = await resolve(host, port)
        if len(addresses) > 1:
            sock = await race.run(addresses)
            await loop.create_connection(factory, sock=sock)
            return
        host, port = _with_scope(addresses[0][4])[:2]
    await loop.create_connection(factory, host, port)


def is_numeric(host: str) -> bool:
    """Return whether this is an address, which needs no look-up, and not a name."""
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return False
    return True


async def resolve(host: str, port: int) -> list[AddressInfo]:
    """Return the addresses of a host, in the order in which the system prefers them (RFC 6724)."""
    loop = asyncio.get_running_loop()
    return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


class Race:
    """Attempts to connect to several addresses, each begun a little after the one before.

    :ivar failures: what became of each address that was tried, None while it has not answered
    """

    def __init__(self) -> None:
        self.failures: dict[str, OSError | None] = {}

    async def run(self, addresses: Iterable[AddressInfo]) -> socket.socket:
        """Return a socket that is connected to the first that answers.

        :raises OSError: none lets us in; with errno if all say the same
        """
        loop = asyncio.get_running_loop()
        waiting = interleave(addresses)
        running: set[asyncio.Task[socket.socket]] = set()
        try:
            while waiting or running:
                if waiting:
                    running.add(loop.create_task(self._attempt(waiting.pop(0))))
                # The next begins at once where one has failed.
                done, running = await asyncio.wait(
                    running,
                    timeout=_ATTEMPT_DELAY if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                errors = [error for task in done if (error := task.exception()) is not None]
                winners = [task.result() for task in done if task.exception() is None]
                for late in winners[1:]:
                    late.close()
                if winners:
                    return winners[0]
                for error in errors:
                    if not isinstance(error, OSError):
                        raise error
        finally:
            for task in running:
                task.cancel()
                task.add_done_callback(_close)
        numbers = {error.errno for error in self.failures.values() if error is not None}
        if len(numbers) == 1 and (number := numbers.pop()) is not None:
            raise OSError(number, os.strerror(number))
        raise OSError(self.describe())

    async def _attempt(self, address: AddressInfo) -> socket.socket:
        family, kind, protocol, _, target = address
        name = show(normalise(target))
        self.failures[name] = None
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, _with_scope(target))
        except BaseException as error:
            if isinstance(error, OSError):
                self.failures[name] = error
            if sock is not None:
                sock.close()
            raise
        return sock

    def describe(self) -> str:
        """Return what became of each address, in one line."""
        return ", ".join(
            f"{name}: {'no answer' if error is None else reason(error)[1]}"
            for name, error in self.failures.items()
        )

    def tried(self) -> str:
        """Return the same in brackets, behind a text; empty where there was no choice."""
        return f" ({self.describe()})" if self.failures else ""


def interleave(addresses: Iterable[AddressInfo]) -> list[AddressInfo]:
    """Return them in turns by family, the preferred one first (RFC 8305, section 4)."""
    families: dict[int, list[AddressInfo]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


def _with_scope(target: Any) -> Any:
    # uvloop looks the first two fields up again, and forgets the scope of a link-local address.
    if len(target) == 4 and target[3]:
        return (f"{target[0]}%{target[3]}", *target[1:])
    return target


def _close(task: asyncio.Task[socket.socket]) -> None:
    with contextlib.suppress(asyncio.CancelledError, OSError):
        task.result().close()
