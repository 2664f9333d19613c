"""What a session does is in its log before anybody outside knows of it (``Sessions(store=...)``).

.. code-block:: text

    send() -> send queue -> log -> link        a message is given to a link once the log has it
    recv() again         -> log -> ACK         and acknowledged once the log says that it was taken

The messages that a handler sends while it has one in hand go into the log together with the word
that it is done with that: after a crash both are there, or neither, and the handler of the next
server gets the message again. A handler that is not done within :data:`HOLD`, or has filled the
send queue by what it has sent for that one message, has what it has sent until then written without
that word. What it has to wait for is not its own: while the queue is full of what was sent before,
it waits for that to be written and sent.

One write of a session is under way at a time; what comes meanwhile goes into the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from ..aio.session_protocol import SessionProtocol
from ..aio.tasks import Tasks, start_task
from ..aio.writing import NO_SOCKET
from ..core.session import Session
from ..core.taking import SettledTaking
from ..errors import ClusterError
from .gated_transport import GatedTransport
from .log_progress import LogProgress
from .session_store import Entry, Mark, SessionLog, SessionTakenError
from .session_table import Attempt, EndedSession

logger = logging.getLogger("sealframe.server")

HOLD: Final = 1.0
"""Seconds for which what a handler sends waits for it to be done with the message in hand."""


class LoggedSession(Session):
    """The counts of a session that has a log."""

    __slots__ = ("commits", "progress")

    commits: SessionCommits
    progress: LogProgress

    @property
    def room(self) -> int:
        """For how much of the send queue there is room: for what the log has of it."""
        return min(super().room, self.progress.ready)

    @property
    def data_room(self) -> int:
        """The same for data of streams, which is not in the log."""
        return super().room

    @property
    def complete(self) -> bool:
        """Whether the log has all that the program is done with."""
        return self.commits.complete

    def waits(self, peer_ended: bool) -> bool:
        """Return whether this end cannot close yet: CLOSE counts what the log has, so it waits for
        that too."""
        return super().waits(peer_ended) or not (self.abandoned or self.complete)

    def abandon(self) -> None:
        """Give the peer nothing more: what was accepted goes into the log, before it is dropped."""
        self.commits.seal()
        super().abandon()

    def offer(self) -> int:
        """Messages wait: have them written; return for how much there is room."""
        self.commits.offer()
        return self.room

    def keep(
        self, urgent: list[bytes], messages: list[bytes], cost: int, streams: list[bytes]
    ) -> None:
        """Keep what is given to the link, and note which of its frames are no messages."""
        before = self.retention.given
        super().keep(urgent, messages, cost, streams)
        if urgent:
            self.commits.mark(Mark(before + 1, len(urgent)))
        behind = before + len(urgent) + len(messages)
        if self.retention.given > behind:
            self.commits.mark(Mark(behind + 1, self.retention.given - behind))


class Commits:
    """What is written of a session that has no log: nothing."""

    def use_link(self, donor: SessionProtocol) -> None:
        """The session gets the link of a donor next."""

    def refuse_link(self) -> None:
        """The session cannot go on with the link that it would have got, for its client's counts
        contradict it: let that be said at once."""

    async def confirm(self, attempt: Attempt) -> None:
        """The client has come back: make sure that this server still owns the session.

        :raises ClusterError: another one has taken it over
        """

    def offer(self) -> None:
        """Messages wait in the send queue, also where there is no link."""

    def check(self) -> None:
        """The link was lost, perhaps since this server stood still: find out whether it still owns
        the session."""


NO_LOG: Final = Commits()


class SessionCommits(Commits):
    """Writes the log of one session.

    :param session: has no link before
    :param taking: the session's
    :param unsent: the messages that the numbering begins with, which the log has
    :param taken_over: called where another server has the session now
    :param tasks: gets those that write: the server waits for them as it closes
    """

    def __init__(
        self,
        protocol: SessionProtocol,
        session: LoggedSession,
        taking: SettledTaking,
        log: SessionLog,
        unsent: tuple[bytes, ...],
        taken_over: Callable[[SessionProtocol], None],
        tasks: Tasks[SessionProtocol],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._session = session
        self._taking = taking
        self._log = log
        self._taken_over = taken_over
        self._tasks = tasks
        self._progress = LogProgress(protocol.sender, session.retention, taking, unsent)
        self._gate: GatedTransport | None = None
        self._scheduled: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = False
        self._writing: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._sealed = False
        # Whether another server has the session.
        self._lost = False
        # What is to be written last.
        self._last: Entry | None = None
        self._refresher = self._loop.call_later(log.longest_pause, self._refresh)
        session.commits, session.progress = self, self._progress
        taking.on_finish = self._finished

    def use_link(self, donor: SessionProtocol) -> None:
        """Stand before the transport of a link, which the session gets next."""
        assert donor.transport is not None
        self._gate = GatedTransport(donor.transport, self._kept)
        donor.transport = self._gate
        donor.sender.socket = NO_SOCKET
        if not self._progress.marks_settled:
            self._gate.hold()

    def _kept(self) -> int:
        return self._session.retention.cost

    def refuse_link(self) -> None:
        if self._gate is not None:
            self._gate.release()

    # What the session does

    @property
    def complete(self) -> bool:
        """Whether the log has all that the program is done with."""
        return not self._taking.unsettled

    def _finished(self) -> None:
        """The handler is done with what it had in hand."""
        self._overdue = False
        self._stop_timer()
        self._set_free()

    def offer(self) -> None:
        if self._sealed or self._progress.all_free:
            return
        queue, progress = self._protocol.sender.queue, self._progress
        full = queue.over_limit and not progress.waits_for_earlier
        if not self._taking.in_hand or self._overdue or full:
            self._set_free()
        elif self._timer is None:
            self._timer = self._loop.call_later(HOLD, self._hold_no_more)

    def mark(self, mark: Mark) -> None:
        """Control frames were given to the link: they are written to it once the log knows."""
        self._progress.mark(mark)
        if self._gate is not None:
            self._gate.hold()
        self._commit_soon()

    def _hold_no_more(self) -> None:
        self._timer = None
        if self._progress.waits_for_earlier:
            # It may not even have been able to send all that belongs together.
            self._timer = self._loop.call_later(HOLD, self._hold_no_more)
            return
        self._overdue = True
        self._set_free()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_free(self) -> None:
        if not self._sealed:
            self._progress.free()
            self._commit_soon()

    # Writing

    def _refresh(self) -> None:
        self._refresher = self._loop.call_later(self._log.longest_pause, self._refresh)
        self.check()

    def check(self) -> None:
        # Written also where there is nothing new: so it shows.
        if self._writing is None and not self._sealed:
            self._start(self._progress.claim() or self._progress.repeat())

    def _commit_soon(self) -> None:
        """Write what there is by the end of this turn of the event loop."""
        if self._scheduled is None and self._writing is None and not self._sealed:
            self._scheduled = self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._scheduled = None
        # What :meth:`check` has begun to write meanwhile goes on with it.
        entry = self._progress.claim() if self._writing is None else None
        if entry is not None:
            self._start(entry)

    def _start(self, entry: Entry) -> None:
        self._writing = start_task(self._write, entry, name=f"log {self._protocol.id}")
        self._tasks.add(self._writing, self._protocol)

    async def _write(self, entry: Entry) -> None:
        following: Entry | None = entry
        try:
            while following is not None:
                entry = following
                async with self._lock:
                    await self._log.append(entry)
                self._settled(entry)
                following = None if self._sealed else self._progress.claim()
        except SessionTakenError:
            self.close()
            self._taken_over(self._protocol)
        except Exception as error:
            logger.exception("the log of client %s cannot be written", self._protocol.id)
            self.close()
            # The client comes again, and its next session begins with what the log has.
            self._protocol.cut_off()
            self._protocol.end_session(self._protocol.lost(f"its log failed: {error!r}"))
        finally:
            self._writing = None

    def _settled(self, entry: Entry) -> None:
        retention = self._session.retention
        self._log.acknowledged(retention.messages_acknowledged, retention.acknowledged)
        self._progress.settle(entry)
        if self._gate is not None and self._progress.marks_settled:
            self._gate.release()
        self._taking.settle(entry.taken)
        if not self._sealed:
            self._protocol.acknowledger.acknowledge_taken()
            if self._protocol.transport is not None:
                self._protocol.sender.flush()
            # Of a full queue only what the handler holds may be left.
            self.offer()

    async def confirm(self, attempt: Attempt) -> None:
        # A write that has begun goes on where nobody waits for it any more: the next one has to
        # know whether the log has it.
        confirming = start_task(self._confirm, attempt, name=f"log {self._protocol.id}")
        self._tasks.add(confirming, self._protocol)
        await asyncio.shield(confirming)
        if self._lost:
            # Its handler here has to end before the next one begins.
            raise ClusterError("another server has taken the session over")

    async def _confirm(self, attempt: Attempt) -> None:
        try:
            async with self._lock:
                await self._log.confirm(attempt)
        except SessionTakenError:
            self._lost = True
            self.close()
            self._taken_over(self._protocol)

    # The end

    def seal(self) -> None:
        """Take the last that is to be written, while the send queue has it. What a handler has sent
        for a message that it still has in hand is not part of it: that comes again."""
        if not self._sealed:
            if not self._taking.in_hand:
                self._progress.free()
            self._last = self._progress.claim()
        self.close()

    async def write_last(self) -> None:
        """Write what :meth:`seal` has taken."""
        last = self._last
        await self._write_behind(None if last is None else partial(self._log.append, last))

    async def end(self, ended: EndedSession, lost: Callable[[], None]) -> None:
        """Write how the session ended.

        :param lost: called where it has not: another server has it
        """
        await self._write_behind(partial(self._log.end, ended), lost)

    async def _write_behind(
        self,
        write: Callable[[], Awaitable[None]] | None,
        lost: Callable[[], None] | None = None,
    ) -> None:
        """Write once what is being written is. Where another server has the session, nobody waits
        for it here any more.

        :param write: None where only that is waited for
        :param lost: called where another server has the session
        """
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if write is None:
            return
        try:
            async with self._lock:
                await write()
        except SessionTakenError:
            if lost is not None:
                lost()
            logger.debug("session of client %s has gone on elsewhere", self._protocol.id)

    def close(self) -> None:
        """Write nothing more of what comes from now on."""
        self._sealed = True
        self._stop_timer()
        self._refresher.cancel()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
