"""Sessions that move between the servers of a cluster.

A server whose client comes for a session that it does not have asks all others what they have of it
(FIND), and the one that has it to give it up (RELEASE). What has not come after some seconds is
given up: the client is told to come again, and asks anew. Nothing is lost by that: what was given
up stays where it was until CONFIRM (:mod:`sealframe.server.moving`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ..aio.tasks import start_task
from ..aio.time_limit import TimeLimit
from ..errors import ClusterError, ClusterUnavailableError, SealframeError
from ..server.cluster_member import LocalServer
from ..server.moving import (
    FoundSession,
    HeldSession,
    HiddenSessionError,
    MovedSession,
    SessionQuestion,
    SessionStatus,
)
from ..server.session_table import EndedSession
from .events import GoneReason, ProbeOutcome
from .messages import Session, encode
from .outgoing import Outgoing
from .session_messages import (
    Body,
    Confirm,
    Failed,
    Find,
    Moved,
    MovedMessage,
    NotMoved,
    Release,
    Status,
)
from .session_messages import encode as encode_body

logger = logging.getLogger("sealframe.cluster")

_STATUS_TIMEOUT: Final = 1.0
"""Seconds in which every server says what it has. One that is stopped says nothing; it is taken for
gone after 3 s, and then asked for a sign of life only."""
_RELEASE_TIMEOUT: Final = 10.0
"""Seconds in which a session is given up: its handler may have a message in hand."""


class _Asked:
    """A question to one server, and what has come of the answer."""

    __slots__ = ("answer", "server", "unread", "unsent")

    def __init__(self, server: str, answer: asyncio.Future[Body | None]) -> None:
        self.server = server
        self.answer = answer
        self.unread: list[bytes] = []
        self.unsent: list[bytes] = []


class SessionSearch:
    """Asks the other servers for sessions.

    :param others: returns the ids of the other servers
    :param check: raises what a call raises that needs other servers, while they are away
    :param probe: asks a server for a sign of life
    """

    def __init__(
        self,
        outgoing: Outgoing,
        others: Callable[[], Sequence[str]],
        check: Callable[[], None],
        probe: Callable[[str], Awaitable[ProbeOutcome]],
    ) -> None:
        self._outgoing = outgoing
        self._others = others
        self._check = check
        self._probe = probe
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        # Those that were taken for gone since they were silent: they may go on, with all they had.
        self._silent: set[str] = set()

    async def find(self, question: SessionQuestion) -> FoundSession:
        """Have the server that has a session give it up.

        :return: None where no server has it
        :raises HiddenSessionError: none has it that answers, and one that hangs may
        :raises ClusterError: it cannot be known now
        """
        self._check()
        statuses = await self._statuses(question)
        held = [
            (not status.parked, status.attempt, server)
            for server, status in statuses.items()
            if isinstance(status, HeldSession)
        ]
        if held:
            # One that has it now knows more than one that gave it up.
            _, _, server = max(held)
            return await self._release(server, question)
        for status in statuses.values():
            if isinstance(status, EndedSession):
                return status
        if await self._hanging():
            raise HiddenSessionError("a server that hangs may have it")
        return None

    async def _hanging(self) -> frozenset[str]:
        """Return which servers are silent, and not known to be dead."""
        self._silent.difference_update(self._others())
        # As they are now: while they are asked, one may fall silent, or another search end first.
        silent = frozenset(self._silent)
        outcomes = await asyncio.gather(*map(self._probe, silent))
        dead = {
            server
            for server, outcome in zip(silent, outcomes, strict=True)
            if outcome is ProbeOutcome.NO_RESPONDERS
        }
        self._silent -= dead
        return silent - dead

    async def _statuses(self, question: SessionQuestion) -> dict[str, SessionStatus]:
        numbers = [self._ask(server, Find(question)) for server in self._others()]
        asked = [self._asked[number] for number in numbers]
        try:
            if asked:
                answers = [one.answer for one in asked]
                _, late = await asyncio.wait(answers, timeout=_STATUS_TIMEOUT)
                if late:
                    raise ClusterError(
                        f"{len(late)} of {len(asked)} servers did not say whether they have a "
                        "session"
                    )
            statuses: dict[str, SessionStatus] = {}
            for one in asked:
                body = one.answer.result()
                if isinstance(body, Failed):
                    raise ClusterError(body.text)
                if isinstance(body, Status):
                    statuses[one.server] = body.status
            return statuses
        finally:
            for number in numbers:
                del self._asked[number]

    async def _release(self, server: str, question: SessionQuestion) -> FoundSession:
        number = self._ask(server, Release(question))
        asked = self._asked[number]
        try:
            async with TimeLimit(_RELEASE_TIMEOUT):
                body = await asked.answer
        except TimeoutError:
            raise ClusterError("a server did not give a session up in time") from None
        finally:
            del self._asked[number]
        match body:
            case Moved(taken, unread, unsent, writer):
                if (unread, unsent) != (len(asked.unread), len(asked.unsent)):
                    raise ClusterError("a part of a session was lost between two servers")
                self._outgoing.add(server, _frame(0, Confirm(question)))
                messages = tuple(asked.unread), tuple(asked.unsent)
                return MovedSession(question, taken, *messages, writer)
            case NotMoved(why) if why is not None:
                return why
            case Failed(text):
                raise ClusterError(text)
        # It had it a moment ago: somebody else has it by now, or it is gone with its server.
        raise ClusterError("a session was given to another server meanwhile")

    def _ask(self, server: str, body: Find | Release) -> int:
        number = next(self._numbers)
        self._asked[number] = _Asked(server, self._loop.create_future())
        self._outgoing.add(server, _frame(number, body))
        return number

    def take(self, server: str, number: int, body: Body) -> None:
        """An answer came, or a part of one; what nobody waits for is dropped."""
        asked = self._asked.get(number)
        if asked is None or asked.server != server or asked.answer.done():
            return
        if isinstance(body, MovedMessage):
            (asked.unread if body.unread else asked.unsent).append(body.message)
        else:
            asked.answer.set_result(body)

    def server_gone(self, server: str, reason: GoneReason) -> None:
        """A server is gone, and has nothing any more unless it hangs."""
        if reason is GoneReason.SILENT:
            self._silent.add(server)
        for asked in self._asked.values():
            if asked.server == server and not asked.answer.done():
                asked.answer.set_result(None)

    def close(self) -> None:
        """This server leaves the cluster."""
        for asked in self._asked.values():
            if not asked.answer.done():
                asked.answer.set_result(Failed("this server has left the cluster"))


class SessionAnswers:
    """Answers what other servers ask for sessions of this one."""

    def __init__(self, local: LocalServer, outgoing: Outgoing) -> None:
        self._local = local
        self._outgoing = outgoing
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, server: str, number: int, body: Find | Release | Confirm) -> None:
        """Another server asks, or has what it asked for."""
        match body:
            case Find(question):
                status = self._local.session_status(question.key)
                self._outgoing.add(server, _frame(number, Status(status)))
            case Release(question):
                task = start_task(
                    self._release, server, number, question, name="sealframe-cluster-session"
                )
                self._tasks.add(task)
                task.add_done_callback(self._done)
            case Confirm(question):
                self._local.confirm_session(question)

    async def close(self) -> None:
        """Answer no more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a session could not be given up", exc_info=task.exception())

    async def _release(self, server: str, number: int, question: SessionQuestion) -> None:
        try:
            found = await self._local.release_session(question)
        except SealframeError as error:
            self._outgoing.add(server, _frame(number, Failed(str(error))))
            return
        if not isinstance(found, MovedSession):
            self._outgoing.add(server, _frame(number, NotMoved(found)))
            return
        try:
            for unread, messages in ((True, found.unread), (False, found.unsent)):
                for message in messages:
                    await self._outgoing.room(len(message), (server,))
                    self._outgoing.add(server, _frame(number, MovedMessage(unread, message)))
        except ClusterUnavailableError:
            return  # it is kept here; whoever asked asks again
        moved = Moved(found.taken, len(found.unread), len(found.unsent), found.writer)
        self._outgoing.add(server, _frame(number, moved))


def _frame(number: int, body: Body) -> bytes:
    return encode(Session(number, encode_body(body)))
