"""A server with two clients, one of them behind a man in the middle; and what must hold."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aio.ends import PATIENCE, TCP, Family
from aio.scripted import until

import sealframe
from sealframe import (
    ClientOptions,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    HandshakeError,
    ProtocolError,
    Server,
    ServerOptions,
    TruncatedError,
)
from sealframe.aio import addresses
from sealframe.aio.connection import protocol_of
from sealframe.server.server import registry_of

from .credentials import CONTEXT, Credentials
from .middle import Address, Middle, Script, Tapped, Way

QUESTIONS = [b"question %d" % number for number in range(5)]
"""What the attacked client sends, each in a record of its own."""

_NEVER = 6 * PATIENCE
"""No deadline ends anything here that should end by itself."""


def answer(question: bytes) -> bytes:
    """Return what the server's handler answers."""
    return b"answer to " + question


@dataclass(frozen=True)
class Harm:
    """How one attack must end."""

    client: type[ConnectionClosedError]
    """The error at the attacked client."""
    server: type[ConnectionClosedError]
    """The error at the server."""
    welcomed: bool = False
    """Whether the server had welcomed the client before, and so called its handler."""
    questions: int | None = 0
    """How many questions the server's handler got, where that is certain."""
    answers: int | None = None
    """How many answers the client got, where that is certain."""


BEFORE_WELCOME = Harm(HandshakeError, HandshakeError, answers=0)


def harm_at(
    credentials: Credentials,
    way: Way,
    number: int,
    fault: type[ConnectionClosedError] = ProtocolError,
) -> Harm:
    """Return what must come of it that a frame is not what its sender sent.

    :param fault: what its receiver makes of it once a record has opened
    """
    # HELLO or WELCOME is the first record.
    records = number - credentials.handshakes(way)
    if records < (way is Way.UP):
        return BEFORE_WELCOME
    messages = max(0, records - 1)
    if way is Way.UP:
        return Harm(TruncatedError, fault, welcomed=True, questions=messages)
    kind = fault if records else HandshakeError
    return Harm(kind, TruncatedError, welcomed=True, questions=None, answers=messages)


@dataclass
class Call:
    """One run of the server's handler."""

    conn: Connection
    messages: list[bytes] = field(default_factory=list)
    error: ConnectionClosed | None = None


@dataclass
class Visit:
    """What became of the attacked client."""

    messages: list[bytes] = field(default_factory=list)
    error: ConnectionClosed | None = None
    conn: Connection | None = None


class _Log(logging.Handler):
    """Keeps what sealframe warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record)


class Scene:
    """One server, one client that is left alone, one man in the middle for all others."""

    def __init__(
        self, credentials: Credentials, server: Server, family: Family, middle: Middle
    ) -> None:
        self.client_options = ClientOptions(handshake_timeout=_NEVER, close_timeout=_NEVER)
        self.credentials = credentials
        self.server = server
        self.family = family
        self.middle = middle
        self.calls: list[Call] = []
        self.errors: list[ConnectionClosedError] = []
        """Those of the server, one for each connection that failed."""
        self.bystander: Connection | None = None
        self._exchanged = 0

    @property
    def address(self) -> Address:
        """Where the server is, with nobody in the middle."""
        return self.family.target(self.server)

    async def conversation(self) -> Tapped:
        """Return a connection that nothing disturbs until its end, after three answers."""

        def end(tapped: Tapped, way: Way, number: int, frame: bytes) -> bytes:
            if (way, number) == (Way.DOWN, 5):
                tapped.finish(way)
            return frame

        harm = Harm(TruncatedError, TruncatedError, welcomed=True, questions=None, answers=3)
        tapped, _ = await self.suffer(end, harm)
        return tapped

    # The honest parts

    async def handle(self, conn: Connection) -> None:
        """Serve one client."""
        call = Call(conn)
        self.calls.append(call)
        try:
            async for question in conn:
                call.messages.append(question)
                with contextlib.suppress(ConnectionClosed):
                    await conn.send(answer(question))
                # So that each answer is in a record of its own.
                await asyncio.sleep(0)
        except ConnectionClosed as error:
            call.error = error
            raise

    async def enter(self) -> None:
        self.bystander = await sealframe.connect(
            **self.address,
            security=self.credentials.bystander,
            context=CONTEXT,
            options=self.client_options,
        )
        await self.exchange()
        self.calls.clear()

    async def exchange(self) -> None:
        """Let the other client ask something and get the answer."""
        assert self.bystander is not None
        self._exchanged += 1
        question = b"from the other client %d" % self._exchanged
        await self.bystander.send(question)
        assert await self.bystander.recv() == answer(question)

    async def visit(self, *, security: Any = None, context: bytes = CONTEXT) -> Visit:
        """Let a client ask all its questions through the man in the middle, to the bitter end."""
        visit = Visit()
        try:
            visit.conn = conn = await sealframe.connect(
                **self.middle.address,
                security=security or self.credentials.client,
                context=context,
                options=self.client_options,
            )
        except ConnectionClosed as error:
            visit.error = error
            return visit
        asking = asyncio.create_task(_ask(conn))
        try:
            async for message in conn:
                visit.messages.append(message)
        except ConnectionClosed as error:
            visit.error = error
        await asking
        await conn.wait_closed()
        return visit

    # What must hold

    async def suffer(
        self, script: Script, harm: Harm, *, security: Any = None, context: bytes = CONTEXT
    ) -> tuple[Tapped, Visit]:
        """Let a client run into an attack; check all that must hold then.

        Both ends are closed, each with one error of the right kind; nothing came
        through that is not as it was sent, and nothing after the fault; the client is
        not listed; the other client goes on talking meanwhile and afterwards.
        """
        self.middle.script = script
        first_error, first_call = self.begin()
        async with asyncio.timeout(PATIENCE):
            visit, _ = await asyncio.gather(
                self.visit(security=security, context=context), self.exchange()
            )
        tapped = self.middle.connections[-1]
        await until(lambda: tapped.over)
        await self.check_left_alone(harm, first_error, first_call)
        assert type(visit.error) is harm.client, repr(visit.error)
        assert visit.messages == [answer(text) for text in QUESTIONS[: len(visit.messages)]]
        if harm.answers is not None:
            assert len(visit.messages) == harm.answers
        if visit.conn is not None:
            assert visit.conn.closed
            for call in (visit.conn.recv(), visit.conn.send(b"")):
                await _check_raises(visit.error, call)
            assert not await visit.conn.close()
        return tapped, visit

    def begin(self) -> tuple[int, int]:
        """Return how many errors and calls there were, for :meth:`check_left_alone`."""
        return len(self.errors), len(self.calls)

    async def check_left_alone(self, harm: Harm, first_error: int, first_call: int) -> None:
        """Check the server's side of an attack, and that of the client it was not meant for."""
        await self._check_alone()
        errors = self.errors[first_error:]
        assert [type(error) for error in errors] == [harm.server], errors
        await until(lambda: len(self.calls) - first_call >= harm.welcomed)
        calls = self.calls[first_call:]
        assert len(calls) == harm.welcomed
        for call in calls:
            await until(lambda: call.error is not None)  # noqa: B023
            assert repr(call.error) == repr(errors[0])
            assert call.conn.closed
            assert call.messages == QUESTIONS[: len(call.messages)]
            if harm.questions is not None:
                assert len(call.messages) == harm.questions

    async def check_left_clean(
        self, first_error: int, first_call: int, questions: list[bytes]
    ) -> None:
        """Check that a client which sent these messages and CLOSE left no error at the server."""
        await self._check_alone()
        assert self.errors[first_error:] == []
        (call,) = self.calls[first_call:]
        assert call.messages == questions
        assert call.error is None

    async def _check_alone(self) -> None:
        """Check that the other client is the only one, and is well."""
        assert self.bystander is not None
        await until(lambda: len(registry_of(self.server).connections) == 1)
        assert list(self.server.clients) == [self.bystander.id]
        async with asyncio.timeout(PATIENCE):
            await self.exchange()


async def _ask(conn: Connection) -> None:
    for question in QUESTIONS:
        try:
            await conn.send(question)
        except ConnectionClosed:
            return
        # So that each goes out in a record of its own.
        await asyncio.sleep(0)


async def _check_raises(error: ConnectionClosed, call: Any) -> None:
    with pytest.raises(ConnectionClosed) as caught:
        await call
    assert repr(caught.value) == repr(error)


@contextlib.asynccontextmanager
async def scene(
    credentials: Credentials, family: Family = TCP, *, handshake_timeout: float = _NEVER
) -> AsyncIterator[Scene]:
    """Set it up, and end it in good order: the client that was left alone closes cleanly.

    :param handshake_timeout: the server's
    """
    scenes: list[Scene] = []

    async def handler(conn: Connection) -> None:
        await scenes[0].handle(conn)

    serving = sealframe.serve(
        handler,
        **family.listen,
        security=credentials.server,
        context=CONTEXT,
        options=ServerOptions(
            handshake_timeout=handshake_timeout,
            close_timeout=_NEVER,
            # No more than a client may send at first: so no CREDIT stands among the answers.
            inbox_limit=64 * 1024,
        ),
    )
    log = _Log()
    logger = logging.getLogger("sealframe")
    async with serving as server, Middle(server, family) as middle:
        it = Scene(credentials, server, family, middle)
        scenes.append(it)
        logger.addHandler(log)
        try:
            with _noting(server, it.errors):
                await it.enter()
                yield it
                assert it.bystander is not None
                async with asyncio.timeout(PATIENCE):
                    assert await it.bystander.close()
        finally:
            logger.removeHandler(log)
            if it.bystander is not None:
                protocol_of(it.bystander).closer.abort(ConnectionClosedError("the test is over"))
    assert [line.getMessage() for line in log.lines if line.exc_info] == []


@contextlib.contextmanager
def _noting(server: Server, errors: list[ConnectionClosedError]) -> Iterator[None]:
    """Note all that fails: the log does not tell of each failure in a crowd of them."""
    log = registry_of(server).log
    failed, probed = log.failed, log.probed

    def note(client_id: str, who: addresses.Address, error: ConnectionClosedError) -> None:
        errors.append(error)
        failed(client_id, who, error)

    def note_probe(client_id: str, who: addresses.Address) -> None:
        # Where nothing of the client arrives, it looks like a health check.
        errors.append(HandshakeError("it came and went"))
        probed(client_id, who)

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(log, "failed", note)
        patches.setattr(log, "probed", note_probe)
        yield
