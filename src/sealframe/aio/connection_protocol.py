"""One open socket as the event loop sees it, from the first byte to the last.

:class:`ConnectionProtocol` holds the parts of a connection together and moves bytes between them:

``transport <-> machine`` (:mod:`sealframe.core.protocol`, sans-IO)

- :class:`.receiver.Receiver`: what is taken in
- :class:`.sender.Sender`: what is given out
- :class:`.closer.Closer`: the end, by the table of :mod:`sealframe.core.closing`
- :class:`.keepalive_timer.KeepaliveTimer`: signs of life
- :class:`.channels.Channels`: streams and requests

Programs see it through :class:`sealframe.Connection`.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final, cast

from ..core.budget import CLIENT_WINDOW, Budget
from ..core.events import (
    Acknowledged,
    Credited,
    Ended,
    Established,
    Event,
    Failed,
    GoingAway,
    Joining,
    Phase,
    Ponged,
)
from ..core.growth import Growing
from ..core.keepalive import is_watched
from ..core.protocol import ProtocolMachine
from ..core.window import Window
from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    HandshakeTimeoutError,
    PeerTimeoutError,
    SlowPeerError,
    WrongLoopError,
)
from ..options import Options
from ..wire.control import Close, Hello
from .addresses import Address, address_of, show
from .callback_receiver import CallbackReceiver
from .channels import Channels
from .closer import Closer
from .connection_owner import ConnectionOwner
from .fast_path import ReadPath
from .keepalive_timer import KeepaliveTimer, KeepaliveWheel, keepalive_wheel
from .peer_handlers import NO_HANDLERS, OnBytes, PeerHandlers
from .pings import Pings
from .receiver import Receiver
from .sender import Sender
from .socket_options import INHERITED, WRITE_BUFFER, configure
from .stats import Stats
from .trace_log import TraceLog, logger
from .writing import NO_SOCKET

_CLOSED: Final = ConnectionClosedError("the connection is closed")

_ANSWER_ANY_THREAD: Final = ("asyncio.", "uvloop.")
"""Whose transports tell their addresses in any thread, as the threads of ``sealframe.sync`` ask;
those of others (aiofastnet) may refuse, and are asked once."""


class ConnectionProtocol(ReadPath, asyncio.BufferedProtocol):
    """What the event loop calls.

    :param machine: the protocol, sans-IO
    :param owner: is told how it goes
    :param id: names the connection, in the log too
    :param handlers: what is done with the streams and requests of the peer
    :param budget: what receive queues share; None for one of its own
    :param keepalive_wheel: what times the keepalive, shared with others of the same options;
        None for one of its own
    :param addresses: the peer's and that of this end, where not those of the socket are meant: the
        client's behind a balancer; None for what the transport tells
    """

    __slots__ = (
        "__weakref__",
        "_addresses",
        "_keepalive_wheel",
        "_owner",
        "handlers",
        "id",
        "options",
        "pings",
    )

    def __init__(
        self,
        machine: ProtocolMachine,
        options: Options,
        owner: ConnectionOwner,
        *,
        id: str = "",
        handlers: PeerHandlers | None = None,
        budget: Budget | None = None,
        keepalive_wheel: KeepaliveWheel | None = None,
        addresses: tuple[Address, Address] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.machine = machine
        self.options = options
        self.id = id
        self.handlers = handlers or NO_HANDLERS
        self.stats = Stats()
        self.transport = None
        self.sender = self._make_sender()
        self.receiver = self._make_receiver(budget)
        self.closer = Closer(self)
        self.keepalive = None
        self.channels = None
        self.pings: Pings | None = None
        """The PINGs that wait for PONG, once there were any."""
        self._owner: ConnectionOwner | None = owner
        self._addresses = addresses
        self._keepalive_wheel = keepalive_wheel
        self.trace = machine.trace
        self.since = 0.0

    def _make_sender(self) -> Sender:
        return Sender(self, self.options.outbox_limit)

    def _make_receiver(self, budget: Budget | None) -> Receiver:
        options, on_message = self.options, self.handlers.on_message
        if budget is None:
            budget = Budget(options.pause_limit, options.window_limit, CLIENT_WINDOW)
        if on_message is None:
            return Receiver(self, budget)
        return CallbackReceiver(self, budget)

    def rename(self, id: str) -> None:
        """Take the id that the server gave."""
        self.id = id
        if isinstance(self.trace, TraceLog):
            self.trace.id = id

    @property
    def busy(self) -> bool:
        """Whether anything that the peer asked for is still under way."""
        return self.channels is not None and self.channels.busy

    @property
    def remote_address(self) -> Address:
        """The peer's address, also once the socket is gone."""
        return self.look_up_addresses()[0]

    @property
    def local_address(self) -> Address:
        """The address of this end, likewise."""
        return self.look_up_addresses()[1]

    def look_up_addresses(self) -> tuple[Address, Address]:
        # The transport knows them; ours would take 300 bytes of each idle connection.
        if self._addresses is not None:
            return self._addresses
        transport = self.transport
        if transport is None:
            return None, None
        return address_of(transport, "peername"), address_of(transport, "sockname")

    def check_loop(self) -> None:
        """Refuse a call from another thread or event loop.

        :raises WrongLoopError: it is one
        """
        if asyncio._get_running_loop() is not self.loop:
            raise WrongLoopError(
                "a connection belongs to the event loop that made it; from another thread use "
                "asyncio.run_coroutine_threadsafe() or loop.call_soon_threadsafe()"
            )

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start: the socket is open."""
        # uvloop's transports do not inherit from asyncio's.
        self.transport = transport = cast("asyncio.Transport", transport)
        if self.machine.client or not INHERITED:
            keepalive = self.machine.phase in (Phase.FIRST, Phase.PACKETS)
            configure(transport.get_extra_info("socket"), self.options, keepalive=keepalive)
        transport.set_write_buffer_limits(high=WRITE_BUFFER)
        if not type(transport).__module__.startswith(_ANSWER_ANY_THREAD):
            self._addresses = self.look_up_addresses()
        if not self.closer.handshaking:
            # The program gave the connection up before the event loop told of it.
            transport.abort()
            return
        if self.trace is not None:
            self.trace("connected to %s", show(self.remote_address))
        self.handle_events()
        if self.closer.handshaking:
            self.closer.start_handshake_timer(
                self.options.handshake_timeout, self._handshake_timed_out
            )
        self.sender.flush()

    def eof_received(self) -> bool:
        """Take in the peer's FIN; keep our own direction open."""
        if self.trace is not None:
            self.trace("< FIN")
        self.machine.receive_eof()
        self.handle_events(at_fin=True)
        self.sender.flush()
        self.closer.peer_fin()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End: the socket is gone."""
        self._addresses = self.look_up_addresses()
        self.transport = None
        self.sender.socket = NO_SOCKET
        lossy = exc is not None or not self.sender.all_sent
        failure = self._lose(exc)
        error: ConnectionClosed = failure or self.receiver.error or _CLOSED
        self.finish(error, lossy=lossy or failure is not None)

    def finish(self, error: ConnectionClosed, *, lossy: bool) -> None:
        """End: there is no socket, and there will be none.

        :param lossy: whether something was left unsent, or the peer did not end in order
        """
        self.machine.lose()
        self.closer.lost(error, lossy=lossy)
        self.receiver.finish()
        if self._owner is not None:
            # It holds what holds this connection.
            owner, self._owner = self._owner, None
            owner.on_finished(self)

    # Sessions: aio/session_protocol.py

    @property
    def detached(self) -> bool:
        """Whether this is a session without a link, which may get another one."""
        return False

    @property
    def links(self) -> int:
        """How many links there were: 1, unless this is a session."""
        return 1

    async def wait_attached(self) -> None:
        """Wait for a link, where there is none and this is a session.

        :raises ConnectionClosed: there will be none
        """
        if self.closer.closed:
            raise (self.sender.error or _CLOSED).fresh()

    def end_detached(self) -> None:
        """End a session that has no link."""

    def queued_detached(self) -> None:
        """Something waits to be sent, and there is no link."""

    @property
    def on_message(self) -> OnBytes | None:
        """What is called with each message, None where ``recv`` takes them."""
        return self.handlers.on_message

    @property
    def sent_count(self) -> int:
        """How many frames the peer has to have received once it has all; it tells its count in
        CLOSE, and may count more."""
        return self.stats.messages_sent

    def ended(self, text: str, *, code: int | None, reason: str) -> ConnectionClosedError:
        """Return the error of a connection that the peer has ended, not in order."""
        return ConnectionClosedError(text, code=code, reason=reason)

    def end_error(self, error: ConnectionClosed, *, sends_on: bool) -> ConnectionClosed:
        """Return what the program is told where this is why the connection ends.

        :param sends_on: whether what was accepted is still sent
        """
        return error

    @property
    def discarded(self) -> int:
        """How many messages CLOSE says that this end has thrown away."""
        return self.stats.discarded

    @property
    def unread(self) -> int:
        """How many messages wait for the program that count as received at the peer."""
        return len(self.receiver.queue)

    def receive_for_nobody(self) -> None:
        """This end closes, and nobody is left who would take messages."""
        self.receiver.stop_holding_back()

    def surrender(self) -> tuple[ProtocolMachine, asyncio.Transport]:
        """Give the open socket and what was read from it away; nothing happens here any more."""
        transport = self.transport
        assert transport is not None
        self.closer.forget()
        self.transport = None
        self._owner = None
        return self.machine, transport

    def socket_failed(self, number: int) -> None:
        """End: a write past the transport found that the socket has failed."""
        self.closer.abort(self._lose(OSError(number, os.strerror(number))) or _CLOSED)

    def output_failed(self, error: Exception, messages: int) -> None:
        """End: what was to be sent could not be framed or sealed, as where all nonces are used. If
        anything followed, the peer would not know that something is missing.

        :param messages: how many of it were taken from the queue, or never came there
        """
        self.stats.unsent += messages
        self.closer.abort(not_written(error))

    def _lose(self, cause: Exception | None) -> ConnectionClosedError | None:
        self.machine.receive_loss(cause)
        failure = None
        for event in self._take_events():
            match event:
                case Established(hello):
                    # In place of WELCOME, after messages.
                    self._establish(hello)
                case Failed(error):
                    failure = error
        return failure

    def pause_writing(self) -> None:
        """Hold messages back: the transport's buffer is full."""
        if self.trace is not None:
            self.trace("writing paused: the transport is full")
        self.sender.pause_writing()

    def resume_writing(self) -> None:
        """Go on writing."""
        if self.trace is not None:
            self.trace("writing resumed")
        self.sender.resume_writing()

    def _handshake_timed_out(self) -> None:
        text = f"no handshake within handshake_timeout, {self.options.handshake_timeout:g} s"
        error = HandshakeTimeoutError(self.machine.explain(text))
        self.machine.expire()
        if self.machine.has_output:
            # These few bytes do not wait for a peer that reads.
            self.sender.flush()
            self.closer.fail(error, answered=False)
        else:
            self.closer.abort(error)

    # What the machine says

    def _take_events(self) -> list[Event] | tuple[()]:
        events, self.machine.events = self.machine.events, ()
        return events

    def handle_events(self, *, at_fin: bool = False) -> None:
        """Take in what the machine has to tell.

        :param at_fin: whether the peer's stream has just ended
        """
        for event in self._take_events():
            match event:
                case Established(hello):
                    self._establish(hello)
                case Ponged(body):
                    if self.pings is not None:
                        self.receiver.ponged(self.pings.answer(body))
                case GoingAway(close):
                    self.closer.peer_announced = close
                case Credited(increment):
                    self.sender.add_credit(increment)
                case Acknowledged():
                    self.sender.flush()
                case Joining(hello):
                    assert self._owner is not None
                    self._owner.on_joining(self, hello)
                case Ended(close, unanswered):
                    self.peer_closed(close, unanswered=unanswered)
                case Failed(error):
                    self.fail(error, at_fin=at_fin)
                case _:
                    # What a peer asks for once it is all over is served no more.
                    if not self.receiver.over:
                        self.open_channels().handle(event)

    def _establish(self, hello: Hello) -> None:
        machine = self.machine
        self.sender.queue.open(machine.send_minimum, machine.send_limit)
        if self.keepalive is None and is_watched(self.options, probing=machine.extended):
            wheel = self._keepalive_wheel or keepalive_wheel(self.options)
            self.keepalive = KeepaliveTimer(self, wheel)
        self._set_windows()
        first = self.closer.established()
        if first and self.transport is not None:
            # Until now reading went on, since WELCOME may stand behind many messages.
            self.receiver.pause_if_full()
        if self.keepalive is not None:
            # A client of a plain server that says HELLO answers PING from now on.
            self.keepalive.start()
        if not first:
            self.closer.repeat_announcement()
        elif self._owner is not None:
            self._owner.on_established(self, hello)

    def _set_windows(self) -> None:
        if not self.machine.windowed:
            self.receiver.window = None
            return
        peer = self.machine.introductions.peer
        assert peer is not None
        assert peer.window is not None
        self.sender.limit_credit(peer.window)
        # What waits of a session is of an earlier numbering, in which it has cost its credit.
        session = self.machine.session
        received = self.receiver.queue.queued_bytes if session is None else 0
        self.receiver.open_window(Window(self.machine.window, received))

    def end_credit(self) -> None:
        """Give no credit for messages any more: this end says CLOSE."""
        self.receiver.window = None

    def peer_closed(self, close: Close | None, *, unanswered: bool) -> None:
        """CLOSE came, or FIN (None) where only packets flow.

        :param unanswered: whether FIN came in place of WELCOME
        """
        self.closer.peer_closed(close, unanswered=unanswered)

    def describe_fin(self, *, unanswered: bool = False) -> str:
        """Return what FIN means where only packets flow.

        :param unanswered: whether it came in place of WELCOME
        """
        text = "the peer closed the connection"
        if unanswered:
            return text + " before it had read HELLO, and so could not say why"
        if self.machine.layout is not None:
            return text
        if self.machine.client and not self.machine.frames_received and not self.closer.closing:
            text += " without a word: does the server expect a key (security=...)?"
            # A plain client cannot know, and its loop ends quietly on this end.
            logger.info("%s: %s", show(self.remote_address), text)
        return text

    def fail(self, error: ConnectionClosedError, *, at_fin: bool = False) -> None:
        """End the connection: the peer broke the protocol."""
        # An answer reaches the peer only if its own bytes are read meanwhile. A server waits
        # for a client to read it; a client that says nothing just goes.
        answered = not at_fin and (not self.machine.client or self.machine.has_output)
        self.closer.fail(error, answered=answered)

    def give_up(self, error: PeerTimeoutError) -> None:
        """End the connection: the peer gives no sign of life.

        It is told so, and not waited for (docs/PROTOCOL.md, section 5).
        """
        if self.sender.write_paused:
            # CLOSE would wait behind what it does not read either.
            self.closer.abort(error)
            return
        self.machine.give_up(error)
        self._take_events()
        self.closer.fail(error, answered=False)

    def fail_callback(self, error: BaseException) -> None:
        """End the connection: ``on_message`` raised an exception."""
        assert self._owner is not None
        self._owner.on_callback_failed(self, error)

    # What the closer does to the rest

    def end_receiving(self, error: ConnectionClosed) -> None:
        """Nothing of the peer reaches the program any more."""
        if not self.receiver.end(error):
            return
        if self.pings is not None:
            self.pings.fail(error)
        if self.channels is not None:
            self.channels.end(error)
        if isinstance(error, ConnectionClosedError) and self._owner is not None:
            self._owner.on_failed(self, error)

    def discard_received(self, error: ConnectionClosed) -> None:
        """The peer is put out: what came of it and was not taken is dropped.

        :param error: what receiving raises in its place
        """
        self.receiver.put_out(error)
        if self.channels is not None:
            self.channels.put_out(error)

    def put_out_slow(self, error: SlowPeerError) -> None:
        """The peer reads too slowly: drop the connection at once."""
        self.closer.abort(error)

    def end_sending(self, error: ConnectionClosed) -> None:
        """The program can send nothing more."""
        if self.sender.end(error) and self.channels is not None:
            self.channels.end_sending(error)

    # From streams and requests

    @property
    def going_away(self) -> bool:
        """Whether this end announced its close, so that nothing new is begun."""
        return self.closer.going_away

    def departure(self, text: str) -> ConnectionClosed | None:
        """Return what a program is told of something that the end of the connection has ended;
        None where the peer has not announced its end, and nothing is over.

        :param text: what has happened to it
        """
        if self.sender.error is not None:
            return self.sender.error.fresh()
        announced = self.closer.peer_announced
        if announced is None:
            return None
        return ConnectionClosedOK(text, code=announced.code, reason=announced.reason)

    def close_if_idle(self) -> None:
        """Close, where only what the peer asked for had kept the connection open."""
        self.closer.close_if_idle()

    # From the program

    def open_channels(self) -> Channels:
        """Return the streams and requests of this connection.

        :raises NotSupportedError: it carries packets only
        :raises ConnectionClosed: the peer has ended it, and there were none before
        """
        if self.channels is None:
            if self.receiver.over and self.receiver.error is not None:
                raise self.receiver.error.fresh()
            multiplexer = self.machine.multiplexer
            assert self._owner is not None
            self.channels = Channels(self, multiplexer, self._owner.connection(self))
        return self.channels

    async def ping(self) -> float:
        """Send PING and return the seconds until PONG."""
        # One that goes away takes no more messages, and PONG still comes.
        error = self.sender.error or (self.receiver.error if self.receiver.over else None)
        if error is not None:
            raise error.fresh()
        body = self.send_ping()
        assert self.pings is not None
        return await self.pings.wait(body)

    def send_ping(self) -> bytes:
        """Send PING; return its body."""
        body = self.queue_ping()
        self.sender.flush()
        return body

    def queue_ping(self) -> bytes:
        """Have PING go out with what is written next; return its body."""
        self.pings = self.pings or Pings(self.loop)
        body = self.pings.next_body()
        self.machine.ping(body)
        return body

    # Windows of streams

    def measure(self, measured: Growing, grant: int) -> None:
        """Find out how wide a window has to be: a grant for it is about to be written."""
        self.receiver.measure(measured, grant)

    def release(self, measured: Growing) -> None:
        """Give back what a window has grown by: it is used no more."""
        self.receiver.release(measured)


def not_written(cause: Exception) -> ConnectionClosedError:
    """Return the error of a connection for whose output nothing could be made."""
    error = ConnectionClosedError(f"what was to be sent could not be written: {cause!r}")
    error.__cause__ = cause
    return error
