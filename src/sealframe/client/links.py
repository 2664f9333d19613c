"""The links of a client's session: makes the next one whenever there is none.

docs/PROTOCOL.md, section 12. The first is made by :class:`~sealframe.client.attempt.Attempt`, which
owns the connection; from then on :class:`Links` dials, with back-off, until a link carries the
session on, or an error comes that no further attempt cures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from ..aio.endpoint import Endpoint
from ..aio.session_protocol import SessionProtocol
from ..aio.tasks import start_task
from ..core.protocol import ProtocolMachine
from ..core.session import Session, ack_by, retention_limit
from ..errors import ConnectionClosed, ConnectionClosedError, KeyFormatError, SessionLostError
from ..options import ClientOptions
from ..trust.keys import PublicKey
from ..trust.known_servers import ServerVerifier
from ..wire import SESSION_TOKEN_SIZE, CloseCode
from ..wire.control import Close, Hello, MalformedBodyError, SessionHello, SessionWelcome
from .backoff import Backoff
from .dialing import dial
from .next_link import NextLink, read_welcome
from .outbox_feed import OutboxFeed
from .pauses import Pauses
from .search_log import SearchLog
from .suspend import SuspendWatch
from .targets import Targets, is_alarming, joined

logger = logging.getLogger("sealframe.client")

MakeMachine = Callable[
    [Endpoint, SessionHello, bytes], Awaitable[tuple[ProtocolMachine, ServerVerifier | None]]
]
"""Given where to connect, what HELLO says of the session, and the key with which the server has to
prove itself (empty for any that is known), returns the machine for one more connection, and what
verifies that key."""

_GIVEN_UP: Final = ConnectionClosedError("the attempt to connect was given up")


class Links:
    """Makes the links of one session.

    :param targets: where to connect; the first let this client in
    :param feed: of a session whose messages are in a file
    """

    def __init__(
        self,
        targets: Targets,
        options: ClientOptions,
        make_machine: MakeMachine,
        feed: OutboxFeed | None = None,
    ) -> None:
        self._targets = targets
        self._options = options
        self._make_machine = make_machine
        self.feed = feed
        """Gives the session the messages of its outbox, where it has one."""
        # Nobody may learn it: who has it has the session.
        self._token = secrets.token_bytes(SESSION_TOKEN_SIZE) if feed is None else feed.token
        self._start = 1 if feed is None else feed.start
        self._link = 0
        # That of the server with which the session began: what is kept goes to no other.
        self._server_key = b""
        # For how long the server keeps the session without a link, in seconds.
        self._keep = 0
        # When the present link began, by the event loop's clock, and the wait before it.
        self._began = 0.0
        self._waited = 0.0
        self._pauses = Pauses(asyncio.get_running_loop().time)
        self._backoff = Backoff(options)
        self._is_fatal: Callable[[Exception], bool] | None = None
        self._task: asyncio.Task[None] | None = None
        self._watch: SuspendWatch | None = None
        self._log: SearchLog | None = None
        # Set where a wait is not to go on.
        self._awake = asyncio.Event()
        self.error: ConnectionClosedError | None = None
        """Why the last link was lost; None before that."""

    @property
    def limit(self) -> int:
        """How much is kept until it is acknowledged, in bytes."""
        return retention_limit(self._options.outbox_limit)

    def first_hello(self, window: int) -> SessionHello:
        """Return what is said of the session in the HELLO with which the session begins.

        :param window: the first credit for messages, which field 3 says too
        """
        self._link += 1
        return SessionHello(
            token=self._token,
            start=self._start,
            link=self._link,
            numbering=0,
            received=0,
            acknowledged=0,
            credit=window,
            ack_by=ack_by(self.limit),
            known=self.feed is not None and self.feed.known,
            writers=None if self.feed is None else self.feed.writers,
        )

    def _next_hello(self, protocol: SessionProtocol) -> SessionHello:
        session = protocol.session
        assert session is not None
        self._link += 1
        return session.hello(
            token=self._token,
            start=self._start,
            link=self._link,
            credit=protocol.switch.credit(),
            known=bool(session.numbering) or (self.feed is not None and self.feed.known),
            writers=None if self.feed is None else self.feed.writers,
        )

    def begin_detached(
        self, protocol: SessionProtocol, error: Exception, is_fatal: Callable[[Exception], bool]
    ) -> None:
        """Begin the session of an outbox without a link: its server could not be reached.

        :param error: why
        :param is_fatal: says of an error, before the first WELCOME, that no retry cures it
        """
        assert self.feed is not None
        self._is_fatal = is_fatal
        self.error = ConnectionClosedError(f"there is no link yet: {error}")
        self.error.__cause__ = error
        self._watch = SuspendWatch(partial(self._woke, protocol))
        protocol.switch.begin_detached(self.feed.make_detached(protocol, self.limit))
        self._waited = self._backoff.next_delay()
        logger.info(
            "connection %s begins without a link: %s; next attempt in %.1f s",
            protocol.id,
            error,
            self._waited,
        )
        self._start_task(protocol)

    def begin(self, protocol: SessionProtocol, hello: Hello) -> None:
        """The first WELCOME came: begin the session."""
        try:
            welcome = read_welcome(hello)
        except MalformedBodyError as fault:
            protocol.fail_protocol(f"WELCOME is malformed: {fault}")
            return
        if self.feed is None:
            session = Session(
                numbering=welcome.numbering, limit=self.limit, peer_ack_by=welcome.ack_by
            )
        else:
            try:
                session = self.feed.make_session(welcome, self.limit)
            except SessionLostError as lost:
                protocol.refuse(Close(CloseCode.SESSION_LOST), lost)
                return
        records = protocol.machine.records
        self._server_key = b"" if records is None else records.peer_key
        self._keep = welcome.keep
        self._began = protocol.loop.time()
        self._watch = SuspendWatch(partial(self._woke, protocol))
        protocol.begin(session)

    def _woke(self, protocol: SessionProtocol) -> None:
        """The machine was suspended: the link may be gone, and another network be there."""
        self._awake.set()
        if protocol.transport is not None and protocol.keepalive is not None:
            protocol.keepalive.probe()

    # The next ones

    def lost(self, protocol: SessionProtocol, error: ConnectionClosedError) -> None:
        """The link was lost: make the next one."""
        self.error = error
        logger.info("connection %s: the link is lost: %s", protocol.id, error)
        announced = protocol.closer.peer_announced
        if announced is not None:
            self._pauses.note(self._targets.last, announced.retry_after)
        # One that ends as soon as it is made is not made again and again at once.
        lasted = protocol.loop.time() - self._began
        if lasted > max(self._waited, self._options.backoff_initial):
            self._backoff.reset()
            self._waited = 0.0
        else:
            self._waited = self._backoff.next_delay()
        self._start_task(protocol)

    def _start_task(self, protocol: SessionProtocol) -> None:
        # The task before may not have had a turn since its link was made: it ends there.
        self._task = start_task(self._run, protocol, name=f"links {protocol.id}")
        self._task.add_done_callback(partial(self._ran, protocol))

    def stop(self) -> None:
        """The session is over: make no further one."""
        if self._watch is not None:
            self._watch.stop()
        if self._task is not None:
            self._task.cancel()

    def _ran(self, protocol: SessionProtocol, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            # The program's sock=... has raised it, for one.
            self._give_up(protocol, [error])

    async def _run(self, protocol: SessionProtocol) -> None:
        """Try each address in turn, and wait after each round, until there is a link."""
        refused: dict[Endpoint, NextLink] = {}
        since = protocol.loop.time()
        if self._log is None:
            self._log = SearchLog(protocol.id)
        self._log.begin(self._keep if protocol.links else math.inf, since)
        while True:
            self._awake.clear()
            if self._waited > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._awake.wait(), self._waited)
            errors: list[Exception] = []
            hopeful: set[Endpoint] = set()
            refusing: set[tuple[Endpoint, str]] = set()
            # What one server of an address says keeps nobody from the others of this round.
            time_left = self._pauses.time_left
            due = {e for e in self._targets.endpoints if not time_left(e)} - refused.keys()
            for endpoint in self._targets.in_turn(self._pauses.waits):
                if endpoint not in due:
                    continue
                attempt = NextLink(protocol, partial(self._attached, protocol, endpoint))
                try:
                    await self._connect(endpoint, protocol, attempt)
                except (OSError, ConnectionClosed, KeyFormatError) as error:
                    logger.debug("connection %s: %s has no link: %s", protocol.id, endpoint, error)
                    self._pauses.note(endpoint, attempt.retry_after)
                    final = attempt.refused
                    if protocol.links == 0:
                        final = await self._never_begins(protocol, attempt, error)
                    if protocol.closer.closed:
                        return
                    if not final:
                        errors.append(error)
                        hopeful.add(endpoint)
                        continue
                    attempt.error = error
                    refused[endpoint] = attempt
                    refusing.add((endpoint, endpoint.server))
                    if protocol.links and self._has_the_session(endpoint, attempt):
                        self._end(protocol, [attempt])
                        return
                else:
                    return
            # By then a server that has the session, and is not to be reached, keeps it no more.
            gone = protocol.links > 0 and protocol.loop.time() - since > self._keep
            # Where one of the servers of an address has refused, and another one has not.
            maybe = protocol.links > 0 and not gone
            hopeful |= {e for e in refused if self._has_others(e, refusing, silent=maybe)}
            errors += [refused.pop(e).error for e in hopeful & refused.keys()]
            left = [time_left(e) for e in self._targets.endpoints if e not in refused]
            if not left or (refused and gone):
                self._end(protocol, list(refused.values()))
                return
            self._waited = max(self._backoff.next_delay(), min(left))
            # What an address said at first is still why it is not asked.
            errors = [*(attempt.error for attempt in refused.values()), *errors]
            if errors:
                grave = bool(refused) or any(map(is_alarming, errors))
                now = protocol.loop.time()
                self._log.failed(joined(errors), self._waited, now, grave=grave)

    def _attached(
        self,
        protocol: SessionProtocol,
        endpoint: Endpoint,
        welcome: SessionWelcome,
        server_key: bytes,
    ) -> None:
        if protocol.links == 0:
            self._server_key, self._keep = server_key, welcome.keep
            # The connection gets another id.
            self._log = None
        self._targets.prefer(endpoint)
        self._began = protocol.loop.time()

    def _has_the_session(self, endpoint: Endpoint, attempt: NextLink) -> bool:
        """Return whether the session was there, if it was anywhere: what that server says of it
        is final, while another one may never have heard of it."""
        last = self._targets.last
        if endpoint == last:
            # Those of one name have one key, and may each have sessions of their own.
            return endpoint.server == last.server
        return bool(self._server_key) and attempt.server_key == self._server_key

    def _has_others(
        self, endpoint: Endpoint, refusing: set[tuple[Endpoint, str]], *, silent: bool
    ) -> bool:
        """Return whether there is hope for another server of an address than those that refuse:
        for one that has asked for time.

        :param silent: and for one that could not be reached
        """
        others = [one for one in endpoint.servers if (endpoint, one) not in refusing]
        return any(silent or self._pauses.waits(endpoint, one) for one in others)

    async def _never_begins(
        self, protocol: SessionProtocol, attempt: NextLink, error: Exception
    ) -> bool:
        """Before the first link: return whether there will be none to this server. Where it says
        that the session is over, end it; or, if that was closed in order, begin another one."""
        assert self.feed is not None
        assert self._is_fatal is not None
        if await self.feed.renew_ended(attempt.refusal):
            self._token, self._start, self._link = self.feed.token, self.feed.start, 0
            return False
        lost = self.feed.judge(attempt.refusal)
        if lost is not None:
            lost.__cause__ = error
            protocol.end_session(lost)
        return self._is_fatal(error)

    def _end(self, protocol: SessionProtocol, refused: list[NextLink]) -> None:
        """No server goes on with the session; one of them may know how it ended."""
        for attempt in refused:
            if attempt.ended is not None:
                protocol.end_answered(attempt.ended)
                return
        for attempt in refused:
            lost = None if self.feed is None else self.feed.judge(attempt.refusal)
            if lost is not None:
                lost.__cause__ = attempt.error
                protocol.end_session(lost)
                return
        self._give_up(protocol, [attempt.error for attempt in refused])

    def _give_up(self, protocol: SessionProtocol, errors: list[Exception]) -> None:
        error = joined(errors)
        if protocol.links == 0:
            # The session is not lost: the next start may do better, as with another key.
            if not isinstance(error, ConnectionClosedError):
                cause, error = error, ConnectionClosedError(f"there is no link: {error}")
                error.__cause__ = cause
            protocol.end_session(error)
            return
        code = error.code if isinstance(error, ConnectionClosed) else None
        lost = protocol.lost(f"the session is over: {error}", code=code)
        lost.__cause__ = error
        protocol.end_session(lost)

    async def _connect(
        self, endpoint: Endpoint, protocol: SessionProtocol, attempt: NextLink
    ) -> None:
        hello = self._next_hello(protocol)
        machine, verifier = await self._make_machine(endpoint, hello, self._server_key)
        donor = SessionProtocol(
            machine, self._options, attempt, id=protocol.id, handlers=protocol.handlers
        )
        try:
            await dial(endpoint, donor, self._options.connect_timeout)
            without = await attempt.done
        finally:
            attempt.done.cancel()
            if donor.closer.handshaking:
                # What failed has an answer to write, and ends by itself.
                donor.closer.abort(_GIVEN_UP)
        if without is None:
            return
        logger.info("connection %s is back after %.1f s", protocol.id, without)
        if verifier is not None:
            try:
                await asyncio.to_thread(verifier.record, PublicKey(self._server_key))
            except (OSError, ConnectionClosed, KeyFormatError) as error:
                # The key is the one with which the session began: the link is good.
                logger.warning("%s cannot be recorded: %s", endpoint, error)
