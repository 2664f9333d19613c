"""The event loop behind the blocking API, in a thread of its own: one for the process."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from ..aio.connection import AnyConnection, Connection, protocol_of
from ..errors import ConnectionClosedError, WrongLoopError
from ..server.server import Server, registry_of
from .call import OVER, Call

T = TypeVar("T")

_CLOSE_TIMEOUT: Final = 1.0
"""Seconds that a program's end waits for connections nobody closed to close in order."""

_EXITED: Final = ConnectionClosedError("the program ended")


class LoopThread:
    """An event loop in a daemon thread, for as long as the process lives.

    :ivar loop: the event loop; it belongs to that thread
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._open: weakref.WeakSet[AnyConnection | Server[Any, Any]] = weakref.WeakSet()
        self._exiting = threading.Event()
        self._spawned: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._run, name="sealframe.sync", daemon=True)
        self._thread.start()

    def run(
        self,
        work: Callable[[], Awaitable[T]],
        *,
        timeout: float | None = None,
        undo: Callable[[T], None] | None = None,
    ) -> T:
        """Await ``work()`` in the loop, and wait for it here.

        Where this thread is interrupted meanwhile, by Ctrl-C for example, the work is
        cancelled, and the interrupt goes its way at once.

        :param work: makes what is awaited; it is called in the loop's thread too
        :param timeout: seconds after which the work is cancelled; None for no limit, 0 for
            what can be done at once
        :param undo: takes back, in the loop's thread, the result of an interrupted call
        :raises WaitTimeoutError: it was not done in time, and is cancelled
        :raises WrongLoopError: an event loop runs in this thread, the loop was started
            before :func:`os.fork`, or the program is ending
        """
        if asyncio._get_running_loop() is not None:
            raise WrongLoopError(
                "a blocking call would stop the event loop of this thread: here use "
                "sealframe.connect() and sealframe.serve() with await, or make the call in "
                "another thread, for example with asyncio.to_thread()"
            )
        call = Call(work, timeout, undo, self._exiting)
        try:
            self._post(call.start)
            return call.wait()
        except BaseException as error:
            if error is not call.error and not self.gone:
                self._post(call.abandon)
            raise
        finally:
            # What is raised holds this frame, and the call holds what is raised.
            del call

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the loop's thread and return what it returns.

        :raises WrongLoopError: as :meth:`run`
        """

        async def work() -> T:
            return function()

        return self.run(work)

    def finish(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Run what cleans up, from a finalizer too: where waiting is forbidden it is only
        started, and where the loop is gone there is nothing left to clean up."""
        if self.gone or asyncio._get_running_loop() is not None:
            self.start(work)
        else:
            self.run(work)

    def start(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Start what cleans up, without waiting for it."""
        if not self.gone:
            self._post(lambda: self.spawn(work()))

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Start a coroutine that nobody waits for; called in the loop's thread."""
        task = self.loop.create_task(work)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)

    def close_at_exit(self, opened: AnyConnection | Server[Any, Any]) -> None:
        """Close it when the program ends, if nobody did before and it is still in use."""
        self._open.add(opened)

    @property
    def gone(self) -> bool:
        """Whether nothing runs in the loop any more, or it belongs to a parent process."""
        return self._process != os.getpid() or self.loop.is_closed()

    def end(self) -> None:
        """Close what is open, and end the thread; wait for it, but not for ever."""
        self._exiting.set()
        self.start(self._end)
        self._thread.join(2 * _CLOSE_TIMEOUT)

    def _post(self, function: Callable[[], object]) -> None:
        if self._process != os.getpid():
            raise WrongLoopError(
                "this was made before os.fork(), in the parent process: make one here"
            )
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            raise WrongLoopError(OVER) from None

    def _run(self) -> None:
        loop = self.loop
        try:
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    async def _end(self) -> None:
        opened = list(self._open)
        closing = {asyncio.create_task(each.close()) for each in opened}
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for each in opened:
            if isinstance(each, Connection):
                protocol_of(each).closer.abort(_EXITED)
            else:
                for protocol in list(registry_of(each).connections):
                    protocol.closer.abort(_EXITED)
        # The sockets are closed in the turn after.
        self.loop.call_soon(self.loop.stop)


class _Shared:
    """The one of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._over = False

    def get(self) -> LoopThread:
        with self._lock:
            if self._over:
                raise WrongLoopError(OVER)
            if self._thread is None:
                self._thread = LoopThread()
            return self._thread

    def forget(self) -> None:
        """Start anew in a child process, which has none of its parent's other threads."""
        self._lock = threading.Lock()
        self._thread = None

    def end(self) -> None:
        with self._lock:
            self._over = True
            thread = self._thread
        if thread is not None:
            thread.end()


_shared: Final = _Shared()


def end_shared() -> None:
    """End the process's one, for good."""
    _shared.end()


# Threads that are no daemons have ended by then.
atexit.register(end_shared)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.forget)


def shared() -> LoopThread:
    """Return the process's one, started at the first call.

    :raises WrongLoopError: the program is ending
    """
    return _shared.get()
