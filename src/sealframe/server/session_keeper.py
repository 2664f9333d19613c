"""Keeps the sessions of one server: begins them, has them go on over their next link, ends them.

docs/PROTOCOL.md, section 12, has the rules for HELLO with a session; which sessions there are, and
which have to go, is in :mod:`.session_table`, and which wait for the program's answer in
:mod:`.adoption`. Nothing here waits: from the look into the table to the WELCOME nothing else
happens, so that counts and links cannot part.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Hashable
from typing import Any, Final, cast

from ..aio.session_info import SessionInfo
from ..aio.session_protocol import SessionProtocol
from ..aio.stats import ServerStats
from ..core import joining
from ..core.channel_frames import ViolationError
from ..core.session import Session
from ..core.taking import Taking
from ..errors import ConnectionClosedError, HandshakeError
from ..options import Options, Sessions
from ..trust.peer import Peer
from ..wire import MIN_ACK_BY, CloseCode
from ..wire.control import Close, Hello, MalformedBodyError, SessionHello
from ..wire.session_name import public_name
from .adoption import Adoptions
from .session_table import Known, Over, SessionTable, attempt_of, session_key

logger = logging.getLogger("sealframe.server")

_LOST: Final = CloseCode.SESSION_LOST

# What sessions without a link were measured to hold, as growth of the process for each of some
# hundred: 5 KiB, sealed ones 6.5; once a request was made, 9 and 12.
_EMPTY: Final = 5 * 1024
"""Bytes of an idle session, its handler's task included, about."""
_SEALED: Final = 1536
"""The same of its keys."""
_CHANNELS: Final = 5 * 1024
"""The same of what streams and requests need, once there were any."""


class SessionKeeper:
    """The sessions of one server.

    :param counters: the server's
    :param context: the server's name for its service
    :param client_of: returns whose sessions count together when room is short
    :param replaced: called with a donor and the session that has taken its link
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
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sessions = sessions
        self._counters = counters
        self._limit = max(MIN_ACK_BY, options.outbox_limit)
        self._context = context
        self._client_of = client_of
        self._replaced = replaced
        self._table: SessionTable[SessionProtocol] = SessionTable(
            sessions, cost=_cost, used=_was_used
        )
        self._keys: dict[SessionProtocol, bytes] = {}
        self._adoptions = None
        if sessions.position is not None:
            self._adoptions = Adoptions(
                sessions.position,
                max(1, sessions.max_detached),
                adopt=self._adopt,
                refuse=_refuse,
            )
        self._timer: asyncio.TimerHandle | None = None

    @property
    def detached(self) -> int:
        """How many sessions have no link now."""
        return self._table.detached

    @property
    def adopting(self) -> int:
        """How many wait for the program's position, and are no clients yet."""
        return 0 if self._adoptions is None else self._adoptions.waiting

    def join(self, protocol: SessionProtocol, hello: Hello) -> None:
        """Decide what becomes of a HELLO with a session."""
        try:
            asked = SessionHello.decode(hello.session)
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
        begins = found is None and not asked.known and not self._sessions.counts_taken
        if not protocol.closer.handshaking and not (begins and not protocol.stats.bytes_sent):
            # It was silent for so long that it is served as one of packets. It comes again.
            protocol.closer.abort(ConnectionClosedError("its HELLO with a session came too late"))
        elif found is None:
            if self._adoptions is None:
                self._adopt(protocol, asked, key, None)
            else:
                self._adoptions.ask(key, _info(protocol, asked), protocol, asked)
        elif isinstance(found, Over):
            close = Close(
                found.code, frames_received=found.received, messages_discarded=found.discarded
            )
            _refuse(protocol, close, "a client came back for a session that is over")
        else:
            self._find_link(found, protocol, asked, key)

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
        self, protocol: SessionProtocol, asked: SessionHello, key: bytes, position: int | None
    ) -> None:
        """Begin a session that is not known here.

        :param position: how many of its messages the program has taken, None for no such number
        """
        if self._adoptions is not None and not joining.check_again(protocol.machine):
            protocol.handle_events()
        elif position is None and asked.known:
            _refuse(protocol, Close(_LOST), "a client came back for a session that is unknown")
        else:
            self._begin(protocol, asked, key, taken=position or 0)

    def _begin(
        self, protocol: SessionProtocol, asked: SessionHello, key: bytes, *, taken: int
    ) -> None:
        numbering = 0
        while not numbering:
            numbering = secrets.randbits(64)
        taking = None
        if self._sessions.counts_taken:
            carried = len(protocol.receiver.queue)
            taking = Taking(public_name(asked.token), taken - carried, carried)
        session = Session(
            numbering=numbering,
            limit=self._limit,
            peer_ack_by=asked.ack_by,
            taken=taken,
            taking=taking,
        )
        self._table.add(key, protocol, attempt_of(asked), self._client_of(protocol))
        self._keys[protocol] = key
        keep, credit = self._sessions.keep_seconds, protocol.first_credit()
        protocol.begin(session, session.welcome(keep=keep, credit=credit, taken=taken))

    def _find_link(
        self,
        found: Known[SessionProtocol],
        protocol: SessionProtocol,
        asked: SessionHello,
        key: bytes,
    ) -> None:
        """A client came for a session that is not over."""
        start, _ = found.attempt
        if not self._table.attach(key, attempt_of(asked)):
            text = "a client came for a session that has a later link"
            _refuse(protocol, Close(CloseCode.SUPERSEDED), text)
        elif asked.start > start:
            self._begin_anew(found.session, protocol, asked, key)
        else:
            self._resume(found.session, protocol, asked)

    def _resume(
        self, session: SessionProtocol, protocol: SessionProtocol, asked: SessionHello
    ) -> None:
        try:
            without = session.resume(protocol, asked, keep=self._sessions.keep_seconds)
        except ViolationError as fault:
            text = f"the session cannot go on: {fault}"
            _refuse(protocol, Close(_LOST), text)
            self._lose(session, text)
        else:
            self._counters.sessions_resumed += 1
            logger.debug("client %s is back after %.1f s", session.id, without)
            self._replaced(protocol, session)

    def _begin_anew(
        self, old: SessionProtocol, protocol: SessionProtocol, asked: SessionHello, key: bytes
    ) -> None:
        """The client's program was started again, and has lost what came of this server: another
        handler goes on with the messages that the old one has not taken for good."""
        old.cut_off()
        taken = old.messages_of_session
        self._forget(old, key)
        text = "the client's program was started again, and what it had not acknowledged is lost"
        error = old.lost(text, code=_LOST)
        if self._adoptions is None:
            protocol.receiver.queue.extend(old.receiver.queue.pop_many(None))
            old.end_session(error)
            self._begin(protocol, asked, key, taken=taken)
        else:
            # What it has not finished comes again.
            old.discard_received(error)
            self._adoptions.add_handler(key, old.closer.handler)
            old.end_session(error)
            self._adoptions.ask(key, _info(protocol, asked), protocol, asked)

    def _forget(self, session: SessionProtocol, key: bytes) -> None:
        """Let another session have this one's name."""
        del self._keys[session]
        self._table.forget(key)

    # What happens to sessions

    def link_lost(self, protocol: SessionProtocol, error: ConnectionClosedError) -> None:
        """A session has lost its link: keep it for a while."""
        logger.debug("client %s has lost its link: %s", protocol.id, error)
        self._table.detach(self._keys[protocol], self._loop.time())
        self._make_room()
        self._watch()

    def grew(self, protocol: SessionProtocol) -> None:
        """More waits for a session without a link, or less."""
        key = self._keys.get(protocol)
        if key is not None:
            self._table.update_cost(key)
            self._make_room()

    def _make_room(self) -> None:
        for victim in self._table.make_room():
            self._lose(victim, "no room for more sessions without a link")

    def _lose(self, session: SessionProtocol, text: str) -> None:
        self._counters.sessions_lost += 1
        session.end_session(session.lost(text, code=_LOST))

    def ended(self, protocol: SessionProtocol) -> None:
        """A connection is over; remember how, if it was a session."""
        key = self._keys.pop(protocol, None)
        if self._adoptions is not None:
            self._adoptions.link_gone(protocol)
            if key is not None:
                self._adoptions.add_handler(key, protocol.closer.handler)
        if key is None:
            return
        closer, session = protocol.closer, protocol.session
        assert session is not None
        code = closer.ended_with
        lacks = session.retention.cost or protocol.stats.unsent
        if code is None or (code == CloseCode.NORMAL and (lacks or closer.close_sent is None)):
            # The client did not get all, and is not to take this for a close in order.
            code = _LOST
        if self._adoptions is not None and code in (_LOST, CloseCode.GOING_AWAY):
            # It can begin again where the program's position says.
            self._table.forget(key)
            return
        received = session.acknowledgeable(protocol.machine.frames_received)
        now = self._loop.time()
        self._table.end(key, code, received, now, discarded=closer.discarded)
        self._watch()

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
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _info(protocol: SessionProtocol, asked: SessionHello) -> SessionInfo:
    # What ConnectionConfig gave the machine as `identify` returns nothing else.
    peer = cast("Peer | None", protocol.machine.peer)
    return SessionInfo(public_name(asked.token), peer)


def _refuse(protocol: SessionProtocol, close: Close, text: str) -> None:
    protocol.refuse(close, HandshakeError(text, code=close.code))


def _was_used(protocol: SessionProtocol) -> bool:
    """Return whether anything of the client came after its HELLO."""
    session = protocol.session
    acknowledged = session is not None and session.retention.acknowledged > 0
    return acknowledged or protocol.machine.frames_received > 0


def _cost(protocol: SessionProtocol) -> int:
    """Return what a session holds in memory, in bytes."""
    session = protocol.session
    cost = _EMPTY + (0 if session is None else session.retention.cost)
    cost += protocol.sender.queue.queued_bytes + protocol.receiver.queue.queued_bytes
    if protocol.machine.sealed:
        cost += _SEALED
    if protocol.channels is not None:
        cost += _CHANNELS + protocol.channels.queued_bytes
    return cost
