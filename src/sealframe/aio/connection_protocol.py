"""The asyncio side of a connection: socket, queues, timers and the close.

A :class:`ConnectionProtocol` is what the event loop calls. It owns the sans-IO protocol, the
inbox and the outbox; programs see it through :class:`sealframe.Connection`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import typing
from typing import Any, Final, cast

from ..core.events import Credited, Ended, Established, Failed, GoingAway, Phase, Ponged
from ..core.keepalive import Keepalive, Verdict, is_watched, resolution_of
from ..core.protocol import ProtocolMachine
from ..core.window import Window
from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    HandshakeError,
    HandshakeTimeoutError,
    PeerTimeoutError,
    WrongLoopError,
)
from ..options import Options
from ..wire import MAX_WINDOW, MESSAGE_OVERHEAD, CloseCode
from ..wire.control import Close, Hello, close_name
from .addresses import Address, address_of, show
from .caller import current_caller
from .channels import Channels
from .peer_handlers import NO_HANDLERS, PeerHandlers
from .pings import Pings
from .receive_queue import Budget, ReceiveQueue
from .send_queue import SendQueue
from .socket_options import INHERITED, configure
from .stats import Stats
from .timer_wheel import Bucket, TimerWheel
from .writing import end_writing, write_buffers

logger = logging.getLogger("sealframe.link")

_BATCH_SIZE: Final = 256 * 1024
"""Cost that is framed and sealed in one go."""
_FAIR_SHARE: Final = 1024
"""Records and frames handled one by one in a read, after which others have their turn."""
_CAREFUL_READS: Final = 64
"""How many reads are small at first, and after one with more than that."""
_CAREFUL_SIZE: Final = 32 * 1024
"""Bytes in those: thousands of tiny frames, and no more, hold up the others at a time."""


class ConnectionProtocol(asyncio.BufferedProtocol):
    """One open socket, from the first byte to the last.

    :param owner: is told how it goes
    :param services: what is done with the streams and requests of the peer
    :param budget: what inboxes share; None for one of its own
    :param timer_wheel: what calls when it is time to look for signs of life, shared
        with others of the same options; None for one of its own
    """

    __slots__ = (
        "__weakref__",
        "_abandoned",
        "_addresses",
        "_bounded",
        "_careful",
        "_close",
        "_close_waiters",
        "_deadline",
        "_discarding",
        "_end_sent",
        "_eof",
        "_established",
        "_giving_way",
        "_keepalive",
        "_owner",
        "_pings",
        "_receiving_over",
        "_task_waits",
        "_timer_wheel",
        "_transport",
        "_watch",
        "_window",
        "_write_paused",
        "_written",
        "channels",
        "close_code",
        "close_reason",
        "credit",
        "finished",
        "going_away",
        "inbox",
        "loop",
        "options",
        "outbox",
        "protocol",
        "reading_paused",
        "receive_error",
        "retiring",
        "send_error",
        "services",
        "stats",
        "task",
        "unwritten",
    )

    def __init__(
        self,
        protocol: ProtocolMachine,
        options: Options,
        owner: ConnectionOwner,
        *,
        services: PeerHandlers | None = None,
        budget: Budget | None = None,
        timer_wheel: TimerWheel[ConnectionProtocol] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.protocol = protocol
        self.options = options
        self.inbox = ReceiveQueue(budget or Budget(options.inbox_limit, options.inbox_limit))
        self.outbox = SendQueue(options.outbox_limit)
        self.stats = Stats()
        self.task: asyncio.Task[None] | None = None
        """Who serves it; the owner's business."""
        self.unwritten = False
        """Whether what was broadcast to it is about to be written."""
        self.close_code: int | None = None
        self.close_reason = ""
        self.going_away = False
        self.finished = False
        """Whether the socket is gone."""
        self.send_error: ConnectionClosed | None = None
        """Why nothing more can be sent, None while it can."""
        self.receive_error: ConnectionClosed | None = None
        """Why nothing more will come, None while it may."""
        self.services = services or NO_HANDLERS
        self.channels: Channels | None = None
        """The streams and requests, once there were any."""
        self.credit = 0
        """Cost of the messages that the peer still takes, where it says so."""
        # What is sent counts from the start, and is bounded once the peer says so.
        self._bounded = False
        self._window: Window | None = None
        self._owner: ConnectionOwner | None = owner
        self._transport: asyncio.Transport | None = None
        self._addresses: tuple[Address, Address] = (None, None)
        self._timer_wheel = timer_wheel or timer_wheel_for(options)
        self._keepalive: Keepalive | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._watch: Bucket[ConnectionProtocol] | None = None
        self._close: Close | None = None
        self._close_waiters: list[asyncio.Future[None]] | None = None
        self._pings: Pings | None = None
        self.retiring: Close | None = None
        """How it is to be closed once its handler is done, where that was asked for."""
        self._receiving_over = False
        self._task_waits = False
        self._abandoned = False
        self._discarding = False
        self._end_sent = False
        self._eof = False
        self._established = False
        self._giving_way = False
        self._careful = _CAREFUL_READS
        self.reading_paused = False
        self._write_paused = False
        self._written = False

    @property
    def clean(self) -> bool:
        """Whether both ends closed in order and nothing was left unsent."""
        return (
            self.finished
            and not self._abandoned
            and isinstance(self.receive_error, ConnectionClosedOK)
        )

    @property
    def closing(self) -> bool:
        """Whether this end has begun to close."""
        return self._close is not None

    @property
    def busy(self) -> bool:
        """Whether anything that the peer asked for is still under way."""
        return self.channels is not None and self.channels.busy

    @property
    def remote_address(self) -> Address:
        """The peer's address, also once the socket is gone."""
        return self._look_up_addresses()[0]

    @property
    def local_address(self) -> Address:
        """The same for this end."""
        return self._look_up_addresses()[1]

    def _look_up_addresses(self) -> tuple[Address, Address]:
        # The transport knows them; ours would take 300 bytes of each idle connection.
        transport = self._transport
        if transport is None:
            return self._addresses
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
        self._transport = transport = cast("asyncio.Transport", transport)
        if self.protocol.client or not INHERITED:
            configure(transport.get_extra_info("socket"), self.options)
        if self.receive_error is not None:
            # The program gave the connection up before the event loop told of it.
            transport.abort()
            return
        self._handle_events()
        if not self._established:
            self._deadline = self.loop.call_later(
                self.options.handshake_timeout, self._handshake_timed_out
            )
        self._flush()

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        """Return where the next bytes go."""
        buffer = self.protocol.get_buffer()
        return memoryview(buffer)[:_CAREFUL_SIZE] if self._careful else buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take in the bytes of one read."""
        protocol = self.protocol
        messages = protocol.buffer_updated(nbytes)
        self.stats.bytes_received += nbytes
        # What comes in may be answered, and nothing of this turn was written yet.
        self._written = False
        keepalive = self._keepalive
        if keepalive is not None:
            now = self.loop.time()
            if keepalive.probed_at is not None:
                self._hear(keepalive, now)
            keepalive.last_received = now
            if keepalive.frames != protocol.frames_received:
                keepalive.frames = protocol.frames_received
                keepalive.last_message = now
        if messages:
            self._deliver(messages)
        if protocol.chores:
            if protocol.events:
                self._handle_events()
            if protocol.has_output:
                self._flush()
            if protocol.chores > _FAIR_SHARE:
                self._careful = _CAREFUL_READS + 1
                self._give_way()
        if self._careful:
            self._careful -= 1

    def _hear(self, keepalive: Keepalive, now: float) -> None:
        asked, keepalive.probed_at = keepalive.asked, None
        if asked and self._watch is not None:
            # The next silence begins here, maybe long before the probe's time-out.
            keepalive.last_received = now
            self._schedule_watch(now)

    def eof_received(self) -> bool:
        """Take in the peer's FIN; keep our own direction open."""
        self._eof = True
        self.protocol.receive_eof()
        self._handle_events()
        self._flush()
        self._finish_if_done()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End: the socket is gone."""
        self._addresses = self._look_up_addresses()
        self._transport = None
        self.finished = True
        all_sent = self._all_sent
        self.protocol.receive_loss(exc)
        self._handle_events()
        self._cancel_watch()
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if exc is not None or not all_sent:
            self._abandoned = True
        self._drop_outbox()
        if not self._receiving_over:
            self._end_receiving(ConnectionClosedError("the connection is closed"))
        assert self.receive_error is not None
        self._end_sending(self.receive_error)
        for waiter in self._close_waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        self._close_waiters = None
        if self._owner is not None:
            # It holds what holds this link.
            owner, self._owner = self._owner, None
            owner.on_finished(self)

    def pause_writing(self) -> None:
        """Hold messages back: the transport's buffer is full."""
        self._write_paused = True
        self.outbox.paused = True

    def resume_writing(self) -> None:
        """Go on writing."""
        self._write_paused = False
        # Not from within: asyncio's transport calls connection_lost() twice if it
        # is closed here.
        self.loop.call_soon(self._flush)

    # Receiving

    def _deliver(self, messages: list[bytes]) -> None:
        inbox = self.inbox
        if self._discarding or (self._close is not None and inbox.full):
            # All that follow go too, even if there is room again: no gap stays hidden.
            self._discarding = True
            self.stats.discarded += len(messages)
            if self._window is not None:
                last = len(messages[-1]) + MESSAGE_OVERHEAD
                cost = sum(map(len, messages)) + len(messages) * MESSAGE_OVERHEAD
                self._charge(self._window, cost, last)
            return
        self.stats.messages_received += len(messages)
        before, last = inbox.queued_bytes, len(messages[-1]) + MESSAGE_OVERHEAD
        inbox.extend(messages)
        if self._window is not None:
            self._charge(self._window, inbox.queued_bytes - before, last)
        elif self._established and inbox.full:
            self._pause_if_full()
        limit = self.options.inbox_limit + self.options.max_message_size
        if not self._established and inbox.queued_bytes > limit:
            self._fail(
                HandshakeError(
                    "the server sent inbox_limit and more, and no WELCOME: "
                    "connect without extended=True, or raise inbox_limit"
                )
            )

    def _charge(self, window: Window, cost: int, last: int) -> None:
        if window.charge(cost, last):
            self._give_credit(window)
        else:
            self.protocol.violate("the peer sent messages for which it had no credit")
            self._handle_events()

    def _give_credit(self, window: Window) -> None:
        inbox = self.inbox
        # What comes after a local close is discarded if need be, but it must come.
        closing = self.closing or self.retiring is not None
        due = window.due(inbox.quota, 0 if closing else inbox.queued_bytes)
        if due:
            window.left += due
            self.protocol.give_credit(due)
            self._flush()
        inbox.set_low_water(window.low_water(inbox.quota))

    def _pause_if_full(self) -> None:
        # After a local close reading never pauses: unread input would make the
        # kernel answer with RST and destroy what was sent before.
        if self.inbox.full and not self.closing and not self.reading_paused:
            assert self._transport is not None
            self.reading_paused = True
            self.inbox.on_reading_paused()
            self._transport.pause_reading()

    def after_pop(self) -> None:
        """Resume reading, send credit and wake the next task, as far as each is due."""
        if self.reading_paused and self.inbox.drained:
            self._resume_reading()
        if self._window is not None:
            self._give_credit(self._window)
        if len(self.inbox):
            self.inbox.wake()

    def _resume_reading(self) -> None:
        self.reading_paused = False
        self.inbox.on_reading_resumed()
        if self._keepalive is not None:
            self._keepalive.hold(self.loop.time())
        if self._transport is not None and not self._giving_way:
            self._transport.resume_reading()

    def _give_way(self) -> None:
        # uvloop reads on while there is more, up to 32 times: one peer's tiny frames
        # would hold up all the others for seconds.
        if self._transport is not None and not self._giving_way:
            self._giving_way = True
            self._transport.pause_reading()
            self.loop.call_soon(self._end_giving_way)

    def _end_giving_way(self) -> None:
        self._giving_way = False
        if self._transport is not None and not self.reading_paused:
            self._transport.resume_reading()

    # Sending

    def flush_soon(self) -> None:
        """Write what is in the send queue: now, or at the end of this tick.

        The first message after a read is written at once, which keeps an answer quick. Those
        that follow are written together, at the end of the tick or when they are many.
        """
        outbox = self.outbox
        if not outbox.due:
            return
        if not outbox.paused and (not self._written or outbox.scheduled):
            self._written = True
            self._flush()
        else:
            # It costs as much as to write a small message, so not for the first.
            outbox.scheduled = True
            self.loop.call_soon(self._end_tick)

    def _end_tick(self) -> None:
        self.outbox.scheduled = False
        self._written = False
        if len(self.outbox) or self.protocol.has_output:
            self._flush()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        outbox, protocol, stats = self.outbox, self.protocol, self.stats
        # PONGs wait as messages do: a peer that sends PINGs and reads nothing would
        # fill the memory with answers. Only the last frame goes out in any case.
        while self._end_sent or not self._write_paused:
            messages = self._take_messages()
            buffers = protocol.take_output(messages)
            if not buffers:
                break
            stats.bytes_sent += write_buffers(transport, buffers)
            if messages:
                stats.messages_sent += len(messages)
                if self.options.idle_timeout is not None and self._keepalive is not None:
                    self._keepalive.last_message = self.loop.time()
            if not len(outbox) and not protocol.has_output:
                break
        outbox.paused = self._write_paused or (self._bounded and self.credit <= 0)
        outbox.wake()
        if self.channels is not None:
            self.channels.wrote()
        if self._close is not None and not self._end_sent and self._all_sent:
            self._send_end(transport, self._close)

    @property
    def _all_sent(self) -> bool:
        return not len(self.outbox) and not self.protocol.unsent

    def _take_messages(self) -> list[bytes]:
        outbox, size = self.outbox, _BATCH_SIZE
        if self._bounded and self.credit < size:
            size = self.credit
            if size <= 0:
                return []
        before = outbox.queued_bytes
        messages = outbox.take(size)
        self.credit -= before - outbox.queued_bytes
        return messages

    def _drop_outbox(self) -> None:
        dropped = self.outbox.clear()
        if dropped:
            self._abandoned = True
            self.stats.unsent += dropped

    async def ping(self) -> float:
        """Send PING and return the seconds until PONG."""
        # One that retires takes no more messages, and PONG still comes.
        error = self.send_error or (self.receive_error if self._receiving_over else None)
        if error is not None:
            raise error.fresh()
        pings = self._pings = self._pings or Pings(self.loop)
        body = pings.next_body()
        self.protocol.ping(body)
        self._flush()
        return await pings.wait(body)

    # What the protocol says

    def _handle_events(self) -> None:
        if not self.protocol.events:
            return
        events, self.protocol.events = self.protocol.events, ()
        for event in events:
            match event:
                case Established(hello):
                    self._establish(hello)
                case Ponged(body):
                    if self._pings is not None:
                        self._pings.answer(body)
                case GoingAway():
                    self.going_away = True
                case Credited(increment):
                    self._take_credit(increment)
                case Ended(close):
                    self._peer_ended(close)
                case Failed(error):
                    self._fail(error)
                case _:
                    # What a peer asks for once it is all over is served no more.
                    if not self._receiving_over:
                        self.open_channels().handle(event)

    def _take_credit(self, increment: int) -> None:
        self.credit += increment
        if self.credit > MAX_WINDOW:
            self.protocol.violate(f"the peer gave credit of {self.credit} for messages")
            self._handle_events()
        else:
            self._flush()

    def open_channels(self) -> Channels:
        """Return the streams and requests of this connection.

        :raises NotSupportedError: it carries packets only
        :raises ConnectionClosed: the peer has ended it, and there were none before
        """
        if self.channels is None:
            if self._receiving_over and self.receive_error is not None:
                raise self.receive_error.fresh()
            multiplexer = self.protocol.multiplexer
            assert self._owner is not None
            self.channels = Channels(self, multiplexer, self._owner.connection(self))
        return self.channels

    def _establish(self, hello: Hello) -> None:
        now = self.loop.time()
        self.outbox.open(self.protocol.send_minimum, self.protocol.send_limit)
        if self._keepalive is None and is_watched(self.options, probing=self.protocol.extended):
            self._keepalive = Keepalive(self.options, now=now)
        self._set_windows(hello)
        if self._established:
            # A client of a plain server has said HELLO: from now on it answers PING.
            self._schedule_watch(now)
            if self.retiring is not None:
                self.protocol.go_away(self.retiring)
            return
        self._established = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        # Until now reading went on, since WELCOME may stand behind many messages.
        self._pause_if_full()
        self._schedule_watch(now)
        if self._owner is not None:
            self._owner.on_established(self, hello)

    def _set_windows(self, hello: Hello) -> None:
        if not self.protocol.windowed:
            self._window = None
            return
        assert hello.window is not None
        self.credit += hello.window
        self._bounded = True
        # What came before, or in one read with the hello, waits in the inbox, and counts.
        self._window = Window(self.protocol.window - self.inbox.queued_bytes)
        if len(self.inbox):
            self._give_credit(self._window)

    def _peer_ended(self, close: Close | None) -> None:
        self._cancel_watch()
        # It reads on whatever comes, and can no longer give credit.
        self._bounded = False
        if close is None:
            text = "the peer closed the connection"
            if self.protocol.client and not self.protocol.frames_received and not self.closing:
                text += " without a word: does the server expect a key (security=...)?"
                # A plain client cannot know, and its loop ends quietly on this end.
                logger.info("%s: %s", show(self.remote_address), text)
            self._end_receiving(ConnectionClosedOK(text))
        else:
            self.close_code, self.close_reason = close.code, close.reason
            over = close.code not in (CloseCode.NORMAL, CloseCode.GOING_AWAY)
            text = f"the peer closed the connection ({close_name(close.code)})"
            text += f": {close.reason}" if close.reason else ""
            kind = ConnectionClosedError if over else ConnectionClosedOK
            error = kind(text, code=close.code, reason=close.reason)
            self._end_receiving(error)
            if close.code != CloseCode.NORMAL:
                # The peer discards what we send.
                self._end_sending(error)
                self._drop_outbox()
                self.start_close(Close())
            self._flush()
        self.close_if_idle()
        self._finish_if_done()

    def _fail(self, error: ConnectionClosedError) -> None:
        self._abandoned = True
        self._discarding = True
        self._end_receiving(error)
        self._end_sending(error)
        self._drop_outbox()
        self._close = self._close or Close()
        self._end_sent = True
        if self._transport is None:
            return
        # Even a close waits for what the transport holds, and a peer may never read it.
        self._start_deadline()
        answered = self.protocol.has_output
        self._flush()
        if self._eof or (self.protocol.client and not answered):
            self._transport.close()
            return
        # The answer reaches the peer only if its own bytes are read meanwhile.
        end_writing(self._transport)
        if self.reading_paused:
            self._resume_reading()

    def _end_receiving(self, error: ConnectionClosed) -> None:
        self._end_messages(error)
        if not self._receiving_over:
            self._receiving_over = True
            if self._pings is not None:
                self._pings.fail(error)
            if self.channels is not None:
                self.channels.end(error)
            if isinstance(error, ConnectionClosedError) and self._owner is not None:
                self._owner.on_failed(self, error)

    def _end_messages(self, error: ConnectionClosed) -> None:
        if self.receive_error is None:
            self.receive_error = error
            self.inbox.wake_all()

    def _end_sending(self, error: ConnectionClosed) -> None:
        if self.send_error is None:
            self.send_error = error
            self.outbox.close()
            if self.channels is not None:
                self.channels.end_sending(error)

    # Closing

    def start_close(self, close: Close) -> None:
        """Begin to close; the rest happens by itself, ``close_timeout`` at most.

        :param close: a code other than 0 also discards what the peer sends
        """
        if self._close is not None or self.finished:
            return
        if self.retiring is not None and close.code in (CloseCode.NORMAL, CloseCode.GOING_AWAY):
            close = self.retiring
        self._close = close
        self._discarding = self._discarding or close.code != CloseCode.NORMAL
        self._end_sending(ConnectionClosedOK("this end has closed the connection", code=close.code))
        self._cancel_watch()
        if self._transport is None:
            return
        self._start_deadline()
        if self.reading_paused:
            self._resume_reading()
        if self._window is not None:
            self._give_credit(self._window)
        self._flush()

    def expel(self, error: ConnectionClosedError, close: Close, *, drop: bool = False) -> None:
        """End both directions for the program at once, and tell the peer why.

        :param drop: also forget what neither the program nor the peer has got yet
        """
        if drop:
            self._drop_outbox()
            self.stats.discarded += self.inbox.clear()
        self._discarding = True
        self._end_receiving(error)
        self._end_sending(error)
        self.start_close(close)

    def abort(self, error: ConnectionClosedError) -> None:
        """Drop the connection at once."""
        self._abandoned = True
        self._end_receiving(error)
        self._end_sending(error)
        self._drop_outbox()
        if self._transport is not None:
            self._transport.abort()

    def retire(self, close: Close) -> None:
        """Announce the close, and take no further message in; one still in its handshake
        is dropped.

        What its handler and others are at can be finished, and sent. It closes as soon as
        all of them are done, or wait for nothing else.
        """
        if not self._established:
            self.abort(ConnectionClosedError("the server closed during the handshake"))
            return
        self.retiring = close
        self._discarding = True
        self.protocol.go_away(close)
        # What still comes takes no memory, and a peer that writes before it reads goes on.
        if self.reading_paused:
            self._resume_reading()
        if self._window is not None:
            self._give_credit(self._window)
        self._flush()
        text = "this end is shutting down"
        self._end_messages(ConnectionClosedOK(text, code=close.code, reason=close.reason))
        self.close_if_idle()

    def close_if_idle(self) -> None:
        """Begin to close if the program has no more to do with it, now that it is ending."""
        if self.retiring is not None:
            # A handler that waits for the end of its own connection would wait for itself.
            done = self._task_waits or (self.task is not None and self.task.done())
            if done and not self.busy:
                self.start_close(self.retiring)
        elif self._task_waits and self._receiving_over:
            self.start_close(Close())

    async def wait_closed(self) -> None:
        """Wait until the socket is gone."""
        if self.finished:
            return
        waiter = self.loop.create_future()
        if self._close_waiters is None:
            self._close_waiters = []
        self._close_waiters.append(waiter)
        is_handler = self.task is not None and current_caller() is self.task
        if is_handler:
            self._task_waits = True
            self.close_if_idle()
        try:
            await waiter
        except asyncio.CancelledError:
            if self._close_waiters is not None:
                self._close_waiters.remove(waiter)
            raise
        finally:
            if is_handler:
                self._task_waits = False

    def _send_end(self, transport: asyncio.Transport, close: Close) -> None:
        self._end_sent = True
        self._window = None
        if self.protocol.close(close):
            self.stats.bytes_sent += write_buffers(transport, self.protocol.take_output([]))
        else:
            end_writing(transport)
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._transport is None or not self._end_sent:
            return
        if self._eof or self.protocol.phase is Phase.ENDED:
            self._transport.close()

    def _start_deadline(self) -> None:
        # During the handshake its own deadline stands: it is absolute.
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.options.close_timeout, self._close_timed_out)

    def _close_timed_out(self) -> None:
        self.abort(
            PeerTimeoutError(
                f"the peer did not close within close_timeout, {self.options.close_timeout:g} s"
            )
        )

    def _handshake_timed_out(self) -> None:
        text = f"no handshake within handshake_timeout, {self.options.handshake_timeout:g} s"
        self.abort(HandshakeTimeoutError(self.protocol.explain(text)))

    # Keepalive

    def _schedule_watch(self, now: float) -> None:
        self._cancel_watch()
        if self._keepalive is None:
            return
        due = self._keepalive.next_check(probing=self.protocol.extended)
        if due < math.inf:
            self._watch = self._timer_wheel.add(self, max(due, now))

    def _cancel_watch(self) -> None:
        if self._watch is not None:
            self._watch.leave(self)
            self._watch = None

    def _check_liveness(self) -> None:
        assert self._keepalive is not None
        now = self.loop.time()
        if self.reading_paused:
            self._keepalive.hold(now)
        self._cancel_watch()
        match self._keepalive.check(now, probing=self.protocol.extended):
            case Verdict.PROBE:
                self._pings = self._pings or Pings(self.loop)
                self.protocol.ping(self._pings.next_body())
                self._flush()
            case Verdict.DEAD:
                self.abort(
                    PeerTimeoutError(
                        "the peer gave no sign of life within keepalive_timeout, "
                        f"{self.options.keepalive_timeout:g} s"
                    )
                )
                return
            case Verdict.IDLE:
                text = f"no message within idle_timeout, {self.options.idle_timeout:g} s"
                error = PeerTimeoutError(self.protocol.explain(text), code=CloseCode.TIMEOUT)
                self.expel(error, Close(CloseCode.TIMEOUT, "idle"))
                return
        self._schedule_watch(now)


def timer_wheel_for(options: Options) -> TimerWheel[ConnectionProtocol]:
    """Return what calls links of these options when it is time to look for signs of life."""
    return TimerWheel(ConnectionProtocol._check_liveness, resolution_of(options))


class ConnectionOwner(typing.Protocol):
    """What a link tells of itself, to whoever made it."""

    def on_established(self, link: ConnectionProtocol, hello: Hello) -> None:
        """Messages may flow; it is called once."""

    def on_failed(self, link: ConnectionProtocol, error: ConnectionClosedError) -> None:
        """It ends in an error; it is called at most once, before or after the other."""

    def on_finished(self, link: ConnectionProtocol) -> None:
        """The socket is gone; it is called once, as the last."""

    def connection(self, link: ConnectionProtocol) -> Any:
        """Return what programs see of it."""
