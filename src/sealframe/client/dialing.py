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
from collections.abc import Callable, Iterable
from typing import Any, Final

from ..aio.addresses import AddressInfo, is_numeric, look_up, normalise, show
from ..aio.connection_protocol import ConnectionProtocol
from ..aio.endpoint import Endpoint, OpenSocket, is_abstract, reason
from ..aio.time_limit import TimeLimit
from ..errors import ConnectError, ConnectTimeoutError

_ATTEMPT_DELAY: Final = 0.25
"""Seconds before the next address is tried, beside those before it (RFC 8305, section 5)."""


async def dial(endpoint: Endpoint, protocol: ConnectionProtocol, timeout: float) -> None:
    """Open a connection for this protocol.

    :param timeout: seconds for name look-up and connection together
    :raises ConnectTimeoutError: it took longer
    :raises ConnectError: no such host, or no address of it lets us in
    """
    race = Race()
    try:
        async with TimeLimit(timeout):
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

    if endpoint.sock is not None:
        await _use(endpoint.sock, factory)
        return
    if is_abstract(endpoint.path):
        # uvloop would take the name to end where it begins.
        sock = await _connected(socket.AF_UNIX, endpoint.path)
        await loop.create_unix_connection(factory, sock=sock)
        return
    if endpoint.path:
        await loop.create_unix_connection(factory, endpoint.path)
        return
    host, port, local = endpoint.host, endpoint.port, endpoint.local
    assert port is not None
    if not is_numeric(host):
        addresses = await look_up(host, port)
        if len(addresses) > 1:
            sock = await race.run(addresses, [] if local is None else await look_up(*local))
            await loop.create_connection(factory, sock=sock)
            return
        host, port = _with_scope(addresses[0][4])[:2]
    await loop.create_connection(factory, host, port, local_addr=local)


async def _use(
    given: socket.socket | OpenSocket, factory: Callable[[], ConnectionProtocol]
) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(given, socket.socket):
        sock = given
    else:
        try:
            sock = await given()
        except (OSError, TimeoutError):
            raise
        except Exception as error:
            # Libraries for proxies have errors of their own; to us it is a failed attempt.
            raise OSError(f"{type(error).__name__}: {error}") from error
        if not isinstance(sock, socket.socket):
            raise TypeError(f"sock returned {type(sock).__name__}, not a connected socket")
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        await loop.create_connection(factory, sock=sock)
    else:
        await loop.create_unix_connection(factory, sock=sock)


class Race:
    """Attempts to connect to several addresses, each begun a little after the one before.

    :ivar failures: what became of each address that was tried, None while it has not answered
    """

    def __init__(self) -> None:
        self.failures: dict[str, OSError | None] = {}

    async def run(
        self, addresses: Iterable[AddressInfo], local: Iterable[AddressInfo] = ()
    ) -> socket.socket:
        """Return a socket that is connected to the first that answers.

        :param local: from where to connect, empty for anywhere; what it has no family for is
            not tried
        :raises OSError: none lets us in; with errno if all say the same
        """
        loop = asyncio.get_running_loop()
        sources = {address[0]: address[4] for address in local}
        waiting = interleave(a for a in addresses if not sources or a[0] in sources)
        running: set[asyncio.Task[socket.socket]] = set()
        try:
            while waiting or running:
                if waiting:
                    running.add(loop.create_task(self._attempt(waiting.pop(0), sources)))
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
        raise OSError(self.describe() or "local_address is of another family")

    async def _attempt(self, address: AddressInfo, sources: dict[int, Any]) -> socket.socket:
        family, target = address[0], address[4]
        name = show(normalise(target))
        self.failures[name] = None
        try:
            return await _connected(family, _with_scope(target), sources.get(family))
        except OSError as error:
            self.failures[name] = error
            raise

    def describe(self) -> str:
        """Return what became of each address, in one line."""
        return ", ".join(
            f"{name}: {'no answer' if error is None else reason(error)[1]}"
            for name, error in self.failures.items()
        )

    def tried(self) -> str:
        """Return the same in brackets, behind a text; empty where there was no choice."""
        return f" ({self.describe()})" if self.failures else ""


async def _connected(family: int, target: Any, source: Any = None) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if source is not None:
            sock.bind(source)
        await asyncio.get_running_loop().sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    return sock


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
