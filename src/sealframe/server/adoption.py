"""Sessions that this server does not have, and may get: those that wait for an answer.

docs/PROTOCOL.md, section 12: state ADOPTING. Such a session waits here, with the newest of its
client's links, until every earlier handler of it has ended, and the other servers of the cluster
and the program have answered. Nothing is created for a link that is gone by then.
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
from ..errors import ClusterError, ConnectionClosedError
from ..wire import CloseCode
from ..wire.control import Close, SessionHello
from .finding import Found
from .moving import LaterLink
from .session_table import Attempt, attempt_of

logger = logging.getLogger("sealframe.server")

_NOT_NOW: Final = "the session cannot be looked up now, its log says why: try again later"
_REPLACED: Final = ConnectionClosedError("the client has come back over another connection")

Refuse = Callable[[SessionProtocol, Close, str], None]
Find = Callable[[bytes, SessionInfo, SessionHello], Awaitable[Found]]
Adopt = Callable[[SessionProtocol, SessionHello, bytes, Found], None]
Keep = Callable[[Found], None]


class Adoption:
    """A session that is looked for.

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

    :param find: looks for a session; what it raises says that its client has to come again
    :param limit: how many may wait at a time
    :param adopt: called with a link that waits, its HELLO, the session's key and what was found
    :param keep: the same where the link is gone by then
    :param refuse: called with one that cannot go on
    """

    def __init__(
        self,
        find: Find,
        limit: int,
        *,
        adopt: Adopt,
        keep: Keep,
        refuse: Refuse,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._find = find
        self._limit = limit
        self._adopt = adopt
        self._keep = keep
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
        """Have a link wait until its session is found, or nobody has it."""
        adoption = self._waiting.get(key)
        if adoption is None:
            if len(self._waiting) >= self._limit:
                text = f"{self._limit} sessions are looked for already"
                self._refuse(protocol, Close(CloseCode.BUSY, "try again later"), text)
                return
            adoption = Adoption(key, info, protocol, asked)
            self._waiting[key] = adoption
            task = start_task(self._run, adoption, name=f"find {info.name}")
            self._tasks.add(task, adoption)
        elif attempt_of(asked) <= adoption.attempt:
            text = "a client came for a session that has a later link"
            self._refuse(protocol, Close(CloseCode.SUPERSEDED), text)
            return
        else:
            earlier, adoption.link, adoption.asked = adoption.link, protocol, asked
            adoption.info = info
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
            if adoption.link is None:
                self._forget(adoption)
                return
            found = await self._look(adoption)
        except Exception as error:
            more = self._failures.count(self._loop.time())
            if more is not None and isinstance(error, ClusterError):
                # Nothing of the program has failed, and no traceback says more.
                what = "session %s cannot be found now: %s%s"
                logger.warning(what, adoption.info.name, error, more)
            elif more is not None:
                what = "session %s cannot be found now%s"
                logger.error(what, adoption.info.name, more, exc_info=error)
            busy = Close(CloseCode.BUSY, _NOT_NOW)
            link = self._end(adoption)
            if link is not None:
                self._refuse(link, busy, "its session cannot be found now")
        else:
            link = self._end(adoption)
            if link is None:
                self._keep(found)
            else:
                self._adopt(link, adoption.asked, adoption.key, found)

    async def _look(self, adoption: Adoption) -> Found:
        """Find a session for the start of the client's program whose link waits."""
        while True:
            asked = adoption.asked
            found = await self._find(adoption.key, adoption.info, asked)
            if adoption.link is None:
                return found
            if adoption.asked.start == asked.start:
                later = isinstance(found.elsewhere, LaterLink)
                if not later or adoption.attempt == attempt_of(asked):
                    return found
                # The client has come again meanwhile: the later link may be this one.
                continue
            # The program was started again meanwhile: that start is the one which the log names.
            self._keep(found)

    def _end(self, adoption: Adoption) -> SessionProtocol | None:
        """Return the link that has waited, if it is still there."""
        link = adoption.link
        self._forget(adoption)
        if link is None or link.transport is None or link.machine.phase is not Phase.JOINING:
            return None
        return link

    def _forget(self, adoption: Adoption) -> None:
        if self._waiting.get(adoption.key) is adoption:
            del self._waiting[adoption.key]
        link = adoption.link
        if link is not None and self._links.get(link) is adoption:
            del self._links[link]

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
