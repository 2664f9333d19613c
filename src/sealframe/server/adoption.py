"""Sessions that outlive their server: asks the program for the position of each.

docs/PROTOCOL.md, section 12: state ADOPTING. A session that this server does not have waits here,
with the newest of its client's links, until every earlier handler of it has ended and the program
has answered. Nothing is created for a link that is gone by then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ..aio.log_throttle import FAILURES, LogThrottle
from ..aio.session_info import SessionInfo
from ..aio.session_protocol import SessionProtocol
from ..aio.tasks import Tasks, start_task
from ..core.events import Phase
from ..errors import ConnectionClosedError
from ..wire import CloseCode
from ..wire.control import Close, SessionHello
from .session_table import Attempt, attempt_of

logger = logging.getLogger("sealframe.server")

_MAX_POSITION: Final = 2**63 - 1
_REPLACED: Final = ConnectionClosedError("the client has come back over another connection")

Refuse = Callable[[SessionProtocol, Close, str], None]
Adopt = Callable[[SessionProtocol, SessionHello, bytes, int | None], None]


class Adoption:
    """A session whose position the program is asked for.

    :ivar link: the link that waits; None where it is gone
    :ivar asked: what its HELLO said of the session
    """

    __slots__ = ("asked", "info", "key", "link")

    def __init__(
        self, key: bytes, info: SessionInfo, link: SessionProtocol, asked: SessionHello
    ) -> None:
        self.key = key
        self.info = info
        self.link: SessionProtocol | None = link
        self.asked = asked

    @property
    def attempt(self) -> Attempt:
        """The greatest that was seen."""
        return attempt_of(self.asked)


class Adoptions:
    """Those of one server.

    :param load: the program's ``Sessions.position``
    :param limit: how many may wait at a time
    :param adopt: called with a link that waits, its HELLO, the session's key and the position
    :param refuse: called with one that cannot go on
    """

    def __init__(
        self,
        load: Callable[[Any], Awaitable[int | None]],
        limit: int,
        *,
        adopt: Adopt,
        refuse: Refuse,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._load = load
        self._limit = limit
        self._adopt = adopt
        self._refuse = refuse
        self._waiting: dict[bytes, Adoption] = {}
        self._links: dict[SessionProtocol, Adoption] = {}
        # Of sessions that are over, the handlers that still run.
        self._handlers: dict[bytes, set[asyncio.Task[None]]] = {}
        self._tasks: Tasks[Adoption] = Tasks(self._done)
        self._failures = LogThrottle(FAILURES)

    @property
    def waiting(self) -> int:
        """How many sessions wait."""
        return len(self._waiting)

    def add_handler(self, key: bytes, handler: asyncio.Task[None] | None) -> None:
        """Note that a session is over, and its handler may still run."""
        if handler is None or handler.done():
            return
        running = self._handlers.setdefault(key, set())
        running.add(handler)

        def ended(task: asyncio.Task[None]) -> None:
            running.discard(task)
            if not running and self._handlers.get(key) is running:
                del self._handlers[key]

        handler.add_done_callback(ended)

    def ask(
        self, key: bytes, info: SessionInfo, protocol: SessionProtocol, asked: SessionHello
    ) -> None:
        """Have a link wait for the position of its session."""
        adoption = self._waiting.get(key)
        if adoption is None:
            if len(self._waiting) >= self._limit:
                text = f"{self._limit} sessions wait for their positions"
                self._refuse(protocol, Close(CloseCode.BUSY), text)
                return
            adoption = Adoption(key, info, protocol, asked)
            self._waiting[key] = adoption
            task = start_task(self._run, adoption, name=f"position {info.name}")
            self._tasks.add(task, adoption)
        elif attempt_of(asked) <= adoption.attempt:
            text = "a client came for a session that has a later link"
            self._refuse(protocol, Close(CloseCode.SUPERSEDED), text)
            return
        else:
            earlier, adoption.link, adoption.asked = adoption.link, protocol, asked
            if earlier is not None:
                del self._links[earlier]
                earlier.closer.abort(_REPLACED)
        self._links[protocol] = adoption

    def link_gone(self, protocol: SessionProtocol) -> None:
        """A connection is gone; harmless if it does not wait."""
        adoption = self._links.pop(protocol, None)
        if adoption is not None:
            adoption.link = None

    async def _run(self, adoption: Adoption) -> None:
        try:
            while running := self._handlers.get(adoption.key):
                await asyncio.wait(running)
            position = None
            if adoption.link is not None:
                position = await self._ask(adoption.info)
        except Exception as error:
            more = self._failures.count(self._loop.time())
            if more is not None:
                what = "the position of session %s cannot be had%s"
                logger.error(what, adoption.info.name, more, exc_info=error)
            busy = Close(CloseCode.BUSY)
            self._end(adoption, lambda link: self._refuse(link, busy, "no position"))
        else:
            self._end(
                adoption,
                lambda link: self._adopt(link, adoption.asked, adoption.key, position),
            )

    async def _ask(self, info: SessionInfo) -> int:
        answer: object = self._load(info)
        if not isinstance(answer, Awaitable):
            raise TypeError(f"position returned {answer!r}; make it an async function")
        return _checked(await answer)

    def _end(self, adoption: Adoption, go_on: Callable[[SessionProtocol], None]) -> None:
        link = adoption.link
        self._forget(adoption)
        if link is not None and link.transport is not None and link.machine.phase is Phase.JOINING:
            go_on(link)

    def _forget(self, adoption: Adoption) -> None:
        if self._waiting.get(adoption.key) is adoption:
            del self._waiting[adoption.key]
        if adoption.link is not None:
            self._links.pop(adoption.link, None)

    def _done(self, task: asyncio.Task[None], adoption: Adoption) -> None:
        self._forget(adoption)
        if not task.cancelled() and task.exception() is not None:
            logger.error(
                "adopting session %s failed", adoption.info.name, exc_info=task.exception()
            )

    # The end of the server

    def exclude(self, task: asyncio.Task[Any] | None) -> None:
        """Do not wait for a task that waits for the end of the server itself."""
        self._tasks.exclude(task)

    async def stop(self) -> None:
        """Ask no more: the server is closed, and so are the links that wait."""
        await self._tasks.finish(self._loop.time())


def _checked(position: object) -> int:
    if position is None:
        # Nothing is stored yet. A client that knows better is told by the number.
        return 0
    if not isinstance(position, int) or isinstance(position, bool):
        raise TypeError(f"position returned {position!r}; use a number of messages, or None")
    if not 0 <= position <= _MAX_POSITION:
        raise ValueError(f"position returned {position}; use a number from 0 to {_MAX_POSITION}")
    return position
