"""Requests and their answers, both ways, many at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from .. import wire
from ..core.multiplexer import Multiplexer
from ..errors import (
    ConnectionClosed,
    DecodeError,
    MessageTooLargeError,
    NotSupportedError,
    RemoteError,
    RequestCancelledError,
    RequestTimeoutError,
    StreamError,
)
from ..wire import FailureCode, ResetCode
from .fair_limiter import FairLimiter
from .stream import Stream
from .streams import Host, Streams

logger = logging.getLogger("sealframe.requests")

_TOO_LARGE: Final = wire.FIRST_OWN_RESET_CODE
"""The code with which a body over the limit is reset."""


class Requests:
    """All requests of one connection."""

    def __init__(
        self, host: Host, multiplexer: Multiplexer, connection: Any, streams: Streams
    ) -> None:
        self._host = host
        self._multiplexer = multiplexer
        self._connection = connection
        self._streams = streams
        self.slots = FairLimiter(lambda: multiplexer.may_request)
        self._pending: dict[int, asyncio.Future[bytes | Stream]] = {}
        self._serving: dict[int, asyncio.Task[None] | None] = {}
        # Bodies over a frame are collected one at a time, and only while what the
        # requests that run came with is worth less than an inbox.
        self._collecting = asyncio.Lock()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._held = 0

    @property
    def busy(self) -> bool:
        """Whether any of the peer's is being answered, and not by what waits for the end."""
        return self._host.handlers.tasks.awaits_any(filter(None, self._serving.values()))

    # Ours

    async def request(self, payload: bytes, timeout: float | None) -> bytes:
        """Ask the peer; return its answer.

        :param timeout: seconds for all of it, None for no limit
        """
        self._check()
        try:
            async with asyncio.timeout(timeout) as limit:
                await self.slots.wait()
                self._check()
                return await self._ask(payload)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise RequestTimeoutError(f"no answer within {timeout:g} s") from error

    def _check(self) -> None:
        if self.slots.error is not None:
            raise self.slots.error.fresh()
        if not self._multiplexer.takes_requests:
            raise NotSupportedError("the peer answers no requests: give it on_request=...")

    async def _ask(self, payload: bytes) -> bytes:
        body: Stream | None = None
        if len(payload) <= wire.MAX_CHUNK:
            number = self._multiplexer.request(payload)
        else:
            number, stream = self._multiplexer.request_on_stream()
            body = self._streams.add_outgoing(stream)
        answer: asyncio.Future[bytes | Stream] = self._host.loop.create_future()
        self._pending[number] = answer
        self.slots.wake()
        try:
            if body is None:
                self._host.flush_soon()
            else:
                await self._send_body(body, payload, answer)
            reply = await answer
            return reply if isinstance(reply, bytes) else await self._collect_reply(reply)
        finally:
            # What is over by now is not touched by any of this.
            if body is not None:
                body._reset(ResetCode.CANCELLED, "")
            if self._pending.pop(number, None) is not None and self.slots.error is None:
                self._multiplexer.cancel(number)
                self._host.flush_soon()
            # It may have come together with the cancellation.
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                reply = answer.result()
                if isinstance(reply, Stream):
                    reply._reset(ResetCode.CANCELLED, "")

    async def _send_body(
        self, body: Stream, payload: bytes, answer: asyncio.Future[bytes | Stream]
    ) -> None:
        try:
            await body.write(payload)
            await body.end()
        except StreamError:
            # It was refused; the answer says why.
            await asyncio.wait([answer])

    async def _collect_reply(self, stream: Stream) -> bytes:
        try:
            return await self._collect(stream)
        except _TooLargeError:
            stream._reset(_TOO_LARGE, "")
            raise self._reply_too_large() from None
        except StreamError:
            raise RequestCancelledError("the peer gave up while it answered") from None

    def _reply_too_large(self) -> RemoteError:
        limit = self._host.options.max_message_size
        return RemoteError("ReplyTooLarge", f"the reply is over max_message_size, {limit} bytes")

    def take_reply(self, number: int, payload: bytes) -> None:
        """Take in an answer."""
        self._answer(number, payload)

    def take_reply_on_stream(self, metadata: bytes, stream: Stream) -> None:
        """Take in that an answer begins."""
        if not self._answer(int.from_bytes(metadata, "little"), stream):
            stream._reset(ResetCode.CANCELLED, "")

    def _answer(self, number: int, reply: bytes | Stream) -> bool:
        answer = self._pending.pop(number, None)
        if answer is None or answer.done():
            return False
        if isinstance(reply, bytes) and len(reply) > self._host.options.max_message_size:
            answer.set_exception(self._reply_too_large())
        else:
            answer.set_result(reply)
        return True

    def take_failure(self, number: int, code: int, kind: str, text: str) -> None:
        """Take in that a request failed at the other end."""
        answer = self._pending.pop(number, None)
        if answer is not None and not answer.done():
            answer.set_exception(_failure(code, kind, text))

    # The peer's

    def receive(self, number: int, payload: bytes) -> None:
        """Serve a request in a task of its own."""
        limit = self._host.options.max_message_size
        if len(payload) > limit:
            text = str(_TooLargeError(limit))
            self._fail(number, FailureCode.RAISED, "RequestTooLarge", text)
        else:
            self._start(number, payload)

    def receive_on_stream(self, metadata: bytes, stream: Stream) -> None:
        """The same for one whose body comes on a stream."""
        self._start(int.from_bytes(metadata, "little"), stream)

    def receive_cancel(self, number: int) -> None:
        """Stop what answers a request."""
        task = self._serving.get(number)
        if task is not None:
            task.cancel()

    def _start(self, number: int, body: bytes | Stream) -> None:
        if self._host.going_away:
            self._multiplexer.fail(number, FailureCode.GOING_AWAY)
            if isinstance(body, Stream):
                body._reset(ResetCode.BUSY, "")
            self._host.flush_soon()
            return
        if self.slots.error is not None:
            return  # it cannot be answered any more: CLOSE is under way
        services = self._host.handlers
        # A task that is eager may be done with it before it is known here.
        self._serving[number] = None
        task = services.start(self._serve(number, body), f"request {number}")
        if number in self._serving:
            self._serving[number] = task
        # One that is cancelled before its first step answers too.
        task.add_done_callback(lambda _: self._served(number, body))

    def _served(self, number: int, body: bytes | Stream) -> None:
        if isinstance(body, Stream):
            body._reset(ResetCode.CANCELLED, "")  # if not all of it was read
        if number in self._serving:
            self._fail(number, FailureCode.CANCELLED)
        self._host.close_if_idle()

    async def _serve(self, number: int, body: bytes | Stream) -> None:
        held = 0
        try:
            payload = body if isinstance(body, bytes) else await self._collect_request(body)
            held = len(payload)
            self._hold(held)
            data = await self._call(payload)
        except _TooLargeError as error:
            self._fail(number, FailureCode.RAISED, "RequestTooLarge", str(error))
        except _WithdrawnError:
            self._fail(number, FailureCode.CANCELLED)
        except RemoteError as error:
            self._fail(number, FailureCode.RAISED, _text(error.type), _text(error.message))
        except Exception as error:
            # What this peer sent malformed is its own fault, and must not fill the log.
            malformed = isinstance(error, DecodeError) and error.connection is self._connection
            if not malformed and (more := self._host.handlers.note_failure()) is not None:
                what = "what answers a request of %r failed%s"
                logger.exception(what, self._connection, more)
            self._fail(number, FailureCode.RAISED, type(error).__name__, _text(error))
        else:
            await self._reply(number, data)
        finally:
            self._hold(-held)

    async def _call(self, payload: bytes) -> bytes:
        connection, on_request = self._connection, self._host.handlers.on_request
        assert on_request is not None  # or none were announced
        try:
            request = connection._decode(payload)
        except DecodeError as error:
            raise RemoteError("DecodeError", str(error)) from None
        reply = await on_request(connection, request)
        data: bytes = connection._encode_reply(reply)
        return data

    def _hold(self, cost: int) -> None:
        self._held += cost
        if self._held < self._host.options.inbox_limit:
            self._roomy.set()
        else:
            self._roomy.clear()

    async def _collect_request(self, stream: Stream) -> bytes:
        try:
            async with self._collecting:
                await self._roomy.wait()
                return await self._collect(stream)
        except _TooLargeError:
            stream._reset(_TOO_LARGE, "")
            raise
        except (ConnectionClosed, StreamError) as error:
            raise _WithdrawnError from error

    async def _reply(self, number: int, data: bytes) -> None:
        if number not in self._serving or self.slots.error is not None:
            return
        limit = self._connection.max_send_size
        if len(data) > limit:
            text = str(MessageTooLargeError(len(data), limit))
            self._fail(number, FailureCode.TOO_LARGE, "ReplyTooLarge", text)
            return
        del self._serving[number]
        if len(data) <= wire.MAX_CHUNK:
            self._multiplexer.reply(number, data)
            self._host.flush_soon()
            return
        stream = self._streams.add_outgoing(self._multiplexer.reply_on_stream(number))
        try:
            async with stream:
                await stream.write(data)
        except (ConnectionClosed, StreamError):
            pass  # nobody waits for it any more

    def _fail(self, number: int, code: FailureCode, kind: str = "", text: str = "") -> None:
        self._serving.pop(number, None)
        if self.slots.error is None:
            self._multiplexer.fail(number, code, kind, text)
            self._host.flush_soon()

    async def _collect(self, stream: Stream) -> bytes:
        """Return all that comes on a stream.

        :raises _TooLargeError: it is over the limit
        """
        limit = self._host.options.max_message_size
        self._streams.widen(stream)
        try:
            return await stream._read_all(limit)
        except OverflowError:
            raise _TooLargeError(limit) from None

    # The end

    def end_sending(self, error: ConnectionClosed) -> None:
        """Take note that nothing more can be sent."""
        self.slots.close(error)
        pending, self._pending = self._pending, {}
        for answer in pending.values():
            if not answer.done():
                answer.set_exception(error.fresh())
        serving, self._serving = self._serving, {}
        for task in filter(None, serving.values()):
            task.cancel()


class _TooLargeError(Exception):
    """A body is over the limit."""

    def __str__(self) -> str:
        return f"the request is over max_message_size, {self.args[0]} bytes"


class _WithdrawnError(Exception):
    """A request was withdrawn before all of it had come."""


def _failure(code: int, kind: str, text: str) -> Exception:
    match code:
        case FailureCode.UNSUPPORTED:
            return NotSupportedError("the peer answers no requests")
        case FailureCode.CANCELLED:
            return RequestCancelledError("the peer gave the request up")
        case FailureCode.GOING_AWAY:
            return RequestCancelledError("the peer is shutting down")
    return RemoteError(kind or f"failure {code}", text)


def _text(of: object) -> str:
    """Return what something says of itself, even if it is the program's and fails at that."""
    try:
        return str(of)
    except Exception:  # noqa: BLE001 - the request is to be answered all the same
        return f"({type(of).__name__} has no text)"
