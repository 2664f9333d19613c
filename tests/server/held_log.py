"""A server whose sessions have a log in memory, which the test holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import sealframe
from sealframe import (
    ClientOptions,
    Connection,
    Server,
    Sessions,
    SharedKey,
)
from sealframe.aio.connection import AnyConnection
from sealframe.server.cluster_member import ClusterMember, LocalServer
from sealframe.server.moving import FoundSession, SessionQuestion
from sealframe.server.session_store import (
    Entry,
    SessionLog,
    SessionTakenError,
    StoredSession,
    TakenOver,
)
from sealframe.server.session_table import Attempt, EndedSession

KEY = SharedKey.generate()
OPTIONS = ClientOptions(backoff_initial=0.01, backoff_maximum=0.05, close_timeout=0.1)


class Held(SessionLog):
    """A log in memory: what is written waits for the test, unless it lets all through."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self.holds = True
        self.lost = False
        self.fault: Exception | None = None
        self.confirmed: list[Attempt] = []
        self.confirming: asyncio.Future[None] | None = None
        """Set by a test that holds confirm(), too."""
        self.ended: EndedSession | None = None

    @property
    def longest_pause(self) -> float:
        return 60.0

    async def append(self, entry: Entry) -> None:
        if self.holds:
            written = asyncio.get_running_loop().create_future()
            self.waiting.append((entry, written))
            await written
        if self.lost:
            raise SessionTakenError
        if self.fault is not None:
            raise self.fault
        self.entries.append(entry)

    def let_through(self) -> None:
        waiting, self.waiting = self.waiting, []
        for _, written in waiting:
            written.set_result(None)

    async def confirm(self, attempt: Attempt) -> None:
        if self.confirming is not None:
            await self.confirming
        if self.lost:
            raise SessionTakenError
        self.confirmed.append(attempt)

    async def end(self, ended: EndedSession) -> None:
        self.ended = ended
        if self.lost:
            raise SessionTakenError

    def acknowledged(self, messages: int, frames: int) -> None: ...


class Store(ClusterMember):
    """A cluster of one server, with one log."""

    def __init__(self) -> None:
        self.log = Held()
        self.server: LocalServer
        self.questions: list[SessionQuestion] = []

    async def start(self, server: LocalServer) -> None:
        self.server = server

    def client_joined(self, conn: AnyConnection) -> None: ...
    def client_left(self, conn: AnyConnection) -> None: ...
    def leaving(self) -> None: ...
    async def stop(self) -> None: ...

    async def find_session(self, question: SessionQuestion) -> FoundSession:
        return None

    async def take_session_over(
        self, question: SessionQuestion, numbering: int, known: bool
    ) -> StoredSession:
        self.questions.append(question)
        return TakenOver(self.log, numbering, 0, ())

    @property
    def others(self) -> bool:
        return False

    def stats(self) -> dict[str, Any]:
        return {}


@asynccontextmanager
async def stored(
    handler: Callable[[Connection], Awaitable[None]], member: Store | None = None, **arguments: Any
) -> AsyncIterator[tuple[Server, Held, Connection]]:
    member = member or Store()
    async with sealframe.serve(
        handler,
        "127.0.0.1",
        0,
        security=KEY,
        sessions=Sessions(store="cluster"),
        cluster=member,
        **arguments,
    ) as server:
        async with sealframe.connect(
            "127.0.0.1", server.port, security=KEY, session=True, options=OPTIONS
        ) as conn:
            try:
                yield server, member.log, conn
            finally:
                member.log.holds = False
                member.log.let_through()


async def twice(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)
        await conn.send(message + b"'")


async def pass_by(server: Server) -> None:
    """Have another client come, ask and go: whatever anybody had sent or begun before is there
    by then. For tests that nothing comes, where a question over the same link would wait too."""
    async with sealframe.connect("127.0.0.1", server.port, security=KEY) as conn:
        await conn.ping()


def named(prefix: str) -> list[asyncio.Task[Any]]:
    """Return the tasks with such names: ``log`` is what writes, ``find`` waits for an answer."""
    return [task for task in asyncio.all_tasks() if task.get_name().startswith(prefix)]
