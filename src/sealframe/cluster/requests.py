"""Requests to clients of other servers, and those of other servers to clients of this one.

A request is answered at most once. Whoever waits is told as soon as something may have been lost:
NATS went away, the server did, or a chunk of it did not come. What nobody sees, such as a request
that is lost between two nodes of NATS, comes to light by a question each second: which requests
have no answer yet. Of which the other server knows nothing one of the two ways has failed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from ..aio.cancelling import cancel_once
from ..aio.fair_limiter import FairLimiter
from ..aio.log_throttle import FAILURES, LogThrottle
from ..aio.tasks import start_task
from ..aio.time_limit import TimeLimit
from ..errors import (
    ClusterError,
    ClusterUnavailableError,
    ConnectionClosed,
    ConnectionClosedError,
    MessageTooLargeError,
    NotSupportedError,
    RemoteError,
    RequestCancelledError,
    RequestTimeoutError,
    SealframeError,
    UnknownClientError,
)
from ..server.cluster_member import LocalServer
from .messages import Cancel, Failure, FailureKind, Reply, Request, Waiting, encode
from .numbers import WAITING_INTERVAL
from .outgoing import Outgoing

logger = logging.getLogger("sealframe.cluster")

MAX_RUNNING: Final = 1024
"""Requests from one server to another that have no answer yet; further ones wait their turn."""
_MAX_TEXT: Final = 4096
"""Characters of an error's text that go to another server."""


class _Server:
    """The requests to one other server.

    :ivar pending: those without an answer, also those that wait to be sent
    :ivar sent: the numbers of those that were
    """

    __slots__ = ("limiter", "pending", "sent")

    def __init__(self) -> None:
        self.pending: dict[int, asyncio.Future[bytes]] = {}
        self.sent: set[int] = set()
        self.limiter = FairLimiter(lambda: len(self.pending) < MAX_RUNNING)

    def fail(self, error: Callable[[], Exception]) -> None:
        """Let all that wait for an answer raise that."""
        for answer in self.pending.values():
            if not answer.done():
                answer.set_exception(error())


class OutgoingRequests:
    """Requests of this server's program to clients of other servers.

    :param check: raises what a call raises that needs other servers, while they are away
    """

    def __init__(self, outgoing: Outgoing, check: Callable[[], None]) -> None:
        self._outgoing = outgoing
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._next_look = 0.0
        self._numbers = itertools.count(1)
        self._servers: dict[str, _Server] = {}

    def __len__(self) -> int:
        """How many have no answer yet."""
        return sum(len(server.pending) for server in self._servers.values())

    async def ask(self, server: str, client: str, data: bytes, timeout: float | None) -> bytes:
        """Ask a client of another server; return its answer.

        :param timeout: seconds, more than 0, or None
        """
        if timeout is None:
            return await self._ask(server, client, data, None)
        try:
            async with TimeLimit(timeout) as limit:
                return await self._ask(server, client, data, timeout)
        except TimeoutError as error:
            if isinstance(error, SealframeError) or not limit.expired():
                raise
            raise RequestTimeoutError(f"no answer within {timeout:g} s") from error

    async def _ask(self, name: str, client: str, data: bytes, timeout: float | None) -> bytes:
        server = self._servers.get(name)
        if server is None:
            server = self._servers[name] = _Server()
        await server.limiter.wait()
        if server.limiter.error is not None:
            raise server.limiter.error.fresh()
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = self._loop.create_future()
        server.pending[number] = answer
        server.limiter.wake()
        try:
            await self._outgoing.room(len(data), (name,))
            if not answer.done():
                self._check()
                self._outgoing.add(name, encode(Request(number, timeout, client, data)))
                server.sent.add(number)
            return await answer
        except BaseException:
            unanswered = number in server.sent and number in server.pending
            if unanswered and server.limiter.error is None:
                self._outgoing.add(name, encode(Cancel(number)))
            raise
        finally:
            server.pending.pop(number, None)
            server.sent.discard(number)
            server.limiter.wake()
            if answer.done() and not answer.cancelled():
                answer.exception()  # it came in the turn in which this was cancelled

    def take_reply(self, server: str, reply: Reply) -> None:
        """An answer came; one that nobody waits for any more is dropped."""
        answer = self._take(server, reply.number)
        if answer is not None:
            answer.set_result(reply.payload)

    def take_failure(self, server: str, failure: Failure) -> None:
        """There will be no answer."""
        answer = self._take(server, failure.number)
        if answer is not None:
            answer.set_exception(_error(failure))

    def _take(self, name: str, number: int) -> asyncio.Future[bytes] | None:
        server = self._servers.get(name)
        answer = None if server is None else server.pending.pop(number, None)
        return None if answer is None or answer.done() else answer

    def may_be_lost(self, name: str) -> None:
        """Something on the way to or from that server was lost: fail what waits for it."""
        if name in self._servers:
            self._servers[name].fail(_lost)

    def look(self) -> None:
        """Ask the other servers, once a second, whether they know what we wait for."""
        if self._loop.time() < self._next_look:
            return
        self._next_look = self._loop.time() + WAITING_INTERVAL
        for name, server in self._servers.items():
            numbers = tuple(server.sent & server.pending.keys())
            if numbers:
                self._outgoing.add(name, encode(Waiting(numbers)))

    def all_may_be_lost(self) -> None:
        """NATS went away: fail what waits."""
        for server in self._servers.values():
            server.fail(_lost)

    def server_gone(self, name: str) -> None:
        """A server is gone, and its clients with it: fail what they were asked."""
        self._end(name, "the client's server is gone, and its connection with it")

    def close(self) -> None:
        """This server leaves the cluster."""
        for name in list(self._servers):
            self._end(name, "this server has left the cluster")

    def _end(self, name: str, text: str) -> None:
        server = self._servers.pop(name, None)
        if server is not None:
            error = ConnectionClosedError(text)
            server.limiter.close(error)
            server.fail(error.fresh)


class IncomingRequests:
    """Requests of other servers to clients of this one: a task for each."""

    def __init__(self, local: LocalServer, outgoing: Outgoing) -> None:
        self._local = local
        self._outgoing = outgoing
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._failures = LogThrottle(FAILURES)

    def take(self, server: str, request: Request) -> None:
        """A request came."""
        key = server, request.number
        if key not in self._tasks:
            task = start_task(self._answer, server, request, name="sealframe-cluster-request")
            self._tasks[key] = task
            task.add_done_callback(partial(self._done, key))

    def take_waiting(self, server: str, numbers: Iterable[int]) -> None:
        """A server waits for answers: what runs goes on, of all else none will come."""
        for number in numbers:
            if (server, number) not in self._tasks:
                failure = Failure(number, FailureKind.LOST, "", "")
                self._outgoing.add(server, encode(failure))

    def take_cancel(self, server: str, number: int) -> None:
        """Nobody waits for the answer any more."""
        task = self._tasks.get((server, number))
        if task is not None:
            cancel_once(task)

    def server_gone(self, server: str) -> None:
        """Cancel what that server has asked."""
        for (asker, _), task in list(self._tasks.items()):
            if asker == server:
                cancel_once(task)

    async def close(self) -> None:
        """Cancel all."""
        tasks = list(self._tasks.values())
        for task in tasks:
            cancel_once(task)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, key: tuple[str, int], task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            more = self._failures.count(asyncio.get_running_loop().time())
            if more is not None:
                logger.error("a request of server %s failed%s", key[0], more, exc_info=error)

    async def _answer(self, server: str, request: Request) -> None:
        try:
            data = await self._local.request(request.target, request.payload, request.timeout)
            frame = encode(Reply(request.number, data))
        except SealframeError as error:
            frame = encode(_failure(request.number, error))
        except Exception as error:
            # Whoever asks does not wait for ever; the fault is logged where the task ends.
            self._outgoing.add(server, encode(_failure(request.number, error)))
            raise
        # Where NATS goes away meanwhile, whoever asked is told by its own server.
        await self._outgoing.room(len(frame), (server,))
        self._outgoing.add(server, frame)


def _lost() -> ClusterUnavailableError:
    return ClusterUnavailableError(
        "something was lost on the way through NATS while a client was asked: it may have got the "
        "request, or not, and the answer does not come"
    )


def _failure(number: int, error: Exception) -> Failure:
    kind, type_, text = FailureKind.OTHER, type(error).__name__, str(error)
    match error:
        case RemoteError(type=type_, message=text):
            kind = FailureKind.REMOTE
        case UnknownClientError():
            kind, text = FailureKind.UNKNOWN_CLIENT, str(error.id)
        case RequestTimeoutError():
            kind = FailureKind.TIMEOUT
        case RequestCancelledError():
            kind = FailureKind.CANCELLED
        case ConnectionClosed(code=code):
            kind, type_ = FailureKind.CLOSED, "" if code is None else str(int(code))
        case MessageTooLargeError(size=size, limit=limit):
            kind, type_, text = FailureKind.TOO_LARGE, str(size), str(limit)
        case NotSupportedError():
            kind = FailureKind.NOT_SUPPORTED
    return Failure(number, kind, _cut(type_), _cut(text))


def _cut(text: str) -> str:
    return text[:_MAX_TEXT].encode(errors="replace").decode()


def _error(failure: Failure) -> Exception:
    type_, text = failure.type, failure.text
    match failure.kind:
        case FailureKind.REMOTE:
            return RemoteError(type_, text)
        case FailureKind.UNKNOWN_CLIENT:
            return UnknownClientError(text, "cluster")
        case FailureKind.TIMEOUT:
            return RequestTimeoutError(text)
        case FailureKind.CANCELLED:
            return RequestCancelledError(text)
        case FailureKind.CLOSED:
            text = f"the client's connection to its server has ended: {text}"
            return ConnectionClosedError(text, code=_number(type_))
        case FailureKind.TOO_LARGE:
            return MessageTooLargeError(_number(type_) or 0, _number(text) or 0)
        case FailureKind.NOT_SUPPORTED:
            return NotSupportedError(text)
        case FailureKind.LOST:
            return _lost()
    return ClusterError(f"the client's server could not ask it: {type_}: {text}")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
