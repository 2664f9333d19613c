"""Keeps the sessions of one server: begins them, has them go on over their next link, ends them.

docs/PROTOCOL.md, section 12, has the rules for HELLO with a session; which sessions there are, and
which have to go, is in :mod:`.session_table`, and which wait for the program's answer in
:mod:`.adoption`. Nothing here waits: from the look into the table to the WELCOME nothing else
happens, so that counts and links cannot part.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

from ..aio.connection_protocol import ConnectionProtocol
from ..aio.session_info import SessionInfo
from ..aio.session_protocol import SessionProtocol
from ..aio.stats import ServerStats
from ..core import joining
from ..core.channel_frames import ViolationError
from ..core.session import Session, retention_limit
from ..core.taking import Taking
from ..errors import ConnectionClosedError, HandshakeError
from ..options import Options, Sessions
from ..trust.peer import Peer
from ..wire import CloseCode
from ..wire.control import Close, Hello, MalformedBodyError, SessionHello
from ..wire.session_name import public_name
from ..wire.writers import UNKNOWN
from .adoption import Adoptions
from .finding import FindElsewhere, Found, SessionFinder, draw_numbering
from .moving import LaterLink, MovedSession, ParkedSessions
from .session_cost import cost, was_used
from .session_logs import SessionLogs
from .session_moves import SessionMoves
from .session_store import TakenOver, TakeOver
from .session_table import EndedSession, Known, Over, SessionTable, attempt_of, session_key
from .session_writers import SessionWriters, may_follow, named, shown, told

logger = logging.getLogger("sealframe.server")

_LOST: Final = CloseCode.SESSION_LOST
_COPIED: Final = "a client came for a session that has messages from a copy of its file"
_STARTED_AGAIN: Final = "the client's program was started again"
_LEFT: Final = "the client has gone on at another server"


class SessionKeeper:
    """The sessions of one server.

    :param counters: the server's
    :param context: the server's name for its service
    :param client_of: returns whose sessions count together when room is short
    :param replaced: called with a donor and the session that has taken its link
    :param elsewhere: asks the other servers of a cluster for a session; None where there is none
    :param take_over: takes a session from the store; None where there is none
    """

    def __init__(
        self,
        sessions: Sessions,
        options: Options,
        counters: ServerStats,
        *,
        context: bytes,
        client_of: Callable[[SessionProtocol], Hashable],
        replaced: Callable[[SessionProtocol, SessionProtocol], None],
        elsewhere: FindElsewhere | None = None,
        take_over: TakeOver | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sessions = sessions
        self._counters = counters
        self._limit = retention_limit(options.outbox_limit)
        self._context = context
        self._client_of = client_of
        self._replaced = replaced
        self._table = SessionTable[SessionProtocol](sessions, cost=cost, used=was_used)
        self._keys: dict[SessionProtocol, bytes] = {}
        self.leaving: set[ConnectionProtocol] = set()
        """Those that have no key any more, since another server has them, until they have ended."""
        self._writers = SessionWriters()
        self.logs = SessionLogs(self._limit, self._taken_over)
        """The logs of the sessions, where there is a store."""
        self._parked = ParkedSessions(self._loop.call_later, self._note_moved)
        self.moves = SessionMoves(
            self._table,
            self._keys.keys(),
            self._parked,
            self._writers,
            redelivers=sessions.redelivers,
            seal=self.logs.seal,
            leave=self._leave,
            lose=self._lose,
        )
        """How sessions leave this server for another one."""
        self._finder = SessionFinder(sessions.position, elsewhere, take_over, self._parked)
        self._adoptions = None
        if sessions.position is not None or elsewhere is not None:
            self._adoptions = Adoptions(
                self._find,
                max(1, sessions.max_detached),
                adopt=self._adopt,
                keep=self._keep_for_later,
                refuse=_refuse,
            )
        self._timer: asyncio.TimerHandle | None = None

    @property
    def detached(self) -> int:
        """How many sessions have no link now."""
        return self._table.detached

    @property
    def logged_for(self) -> float | None:
        """Seconds for which a session is kept in the log; None where there is none."""
        return None if self._sessions.store is None else self._sessions.keep

    @property
    def adopting(self) -> int:
        """How many wait for the program's position, and are no clients yet."""
        return 0 if self._adoptions is None else self._adoptions.waiting

    def join(self, protocol: SessionProtocol, hello: Hello) -> None:
        """Decide what becomes of a HELLO with a session."""
        try:
            asked = SessionHello.decode(hello.session, hello.writers)
        except MalformedBodyError as fault:
            protocol.fail_protocol(f"HELLO is malformed: {fault}")
            return
        key = self._key(protocol, asked.token)
        found = self._table.find(key)
        if (
            isinstance(found, Known)
            and attempt_of(asked) > found.attempt
            and not found.session.closer.may_go_on
        ):
            # It has said its CLOSE, or failed; what comes now is answered as if that had arrived.
            found.session.drop()
            found = self._table.find(key)
        positions = self._sessions.position is not None
        if positions and isinstance(found, Over) and found.left_behind(asked):
            # It has not ended: the position says how far it is.
            self._table.forget(key)
            found = None
        begins = found is None and not asked.known and not self._sessions.counts_taken
        if not protocol.closer.handshaking and not (begins and not protocol.stats.bytes_sent):
            # It was silent for so long that it is served as one of packets. It comes again.
            protocol.closer.abort(ConnectionClosedError("its HELLO with a session came too late"))
        elif not may_follow(asked.writers, self._writers.last_of(found)):
            if positions and isinstance(found, Known):
                # Another server may have gone on with it: the position says so.
                assert self._adoptions is not None
                self._adoptions.ask(key, _info(protocol, asked), protocol, asked)
            else:
                _refuse(protocol, Close(CloseCode.SUPERSEDED), _COPIED)
        elif found is None:
            if self._adoptions is None or not self._finder.waits(key, asked):
                self._adopt(protocol, asked, key, Found(None, None))
            else:
                self._adoptions.ask(key, _info(protocol, asked), protocol, asked)
        elif isinstance(found, Over):
            _refuse(protocol, found.ended.close, "a client came back for a session that is over")
        elif self._adoptions is not None and found.session in self.logs:
            # Another server may have it by now, if this one stood still.
            self._adoptions.ask(key, _info(protocol, asked), protocol, asked)
        else:
            self._find_link(found, protocol, asked, key)

    async def _find(self, key: bytes, info: SessionInfo, asked: SessionHello) -> Found:
        known = self._table.find(key)
        if not isinstance(known, Known):
            return await self._finder.find(key, info, asked)
        if self._sessions.position is not None:
            return replace(await self._finder.find_position(info), here=True)
        attempt = attempt_of(asked)
        if attempt > known.attempt and attempt[0] == known.attempt[0]:
            await self.logs.of(known.session).confirm(attempt)
        return Found(None, None, here=True)

    def _key(self, protocol: SessionProtocol, token: bytes) -> bytes:
        # A client is the same with either pattern that proves its key.
        records = protocol.machine.records
        return session_key(
            token,
            client_key=b"" if records is None else records.peer_key,
            sealed=records is not None,
            context=b"" if records is None else self._context,
        )

    def _adopt(
        self, protocol: SessionProtocol, asked: SessionHello, key: bytes, found: Found
    ) -> None:
        """Begin a session that is not known here, or refuse it."""
        if self._adoptions is not None and not joining.check_again(protocol.machine):
            protocol.handle_events()
            return
        elsewhere = found.elsewhere
        if found.here:
            known = self._table.find(key)
            if isinstance(known, Known):
                session = known.session
                if may_follow(asked.writers, self._writers.last(session)) or (
                    # A later start has gone on at another server, which has no cluster with this.
                    asked.start > known.attempt[0]
                    and found.is_ahead_of(session.messages_of_session, asked.writers)
                ):
                    self._find_link(known, protocol, asked, key)
                else:
                    _refuse(protocol, Close(CloseCode.SUPERSEDED), _COPIED)
            else:
                text = "a client came back for a session that has just ended"
                _refuse(protocol, Close(CloseCode.BUSY, "try again"), text)
        elif not may_follow(asked.writers, found.last_writer):
            self._keep_for_later(found)
            _refuse(protocol, Close(CloseCode.SUPERSEDED), _COPIED)
        elif isinstance(elsewhere, TakenOver):
            if elsewhere.taken or elsewhere.unsent or asked.known:
                self._counters.sessions_resumed += 1
            protocol.sender.queue.extend(list(elsewhere.unsent))
            taken, last = elsewhere.taken, elsewhere.writer
            self._begin(protocol, asked, key, taken=taken, last=last, owned=elsewhere)
        elif isinstance(elsewhere, LaterLink):
            code, what = CloseCode.SUPERSEDED, "a later link"
            if elsewhere.attempt < attempt_of(asked) and found.writer != UNKNOWN:
                # It went on elsewhere since, says the program: that server does not know, until
                # its state is over.
                code, what = CloseCode.BUSY, "an earlier state"
            text = f"a client came for a session that has {what} at another server"
            _refuse(protocol, Close(code), text)
        elif isinstance(elsewhere, EndedSession) and found.position is None:
            _refuse(protocol, elsewhere.close, "a client came back for a session that is over")
        elif isinstance(elsewhere, MovedSession):
            self._parked.drop(key, elsewhere.question.attempt)
            self._go_on_here(protocol, asked, elsewhere, found)
        elif found.position is None and asked.known:
            _refuse(protocol, Close(_LOST), "a client came back for a session that is unknown")
        else:
            self._begin(protocol, asked, key, taken=found.position or 0, last=found.last_writer)

    def _go_on_here(
        self,
        protocol: SessionProtocol,
        asked: SessionHello,
        moved: MovedSession,
        found: Found,
    ) -> None:
        """Begin with what another server has given up, before anything else."""
        taken = moved.taken
        if found.position is None:
            protocol.receiver.queue.extend(list(moved.unread))
        else:
            # What its program has not finished comes again.
            taken = found.position
        protocol.sender.queue.extend(list(moved.unsent))
        self._counters.sessions_resumed += 1
        self._begin(protocol, asked, moved.question.key, taken=taken, last=found.last_writer)

    def _keep_for_later(self, found: Found) -> None:
        """The link for which a session was found is gone: its client comes again."""
        if isinstance(found.elsewhere, MovedSession):
            self._parked.add(found.elsewhere)

    def _begin(
        self,
        protocol: SessionProtocol,
        asked: SessionHello,
        key: bytes,
        *,
        taken: int,
        last: bytes,
        owned: TakenOver | None = None,
    ) -> None:
        name = public_name(asked.token)
        writer = told(asked, taken, last)
        if owned is not None:
            session = self.logs.begin(protocol, name, asked, owned, writer)
        else:
            taking = None
            if self._sessions.counts_taken:
                carried = len(protocol.receiver.queue)
                taking = Taking(
                    name, taken - carried, carried, writer=shown(asked), last=named(last)
                )
            session = Session(
                numbering=draw_numbering(),
                limit=self._limit,
                peer_ack_by=asked.ack_by,
                taken=taken,
                follows=asked.numbering,
                writer=writer,
                taking=taking,
            )
        self._writers.add(protocol, asked, last)
        self._table.add(key, protocol, attempt_of(asked), self._client_of(protocol))
        self._keys[protocol] = key
        self.moves.begun(protocol)
        keep, credit = self._sessions.keep_seconds, protocol.switch.first_credit()
        protocol.begin(session, session.welcome(keep=keep, credit=credit, taken=taken))

    def _find_link(
        self,
        found: Known[SessionProtocol],
        protocol: SessionProtocol,
        asked: SessionHello,
        key: bytes,
    ) -> None:
        """A client came for a session that is not over."""
        start, session = found.attempt[0], found.session.session
        assert session is not None
        if not self._table.attach(key, attempt_of(asked)):
            text = "a client came for a session that has a later link"
            _refuse(protocol, Close(CloseCode.SUPERSEDED), text)
        elif asked.start > start:
            self._begin_anew(found.session, protocol, asked, _STARTED_AGAIN)
        elif self._sessions.position is not None and session.left_behind(asked.numbering):
            self._begin_anew(found.session, protocol, asked, _LEFT)
        else:
            self._resume(found.session, protocol, asked)

    def _resume(
        self, session: SessionProtocol, protocol: SessionProtocol, asked: SessionHello
    ) -> None:
        self.logs.of(session).use_link(protocol)
        try:
            without = session.switch.resume(protocol, asked, keep=self._sessions.keep_seconds)
        except ViolationError as fault:
            text = f"the session cannot go on: {fault}"
            self.logs.of(session).refuse_link()
            _refuse(protocol, Close(_LOST), text)
            self._lose(session, text)
        else:
            self._counters.sessions_resumed += 1
            logger.debug("client %s is back after %.1f s", session.id, without)
            self._replaced(protocol, session)

    def _begin_anew(
        self, old: SessionProtocol, protocol: SessionProtocol, asked: SessionHello, text: str
    ) -> None:
        """The client has lost what came of this server, or has left it behind, as ``text`` says:
        another handler goes on with the messages that the old one has not taken for good."""
        old.cut_off()
        key, taken, last = self._keys[old], old.messages_of_session, self._writers.last(old)
        self._forget(old, key)
        if not old.sender.all_acknowledged:
            text += ", and what it had not acknowledged is lost"
        error = old.lost(text, code=_LOST)
        if not self._sessions.redelivers:
            protocol.receiver.queue.extend(old.receiver.queue.pop_many(None))
            old.end_session(error)
            self._begin(protocol, asked, key, taken=taken, last=last)
        else:
            # What it has not finished comes again.
            assert self._adoptions is not None
            self.logs.forget(old)
            old.discard_received(error)
            self._adoptions.add_handler(key, old.closer.handler)
            old.end_session(error)
            self._adoptions.ask(key, _info(protocol, asked), protocol, asked)

    def _leave(self, session: SessionProtocol, key: bytes) -> None:
        """Another server has this session."""
        self.leaving.add(session)
        self._forget(session, key)

    def _forget(self, session: SessionProtocol, key: bytes) -> None:
        """Let another session have this one's name."""
        del self._keys[session]
        self._writers.forget(session)
        self._table.forget(key)
        self.moves.note()

    def _taken_over(self, protocol: SessionProtocol) -> None:
        """Another server has a session: this one stood still for too long."""
        key = self._keys.get(protocol)
        if key is None:
            return
        logger.warning("client %s: another server has taken its session over", protocol.id)
        protocol.cut_off()
        self.logs.forget(protocol)
        self._leave(protocol, key)
        self._counters.sessions_lost += 1
        if self._adoptions is not None:
            self._adoptions.add_handler(key, protocol.closer.handler)
        text = "the session goes on at another server of the cluster, which has taken it over"
        error = protocol.lost(text, code=_LOST)
        protocol.discard_received(error)
        protocol.end_session(error)

    def _note_moved(self) -> None:
        self.moves.note()

    # What happens to sessions

    def link_lost(self, protocol: SessionProtocol, error: ConnectionClosedError) -> None:
        """A session has lost its link: keep it for a while."""
        logger.debug("client %s has lost its link: %s", protocol.id, error)
        self._table.detach(self._keys[protocol], self._loop.time())
        self.logs.of(protocol).check()
        self._make_room()
        self._watch()

    def grew(self, protocol: SessionProtocol) -> None:
        """More waits for a session without a link, or less."""
        self.logs.of(protocol).offer()
        key = self._keys.get(protocol)
        if key is not None:
            self._table.update_cost(key)
            self._make_room()

    def _make_room(self) -> None:
        for victim in self._table.make_room():
            self._lose(victim, "no room for more sessions without a link")

    def _lose(self, session: SessionProtocol, text: str) -> None:
        self._counters.sessions_lost += 1
        self.leaving.discard(session)
        session.end_session(session.lost(text, code=_LOST))

    def ended(self, protocol: SessionProtocol) -> None:
        """A connection is over; remember how, if it was a session."""
        key = self._keys.pop(protocol, None)
        self.leaving.discard(protocol)
        self.moves.ended(protocol)
        last = self._writers.last(protocol)
        self._writers.forget(protocol)
        self.moves.note()
        if self._adoptions is not None:
            self._adoptions.link_gone(protocol)
            if key is not None and self._sessions.redelivers:
                self._adoptions.add_handler(key, protocol.closer.handler)
        if key is None:
            return
        closer, session = protocol.closer, protocol.session
        assert session is not None
        code = closer.ended_with
        lacks = session.retention.cost or protocol.stats.unsent or not session.complete
        if code is None or (code == CloseCode.NORMAL and (lacks or closer.close_sent is None)):
            # The client did not get all, and is not to take this for a close in order.
            code = _LOST
        if self._sessions.redelivers and code in (_LOST, CloseCode.GOING_AWAY):
            # It can begin again where the program's position says, or the log.
            self._table.forget(key)
            self.logs.seal(protocol)
            return
        received = session.acknowledgeable(protocol.machine.frames_received)
        ended = EndedSession(code, received, closer.discarded, last)
        self._table.end(key, ended, self._loop.time(), numberings=session.numberings)
        self.logs.end(protocol, ended, partial(self._forget_end, key))
        self._watch()

    def _forget_end(self, key: bytes) -> None:
        """A session that ended here had gone on at another server before."""
        if isinstance(self._table.find(key), Over):
            self._table.forget(key)

    def _watch(self) -> None:
        interval = self._table.interval
        if self._timer is None and interval is not None:
            self._timer = self._loop.call_later(interval, self._expire)

    def _expire(self) -> None:
        self._timer = None
        keep = self._sessions.keep
        for session in self._table.expire(self._loop.time()):
            text = f"the client did not come back within keep, {keep:g} s"
            self._lose(session, text)
        self._watch()

    def exclude(self, task: asyncio.Task[Any] | None) -> None:
        """Do not wait for a task that waits for :meth:`stop_asking` itself."""
        if self._adoptions is not None:
            self._adoptions.exclude(task)

    async def stop_asking(self) -> None:
        """Adopt no more sessions."""
        if self._adoptions is not None:
            await self._adoptions.stop()

    def close(self) -> None:
        """Keep nothing any more: the server is closed."""
        self._parked.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _info(protocol: SessionProtocol, asked: SessionHello) -> SessionInfo:
    # What ConnectionConfig gave the machine as `identify` returns nothing else.
    peer = cast("Peer | None", protocol.machine.peer)
    return SessionInfo(public_name(asked.token), peer, shown(asked))


def _refuse(protocol: SessionProtocol, close: Close, text: str) -> None:
    protocol.refuse(close, HandshakeError(text, code=close.code))
