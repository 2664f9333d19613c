"""One run: connections through a proxy that cuts them, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal

from aio.cutting import CuttingProxy, Fault, Plan, always, drawn
from aio.ends import Mode, ModeName

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    ConnectError,
    Connection,
    ConnectionClosed,
    Inbox,
    ServerOptions,
    Sessions,
    Stream,
)

from .books import Books, Finding
from .load import Direction, End

STUCK: Final = 20.0
"""Seconds without progress after which a run is given up."""
_LIFETIME: Final = 2.0
"""Seconds for which there is load on a session, on average."""
_OPTIONS: Final[dict[str, Any]] = {
    # After half a second an end knows that the other is gone.
    "keepalive_interval": 0.25,
    "keepalive_timeout": 0.25,
    "handshake_timeout": 2.0,
    "close_timeout": 30.0,
    # Little is to be sent again, so that each connection brings something new.
    "outbox_limit": 128 * 1024,
}
_DESCRIPTORS: Final = Path("/proc/self/fd")


@dataclass(frozen=True)
class Scenario:
    """What is run."""

    seed: int = 1
    cuts: int = 100
    """How many connections are cut before the calm. 0: there are no sessions, and nothing is
    cut."""
    mode: ModeName = "extended"
    pairs: int = 1
    """How many clients talk to the server at a time."""
    seconds: float = 1.0
    """For how long at least there is load."""
    acknowledge: Literal["received", "taken"] = "received"
    """What the server acknowledges."""


@dataclass
class Figures:
    """What came of it."""

    books: Books
    seconds: float = 0.0
    connections: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    cancelled: int = 0
    """Awaits."""
    left: list[str] = field(default_factory=list)
    """What should be gone, and is not."""

    @property
    def clean(self) -> bool:
        """Whether all is as it should be."""
        return not self.books.found and not self.left

    def __str__(self) -> str:
        cuts = sum(n for each, n in self.faults.items() if each.breaks)
        faults = ", ".join(f"{self.faults[each]:,} {each.name}" for each in Fault)
        arrived = ", ".join(f"{n:,} {kind}s" for kind, n in sorted(self.books.arrived.items()))
        links = f"{self.connections:,} connections, {cuts:,} cut ({faults})"
        return "\n".join(
            [
                f"seed {self.books.seed}: {self.seconds:.1f} s, {links}",
                f"arrived: {arrived}; {self.cancelled:,} awaits were cancelled",
                f"wrong: {self.books.counts()}; left: {self.left or 'nothing'}",
                *self.books.examples,
            ]
        )


class _Closing(Enum):
    """Who closes, and when."""

    IDLE = "the client, once all has arrived and nothing is kept any more"
    CLIENT = "the client, once all is accepted at both ends"
    SERVER = "the server, likewise"


class _Pair:
    """One client, and the server's end of its connection."""

    def __init__(self, books: Books, number: int) -> None:
        rng = books.rng(number, "pair")
        self.closing = rng.choice(list(_Closing))
        self.seconds = rng.expovariate(1 / _LIFETIME)
        """For how long there is load."""
        self.hello = str(number).encode()
        self.up = Direction(books, f"{number} up")
        self.down = Direction(books, f"{number} down")
        self.client: End | None = None
        self.server: End | None = None
        self.asked = asyncio.Event()
        """Once the client's end has finished all that it began."""
        self.answered = asyncio.Event()
        """Once the server's has."""
        self.handled = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether all messages have arrived, and nothing is kept any more."""
        complete = self.up.messages.complete and self.down.messages.complete
        return complete and not any(end.retained for end in self.ends)

    def stop(self) -> None:
        """Begin nothing new."""
        for end in self.ends:
            end.stopping = True

    @property
    def ends(self) -> list[End]:
        """Both, as far as they are there."""
        return [end for end in (self.client, self.server) if end is not None]


class Run:
    """A server, its clients, and the proxy between them.

    :param directory: for files, both those that are sent and those that arrive
    """

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self._scenario = scenario
        self._books = Books(scenario.seed)
        self._mode = Mode(scenario.mode)
        self._arrived = directory / "arrived"
        self._sending = directory / "sending"
        self._sending.mkdir()
        self._pairs: list[_Pair] = []
        self._calm = asyncio.Event()
        self._strangers = 0
        self._failed: BaseException | None = None

    async def run(self) -> Figures:
        """Run it, and return what came of it: no finding is raised."""
        figures = Figures(self._books)
        # libuv keeps a descriptor in reserve once it has listened.
        async with CuttingProxy(0):
            before = _descriptors()
        began = time.perf_counter()
        try:
            await self._run(figures)
        except* Exception as errors:  # noqa: BLE001 - it is part of what came of it
            for error in _leaves(errors):
                self._report(error)
        figures.seconds = time.perf_counter() - began
        figures.cancelled = sum(end.impatience.cancelled for p in self._pairs for end in p.ends)
        for pair in self._pairs:
            pair.up.settle(self._arrived)
            pair.down.settle(self._arrived)
        figures.left = await _left(before)
        return figures

    async def _run(self, figures: Figures) -> None:
        cuts, seed = self._scenario.cuts, self._scenario.seed
        inbox = Inbox(self._arrived, keep_free=0)
        sessions: dict[str, Any] = {}
        if cuts:
            sessions["sessions"] = Sessions(acknowledge=self._scenario.acknowledge)
        serving = sealframe.serve(
            self._handle,
            "127.0.0.1",
            0,
            on_request=_on_request,
            on_stream=_on_stream,
            files=inbox,
            options=ServerOptions(**_OPTIONS),
            **self._mode.server,
            **sessions,
        )
        plans = drawn(seed) if cuts else always(Plan(piece=7))
        async with serving as server, CuttingProxy(server.port, plans=plans) as proxy:
            figures.faults = proxy.faults
            try:
                async with asyncio.TaskGroup() as tasks:
                    watching = tasks.create_task(self._watch(proxy))
                    loading = [
                        tasks.create_task(self._one_after_the_other(proxy, inbox))
                        for _ in range(self._scenario.pairs)
                    ]
                    calming = tasks.create_task(self._calm_down(proxy))
                    await asyncio.gather(*loading, calming)
                    watching.cancel()
            finally:
                figures.connections = proxy.connections
            if len(server.clients) > self._strangers:
                self._books.report(Finding.FAILED, f"the end of {[*server.clients]}")

    async def _calm_down(self, proxy: CuttingProxy) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._scenario.seconds
        while proxy.cuts < self._scenario.cuts or loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        proxy.calm()
        self._calm.set()
        for pair in self._pairs:
            pair.stop()

    async def _watch(self, proxy: CuttingProxy) -> None:
        seen, since = -1, 0.0
        loop = asyncio.get_running_loop()
        while True:
            progress = sum(self._books.arrived.values())
            if progress != seen:
                seen, since = progress, loop.time()
            if self._failed is not None:
                raise self._failed
            if loop.time() - since > STUCK:
                stacks = [_stack(task) for task in asyncio.all_tasks()]
                raise TimeoutError("\n".join(["nothing arrives any more", *stacks]))
            await asyncio.sleep(0.1)

    # The client's end

    async def _one_after_the_other(self, proxy: CuttingProxy, inbox: Inbox) -> None:
        while not self._calm.is_set():
            pair = _Pair(self._books, len(self._pairs))
            self._pairs.append(pair)
            await self._talk(pair, proxy, inbox)

    async def _talk(self, pair: _Pair, proxy: CuttingProxy, inbox: Inbox) -> None:
        async def on_request(_: Connection, payload: bytes) -> bytes:
            assert pair.client is not None
            return await pair.client.on_request(payload)

        async def on_stream(stream: Stream) -> None:
            assert pair.client is not None
            await pair.client.on_stream(stream)

        session: dict[str, Any] = {"session": True} if self._scenario.cuts else {}
        connecting = sealframe.connect(
            "127.0.0.1",
            proxy.port,
            on_request=on_request,
            on_stream=on_stream,
            files=inbox,
            options=ClientOptions(
                **_OPTIONS, connect_timeout=2.0, backoff_initial=0.002, backoff_maximum=0.1
            ),
            **self._mode.client,
            **session,
        )
        conn = await self._connect(connecting)
        end = pair.client = self._end(conn, pair.up, pair.down)
        async with _dropping(conn):
            await conn.send(pair.hello)
            assert await conn.recv() == b"ready"
        stop = asyncio.get_running_loop().call_later(pair.seconds, pair.stop)
        async with _dropping(conn), asyncio.TaskGroup() as tasks:
            receiving = tasks.create_task(end.receive())
            await end.produce()
            pair.asked.set()
            await pair.answered.wait()
            if pair.closing is _Closing.SERVER:
                await receiving
            while pair.closing is _Closing.IDLE and not pair.idle:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            if not await conn.close():
                self._books.report(Finding.FAILED, f"the close of {pair.up.name}")
        stop.cancel()
        await pair.handled.wait()
        self._books.arrived["session"] += 1

    async def _connect(self, connecting: sealframe.Connecting) -> Connection:
        while True:
            try:
                return await connecting
            except (ConnectError, ConnectionClosed):
                if not self._scenario.cuts:
                    raise
                await asyncio.sleep(0.01)

    # The server's end

    async def _handle(self, conn: Connection) -> None:
        self._strangers += 1
        try:
            hello = await conn.recv()
        except ConnectionClosed:
            # Its client could not know that it was there, and began anew.
            return
        finally:
            self._strangers -= 1
        pair = self._pairs[int(hello)]
        if pair.server is not None:
            self._books.report(Finding.DOUBLED, f"the session of {pair.up.name}")
            return
        try:
            end = conn.state.end = pair.server = self._end(conn, pair.down, pair.up)
            await conn.send(b"ready")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(end.receive())
                await end.produce()
                pair.answered.set()
                if pair.closing is _Closing.SERVER:
                    await pair.asked.wait()
                    if not await conn.close():
                        self._books.report(Finding.FAILED, f"the close of {pair.down.name}")
        except* Exception as errors:  # noqa: BLE001 - who watches raises it
            self._failed = self._failed or errors
        finally:
            pair.handled.set()

    def _end(self, conn: Connection, out: Direction, back: Direction) -> End:
        end = End(conn, out, back, self._sending)
        end.stopping = self._calm.is_set()
        return end

    def _report(self, error: BaseException) -> None:
        where = [f"{f.name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)[-4:]]
        self._books.report(Finding.FAILED, f"{error!r} in {' > '.join(where)}")


async def _on_request(conn: Connection, payload: bytes) -> bytes:
    end: End = conn.state.end
    return await end.on_request(payload)


async def _on_stream(stream: Stream) -> None:
    end: End = stream.connection.state.end
    await end.on_stream(stream)


@contextlib.asynccontextmanager
async def _dropping(conn: Connection) -> AsyncIterator[None]:
    """Drop the connection where the run is given up."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await conn.close(CloseCode.HANDLER)
        raise


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _stack(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=3)
    where = " < ".join(f"{f.f_code.co_name}:{f.f_lineno}" for f in reversed(frames))
    return f"{task.get_coro()!r} {where}"


def _descriptors() -> Counter[str]:
    found: Counter[str] = Counter()
    if _DESCRIPTORS.exists():
        for entry in os.scandir(_DESCRIPTORS):
            # The one that lists them is gone again.
            with contextlib.suppress(OSError):
                # Of a socket or a pipe the name has a number of its own.
                found[str(Path(entry.path).readlink()).partition(":")[0]] += 1
    return found


async def _left(before: Counter[str]) -> list[str]:
    """Return what is left of a run, once it has had time to go."""
    deadline = time.monotonic() + 5.0
    while True:
        gc.collect()
        tasks = [_stack(t) for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        left = [*tasks, *(f"{n} {what}" for what, n in (_descriptors() - before).items())]
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.01)
