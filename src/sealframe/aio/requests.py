"""Requests and their answers, both ways, many at a time.

docs/PROTOCOL.md section 9 has the rules. A payload of up to one frame goes in REQUEST or REPLY,
a longer one over a stream of its own. Each request of the peer gets exactly one answer: within the
read that brought it, where what answers it does not wait.

Longer than other modules: both directions share the numbers, the limits and the end.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
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
from .callables import ends_program
from .cancelling import cancel_once
from .fair_limiter import FairLimiter
from .stream import Stream
from .stream_endpoint import StreamEndpoint
from .streams import Host, Streams
from .time_limit import TimeLimit, check_timeout

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
        self.limiter = FairLimiter(lambda: multiplexer.requests.may_make)
        """Holds back requests over the peer's max_requests."""
        self.pending: dict[int, asyncio.Future[bytes | StreamEndpoint]] = {}
        """Requests of this end, by number: what their answer is put into."""
        self.serving: dict[int, asyncio.Task[None] | None] = {}
        """Requests of the peer that are not answered, by number: what answers them."""
        self.payload_bytes = 0
        """Bytes of the payloads of running requests of the peer."""
        self._payload_limit = host.options.pause_limit
        # Bodies on streams are collected one at a time, and only while payload_bytes is below
        # inbox_limit: what comes before that stays within the receive window of its stream.
        self._collecting = asyncio.Lock()
        self._may_collect = asyncio.Event()
        self._may_collect.set()

    @property
    def busy(self) -> bool:
        """Whether a task serves a request of the peer, tasks that wait for the end excluded."""
        return self._host.handlers.tasks.awaits_any(filter(None, self.serving.values()))

    # Requests of this end

    def request(self, payload: bytes, timeout: float | None) -> Coroutine[Any, Any, bytes]:
        """Return what asks the peer, and returns its answer; to be awaited at once.

        :param timeout: seconds for all of it, None for no limit
        :raises ValueError: it is not above 0
        :raises MessageTooLargeError: the payload is over the limit
        """
        self._host.machine.check_size(len(payload))
        if timeout is None:
            if self.limiter.open:
                return self._ask(payload)
        else:
            check_timeout(timeout)
        return self._ask_in_turn(payload, timeout)

    async def _ask_in_turn(self, payload: bytes, timeout: float | None) -> bytes:
        self._check()
        if timeout is None:
            await self.limiter.wait()
            self._check()
            return await self._ask(payload)
        try:
            async with TimeLimit(timeout) as limit:
                await self.limiter.wait()
                self._check()
                return await self._ask(payload)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise RequestTimeoutError(f"no answer within {timeout:g} s") from error

    def _check(self) -> None:
        if self.limiter.error is not None:
            raise self.limiter.error.fresh()
        if not self._multiplexer.takes_requests:
            raise NotSupportedError("the peer answers no requests: give it on_request=...")

    async def _ask(self, payload: bytes) -> bytes:
        body: StreamEndpoint | None = None
        if len(payload) <= wire.MAX_CHUNK:
            number = self._multiplexer.request(payload)
        else:
            number, stream = self._multiplexer.request_on_stream()
            body = self._streams.add_outgoing(stream)
        answer: asyncio.Future[bytes | StreamEndpoint] = self._host.loop.create_future()
        self.pending[number] = answer
        if self.limiter.waiters:
            self.limiter.wake()
        try:
            if body is None:
                self._host.flush_soon()
            else:
                await self._send_body(body, payload, answer)
            reply = await answer
            self._streams.check_put_out()
            return reply if isinstance(reply, bytes) else await self._collect_reply(reply)
        except RequestCancelledError as error:
            # A server that is ended without a shutdown cancels, and closes in the same turn.
            departure = self._host.departure(str(error))
            if departure is None:
                raise
            raise departure from None
        except BaseException:
            self._give_up(number, answer)
            raise
        finally:
            # This has no effect on a stream that is over.
            if body is not None:
                body.reset(ResetCode.CANCELLED, "")

    def _give_up(self, number: int, answer: asyncio.Future[bytes | StreamEndpoint]) -> None:
        # None of this has an effect on a stream or a request that is over.
        if self.pending.pop(number, None) is not None and self.limiter.error is None:
            self._multiplexer.cancel(number)
            self._host.flush_soon()
        # A reply on a stream may have begun in the turn in which this was cancelled.
        if answer.done() and not answer.cancelled() and answer.exception() is None:
            reply = answer.result()
            if isinstance(reply, StreamEndpoint):
                reply.reset(ResetCode.CANCELLED, "")

    async def _send_body(
        self, body: StreamEndpoint, payload: bytes, answer: asyncio.Future[bytes | StreamEndpoint]
    ) -> None:
        try:
            await body.write(payload)
            body.end()
        except StreamError:
            # The peer has reset the body: it has answered, or is about to.
            await asyncio.wait([answer])

    async def _collect_reply(self, stream: StreamEndpoint) -> bytes:
        try:
            return await self._collect(stream)
        except _TooLargeError:
            stream.reset(_TOO_LARGE, "")
            raise self._reply_too_large() from None
        except StreamError:
            raise self._cancelled("the peer gave up while it answered") from None

    def _reply_too_large(self) -> RemoteError:
        limit = self._host.options.max_message_size
        return RemoteError("ReplyTooLarge", f"the reply is over max_message_size, {limit} bytes")

    def take_reply(self, number: int, payload: bytes) -> None:
        """REPLY came."""
        self._answer(number, payload)

    def take_reply_on_stream(self, metadata: bytes, stream: StreamEndpoint) -> None:
        """A stream with a reply was opened."""
        if not self._answer(int.from_bytes(metadata, "little"), stream):
            stream.reset(ResetCode.CANCELLED, "")

    def _answer(self, number: int, reply: bytes | StreamEndpoint) -> bool:
        answer = self.pending.pop(number, None)
        if answer is None or answer.done():
            return False
        if isinstance(reply, bytes) and len(reply) > self._host.options.max_message_size:
            answer.set_exception(self._reply_too_large())
        else:
            answer.set_result(reply)
        return True

    def take_failure(self, number: int, code: int, kind: str, text: str) -> None:
        """FAILURE came."""
        answer = self.pending.pop(number, None)
        if answer is not None and not answer.done():
            answer.set_exception(self._failure(code, kind, text))

    def _failure(self, code: int, kind: str, text: str) -> Exception:
        match code:
            case FailureCode.UNSUPPORTED:
                return NotSupportedError("the peer answers no requests")
            case FailureCode.CANCELLED:
                return self._cancelled("the peer gave the request up")
            case FailureCode.GOING_AWAY:
                return self._cancelled("the peer is shutting down, and has not begun the request")
        return RemoteError(kind or f"failure {code}", text)

    def _cancelled(self, text: str) -> Exception:
        """Return what is raised where the peer has given a request up: a program that only
        reconnects when its connection ends must meet that end here, too."""
        return self._host.departure(text) or RequestCancelledError(text)

    # Requests of the peer

    def receive(self, number: int, payload: bytes) -> None:
        """REQUEST came: answer it, in a task if what answers it has to wait."""
        limit = self._host.options.max_message_size
        if len(payload) > limit:
            text = str(_TooLargeError(limit))
            self._fail(number, FailureCode.TOO_LARGE, "RequestTooLarge", text)
        elif self._may_serve(number):
            self._serve(number, payload)

    def receive_on_stream(self, metadata: bytes, stream: StreamEndpoint) -> None:
        """A stream with a request was opened: serve it in a task of its own."""
        number = int.from_bytes(metadata, "little")
        if self._may_serve(number):
            self._run(
                number,
                self._serve_body(number, stream),
                partial(stream.reset, ResetCode.CANCELLED, ""),
            )
        elif self._host.going_away:
            stream.reset(ResetCode.BUSY, "")

    def receive_cancel(self, number: int) -> None:
        """CANCEL came: cancel the task that answers the request."""
        task = self.serving.get(number)
        if task is not None:
            cancel_once(task)

    def _may_serve(self, number: int) -> bool:
        if self._host.going_away:
            self._multiplexer.fail(number, FailureCode.GOING_AWAY)
            self._host.flush_soon()
            return False
        # Else no answer can be sent: CLOSE is under way.
        return self.limiter.error is None

    def _run(
        self, number: int, running: Coroutine[Any, Any, None], clean_up: Callable[[], object]
    ) -> None:
        """Answer a request by a coroutine, whose first step runs at once.

        :param clean_up: called when that is over, or never began
        """
        serving = self.serving
        serving[number] = None
        task = self._host.handlers.start_now(running, f"request {number}")
        if task is None:
            self._served(number, clean_up)
            return
        # Its first step may have answered already.
        if number in serving:
            serving[number] = task
            if serving is not self.serving:
                # Or ended the connection, when end_sending() did not have the task yet.
                cancel_once(task)
        # A callback: a task that is cancelled before its first step must be answered too.
        task.add_done_callback(lambda _: self._served(number, clean_up))

    def _served(self, number: int, clean_up: Callable[[], object]) -> None:
        clean_up()
        if number in self.serving:
            self._fail(number, FailureCode.CANCELLED)
        self._host.close_if_idle()

    def _serve(self, number: int, payload: bytes) -> None:
        self.serving[number] = None
        try:
            answer = self._call(payload)
            if not isinstance(answer, bytes) and inspect.isawaitable(answer):
                running = self._await_answer(number, answer, len(payload))
                # A coroutine whose task is cancelled before its first step never begins.
                self._run(number, running, getattr(answer, "close", _nothing))
                return
            data = self._host.handlers.codec.encode_reply(answer)
        except asyncio.CancelledError:
            self._fail(number, FailureCode.CANCELLED)
        except BaseException as error:
            self._fail_with(number, error)
            if ends_program(error):
                raise
        else:
            self._reply(number, data)

    async def _serve_body(self, number: int, body: StreamEndpoint) -> None:
        try:
            payload = await self._collect_request(body)
        except _TooLargeError as error:
            self._fail(number, FailureCode.TOO_LARGE, "RequestTooLarge", str(error))
            return
        except _WithdrawnError:
            self._fail(number, FailureCode.CANCELLED)
            return
        await self._await_answer(number, self._call_later(payload), len(payload))

    async def _call_later(self, payload: bytes) -> Any:
        answer = self._call(payload)
        return await answer if inspect.isawaitable(answer) else answer

    async def _await_answer(self, number: int, answer: Awaitable[Any], size: int) -> None:
        self._count_payload(size)
        try:
            data = self._host.handlers.codec.encode_reply(await answer)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fail_with(number, error)
            if ends_program(error):
                raise
        else:
            if len(data) <= wire.MAX_CHUNK:
                self._reply(number, data)
            else:
                await self._reply_on_stream(number, data)
        finally:
            self._count_payload(-size)

    def _fail_with(self, number: int, error: BaseException) -> None:
        """Answer with an exception of the program."""
        if isinstance(error, RemoteError):
            self._fail(number, FailureCode.RAISED, _text(error.type), _text(error.message))
            return
        # A malformed payload is the fault of the peer, which must not fill the log.
        malformed = isinstance(error, DecodeError) and error.connection is self._connection
        if not malformed and (more := self._host.handlers.note_failure()) is not None:
            what = "what answers a request of %r failed%s"
            logger.error(what, self._connection, more, exc_info=error)
        kind, text = "InternalError", "the request failed"
        if self._host.options.detailed_errors:
            kind, text = type(error).__name__, _text(error)
        self._fail(number, FailureCode.RAISED, kind, text)

    def _call(self, payload: bytes) -> Any:
        connection, handlers = self._connection, self._host.handlers
        on_request = handlers.on_request
        # Without it this end announces max_requests = 0 (section 4), and no request is taken.
        assert on_request is not None
        try:
            request = handlers.codec.decode(payload, connection)
        except DecodeError as error:
            raise RemoteError("DecodeError", str(error)) from None
        return on_request(connection, request)

    def _count_payload(self, size: int) -> None:
        before, limit = self.payload_bytes, self._payload_limit
        self.payload_bytes = after = before + size
        if before < limit <= after:
            self._may_collect.clear()
        elif after < limit <= before:
            self._may_collect.set()

    async def _collect_request(self, stream: StreamEndpoint) -> bytes:
        try:
            async with self._collecting:
                await self._may_collect.wait()
                return await self._collect(stream)
        except _TooLargeError:
            stream.reset(_TOO_LARGE, "")
            raise
        except (ConnectionClosed, StreamError) as error:
            raise _WithdrawnError from error

    def _reply(self, number: int, data: bytes) -> None:
        if not self._may_reply(number, data):
            return
        if len(data) > wire.MAX_CHUNK:
            self._run(number, self._reply_on_stream(number, data), _nothing)
            return
        del self.serving[number]
        self._multiplexer.reply(number, data)
        self._host.flush_soon()

    def _may_reply(self, number: int, data: bytes) -> bool:
        if number not in self.serving or self.limiter.error is not None:
            return False
        limit = self._connection.max_send_size
        if len(data) > limit:
            text = str(MessageTooLargeError(len(data), limit))
            self._fail(number, FailureCode.TOO_LARGE, "ReplyTooLarge", text)
            return False
        return True

    async def _reply_on_stream(self, number: int, data: bytes) -> None:
        if not self._may_reply(number, data):
            return
        del self.serving[number]
        body = self._streams.add_outgoing(self._multiplexer.reply_on_stream(number))
        try:
            async with Stream(body, b"") as stream:
                await stream.write(data)
        except (ConnectionClosed, StreamError):
            pass  # the peer has given up, or is gone

    def _fail(self, number: int, code: FailureCode, kind: str = "", text: str = "") -> None:
        self.serving.pop(number, None)
        if self.limiter.error is None:
            self._multiplexer.fail(number, code, kind, text)
            self._host.flush_soon()

    async def _collect(self, stream: StreamEndpoint) -> bytes:
        """Return all that comes on the stream of a body.

        :raises _TooLargeError: it is over the limit
        """
        limit = self._host.options.max_message_size
        stream.widen(self._host.options.stream_window)
        try:
            return await stream.read_all(limit)
        except OverflowError:
            raise _TooLargeError(limit) from None

    # The end

    def end_sending(self, error: ConnectionClosed) -> None:
        """Nothing more can be sent: fail what is pending, cancel what is served."""
        self.limiter.close(error)
        pending, self.pending = self.pending, {}
        for answer in pending.values():
            if not answer.done():
                answer.set_exception(error.fresh())
        serving, self.serving = self.serving, {}
        for task in filter(None, serving.values()):
            cancel_once(task)


class _TooLargeError(Exception):
    """A body is over the limit."""

    def __str__(self) -> str:
        return f"the request is over max_message_size, {self.args[0]} bytes"


class _WithdrawnError(Exception):
    """The body of a request was reset, or the connection ended, before it was whole."""


def _nothing() -> None:
    """There is nothing to clean up."""


def _text(of: object) -> str:
    """Return ``str(of)``, or a placeholder where the program's ``__str__`` raises."""
    try:
        return str(of)
    except Exception:  # noqa: BLE001 - the request is to be answered all the same
        return f"({type(of).__name__} has no text)"
