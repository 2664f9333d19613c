"""The links of a client's session: makes the next one whenever there is none.

docs/PROTOCOL.md, section 12. The first is made by :class:`~sealframe.client.attempt.Attempt`, which
owns the connection; from then on :class:`Links` dials, with back-off, until a link carries the
session on, or an error comes that no further attempt cures.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ..aio.connection_protocol import ConnectionProtocol
from ..aio.endpoint import Endpoint
from ..aio.link_change import LinkChange
from ..aio.session_protocol import SessionProtocol
from ..aio.tasks import start_task
from ..core.channel_frames import ViolationError
from ..core.protocol import ProtocolMachine
from ..core.session import Session
from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    HandshakeError,
    KeyFormatError,
    UnauthorizedError,
)
from ..options import ClientOptions
from ..wire import MIN_ACK_BY, SESSION_TOKEN_SIZE, CloseCode
from ..wire.control import Close, Hello, MalformedBodyError, SessionHello, SessionWelcome
from .backoff import Backoff
from .dialing import dial

logger = logging.getLogger("sealframe.client")

MakeMachine = Callable[[bytes], Awaitable[ProtocolMachine]]
"""Given field 4 of HELLO, returns the machine for one more connection to the server."""

_GIVEN_UP: Final = ConnectionClosedError("the attempt to connect was given up")
_OVER: Final = frozenset({CloseCode.NORMAL, CloseCode.SESSION_LOST, CloseCode.SUPERSEDED})


class Links:
    """Makes the links of one session."""

    def __init__(
        self,
        endpoint: Endpoint,
        options: ClientOptions,
        make_machine: MakeMachine,
    ) -> None:
        self._endpoint = endpoint
        self._options = options
        self._make_machine = make_machine
        # Nobody may learn it: who has it has the session.
        self._token = secrets.token_bytes(SESSION_TOKEN_SIZE)
        self._link = 0
        self._backoff = Backoff(options)
        self._delay = 0.0
        self._task: asyncio.Task[None] | None = None
        self.error: ConnectionClosedError | None = None
        """Why the last link was lost; None before that."""

    @property
    def limit(self) -> int:
        """How much is kept until it is acknowledged, in bytes."""
        return max(MIN_ACK_BY, self._options.outbox_limit)

    def first_hello(self) -> bytes:
        """Return field 4 for the HELLO with which the session begins."""
        return self._hello(None).encode()

    def _hello(self, protocol: SessionProtocol | None) -> SessionHello:
        self._link += 1
        session = None if protocol is None else protocol.session
        if protocol is not None and session is not None:
            return session.hello(token=self._token, link=self._link, credit=protocol.credit())
        return SessionHello(
            token=self._token,
            start=1,
            link=self._link,
            numbering=0,
            received=0,
            acknowledged=0,
            credit=0,
            ack_by=self.limit,
        )

    def begin(self, protocol: SessionProtocol, hello: Hello) -> None:
        """The first WELCOME came: begin the session."""
        welcome = read_welcome(protocol, hello)
        if welcome is not None:
            session = Session(
                numbering=welcome.numbering, limit=self.limit, peer_ack_by=welcome.ack_by
            )
            protocol.begin(session)

    # The next ones

    def lost(self, protocol: SessionProtocol, error: ConnectionClosedError) -> None:
        """The link was lost: make the next one."""
        self.error = error
        logger.info("connection %s: the link is lost: %s", protocol.id, error)
        if protocol.loop.time() - protocol.since > self._delay:
            self._backoff.reset()
            self._delay = 0.0
        if self._task is None or self._task.done():
            self._task = start_task(self._run, protocol, name=f"links {protocol.id}")
        # Else the link did not last until that task had a turn: it finds that, and goes on.

    def stop(self) -> None:
        """The session is over: make no further one."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, protocol: SessionProtocol) -> None:
        while protocol.detached:
            await asyncio.sleep(self._delay)
            try:
                without = await self._connect(protocol)
            except (OSError, ConnectionClosed, KeyFormatError) as error:
                if isinstance(error, UnauthorizedError):
                    protocol.end_session(protocol.lost(str(error), code=error.code))
                    return
                self._delay = self._backoff.next_delay()
                logger.info("%s; next attempt in %.1f s", error, self._delay)
            else:
                self._delay = self._backoff.next_delay()
                if without is not None:
                    logger.info("connection %s is back after %.1f s", protocol.id, without)

    async def _connect(self, protocol: SessionProtocol) -> float | None:
        hello = self._hello(protocol)
        machine = await self._make_machine(hello.encode())
        attempt = _NextLink(protocol)
        donor = SessionProtocol(
            machine, self._options, attempt, id=protocol.id, handlers=protocol.handlers
        )
        try:
            await dial(self._endpoint, donor, self._options.connect_timeout)
            return await attempt.done
        finally:
            attempt.done.cancel()
            if donor.closer.handshaking:
                # What failed has an answer to write, and ends by itself.
                donor.closer.abort(_GIVEN_UP)


class _NextLink:
    """The owner of a donor, until it has given its link away.

    It implements :class:`~sealframe.aio.connection_protocol.ConnectionOwner`.
    """

    def __init__(self, protocol: SessionProtocol) -> None:
        self._protocol = protocol
        self.done: asyncio.Future[float | None] = protocol.loop.create_future()
        """For how long there was no link; None where the session is over."""

    def on_joining(self, protocol: ConnectionProtocol, hello: Hello) -> None:
        """The server knows the session: go on."""
        session = self._protocol
        welcome = read_welcome(protocol, hello)
        if welcome is None or not session.detached:
            return
        assert session.session is not None
        try:
            if welcome.numbering == session.session.numbering:
                without = session.resume(protocol, welcome)
            else:
                without = session.begin_anew(protocol, hello, welcome)
        except ViolationError as fault:
            text = f"the session cannot go on: {fault}"
            error = session.lost(text, code=CloseCode.SESSION_LOST)
            protocol.machine.refuse(Close(CloseCode.SESSION_LOST), HandshakeError(text))
            protocol.handle_events()
            session.end_session(error)
            self._finish(None)
        else:
            self._finish(without)

    def on_failed(self, protocol: ConnectionProtocol, error: ConnectionClosedError) -> None:
        """There is no link; the server may say that the session is over."""
        close, session = protocol.machine.refusal, self._protocol
        if close is None or not (close.code in _OVER or close.frames_received is not None):
            if not self.done.done():
                self.done.set_exception(error.fresh())
            return
        if close.code == CloseCode.NORMAL:
            session.end_answered(close)
        else:
            session.end_session(session.lost(f"the session is over: {error}", code=close.code))
        self._finish(None)

    def _finish(self, without: float | None) -> None:
        if not self.done.done():
            self.done.set_result(without)

    def on_established(self, protocol: ConnectionProtocol, hello: Hello) -> None:
        """Nothing begins here."""

    def on_link_lost(self, protocol: ConnectionProtocol, error: ConnectionClosedError) -> None:
        """It has no session."""

    def on_queued(self, protocol: ConnectionProtocol) -> None:
        """It has no session."""

    def on_link_changed(self, protocol: ConnectionProtocol, change: LinkChange) -> None:
        """Neither."""

    def on_callback_failed(self, protocol: ConnectionProtocol, error: BaseException) -> None:
        """Nothing is called here."""

    def on_finished(self, protocol: ConnectionProtocol) -> None:
        """It has failed before, or was given up."""

    def connection(self, protocol: ConnectionProtocol) -> Any:
        """Return nothing: no program sees it."""


def read_welcome(protocol: ConnectionProtocol, hello: Hello) -> SessionWelcome | None:
    """Return what WELCOME says of the session; fail the connection if it does not parse."""
    try:
        return SessionWelcome.decode(hello.session)
    except MalformedBodyError as fault:
        protocol.machine.fail_protocol(f"WELCOME is malformed: {fault}")
        protocol.handle_events()
        return None
