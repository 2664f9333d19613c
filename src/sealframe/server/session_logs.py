"""The logs of one server's sessions, where it has a store (``Sessions(store=...)``)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from ..aio.session_protocol import SessionProtocol
from ..aio.tasks import Tasks, start_task
from ..core.session import Session
from ..core.taking import SettledTaking
from ..wire.control import SessionHello
from .session_commits import NO_LOG, Commits, LoggedSession, SessionCommits
from .session_store import TakenOver
from .session_table import EndedSession
from .session_writers import named, shown

logger = logging.getLogger("sealframe.server")

_WRITE_TIME: Final = 1.0
"""Seconds that a server that closes has at least to write to the logs of its sessions."""


class SessionLogs:
    """Those of the sessions that this server owns.

    :param limit: how much a session keeps until it is acknowledged, in bytes
    :param taken_over: called with a session that another server has now
    """

    def __init__(self, limit: int, taken_over: Callable[[SessionProtocol], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._taken_over = taken_over
        self._commits: dict[SessionProtocol, SessionCommits] = {}
        self._writing: Tasks[SessionProtocol] = Tasks(_written)

    def __contains__(self, protocol: SessionProtocol) -> bool:
        return protocol in self._commits

    def begin(
        self,
        protocol: SessionProtocol,
        name: str,
        asked: SessionHello,
        owned: TakenOver,
        writer: bytes,
    ) -> Session:
        """Return the session that begins with what was in the log.

        :param name: its public one
        :param writer: which start of the client's program WELCOME names
        """
        taking = SettledTaking(name, owned.taken, writer=shown(asked), last=named(owned.writer))
        session = LoggedSession(
            numbering=owned.numbering,
            limit=self._limit,
            peer_ack_by=asked.ack_by,
            taken=owned.taken,
            follows=asked.numbering,
            writer=writer,
            taking=taking,
        )
        commits = SessionCommits(
            protocol, session, taking, owned.log, owned.unsent, self._taken_over, self._writing
        )
        commits.use_link(protocol)
        self._commits[protocol] = commits
        return session

    def of(self, protocol: SessionProtocol) -> Commits:
        """Return what writes the log of a session; of one that has none, what does nothing."""
        return self._commits.get(protocol, NO_LOG)

    def seal(self, protocol: SessionProtocol) -> asyncio.Task[None] | None:
        """Have the last of a session written, that goes on elsewhere or later; return the task that
        does it."""
        commits = self._commits.pop(protocol, None)
        if commits is None:
            return None
        commits.seal()
        return self._write(protocol, commits.write_last)

    def end(self, protocol: SessionProtocol, ended: EndedSession, lost: Callable[[], None]) -> None:
        """Have it written how a session ended.

        :param lost: called where it turns out that another server has it: it has not ended
        """
        commits = self._commits.pop(protocol, None)
        if commits is not None:
            commits.close()
            self._write(protocol, commits.end, ended, lost)

    def forget(self, protocol: SessionProtocol) -> None:
        """Write nothing more of a session."""
        commits = self._commits.pop(protocol, None)
        if commits is not None:
            commits.close()

    def _write(
        self, protocol: SessionProtocol, write: Callable[..., Any], *arguments: object
    ) -> asyncio.Task[None]:
        task = start_task(write, *arguments, name=f"log {protocol.id}")
        self._writing.add(task, protocol)
        return task

    async def stop(self, deadline: float) -> None:
        """Wait for what is being written.

        :param deadline: until when at most, where that is later than in a second
        """
        await self._writing.finish(max(deadline, self._loop.time() + _WRITE_TIME))


def _written(task: asyncio.Task[None], protocol: SessionProtocol) -> None:
    if task.cancelled():
        what = "the log of client %s was not written to the end before this server closed"
        logger.warning(what, protocol.id)
    elif task.exception() is not None:
        what = "the log of client %s was not written to the end"
        logger.error(what, protocol.id, exc_info=task.exception())
