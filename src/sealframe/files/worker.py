"""Threads for file operations, so that the event loop does not wait for the disk."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

_IDLE: Final = 2.0
"""Seconds after which threads that have nothing to do end; others take their place."""


class StoppedError(Exception):
    """The task that waited for the work was cancelled."""


class Pool:
    """At most so many threads, shared by the workers of any event loops.

    They end when nobody uses the pool, and when none of them has had anything to do for a
    while, so that a peer that is slow, or stalls on purpose, holds none.
    """

    __slots__ = ("_executor", "_lock", "_loop", "_size", "_users", "_working")

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._users = 0
        self._working = 0
        """Functions that run or wait for a thread."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop that looks later whether they are idle."""

    def enter(self) -> None:
        """Use it; :meth:`leave` ends that."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Use it no more. The last one who leaves ends the threads, when all is done."""
        with self._lock:
            self._users -= 1
            if not self._users:
                self._release()

    def submit(self, function: Callable[[], None]) -> None:
        """Run a function in one of the threads. Called in an event loop, which looks later
        whether they are idle."""
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._size, "sealframe-file")
            self._working += 1
            self._executor.submit(self._run, function)
            if self._loop is None or self._loop.is_closed():
                self._loop = asyncio.get_running_loop()
                self._loop.call_later(_IDLE, self._rest)

    def _run(self, function: Callable[[], None]) -> None:
        try:
            function()
        finally:
            with self._lock:
                self._working -= 1

    def _rest(self) -> None:
        with self._lock:
            if self._working:
                asyncio.get_running_loop().call_later(_IDLE, self._rest)
            else:
                self._loop = None
                self._release()

    def _release(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None


class Worker:
    """Runs functions one after the other, in threads of a pool.

    A function that runs cannot be stopped, but may ask :meth:`check`. A task that is cancelled
    while it waits for one waits for its end first: nobody closes a file that the function
    uses, and what it stored in an object is there.

    :param pool: whose threads it uses; None: one of its own
    """

    __slots__ = ("_lock", "_pool", "_queue", "_running", "_stopped")

    def __init__(self, pool: Pool | None = None) -> None:
        self._pool = Pool(1) if pool is None else pool
        self._pool.enter()
        self._lock = threading.Lock()
        self._queue: deque[Callable[[], None]] = deque()
        self._running = False
        """Whether a thread takes from the queue."""
        self._stopped = False

    def start(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> asyncio.Future[Result]:
        """Queue a function; :meth:`finish` waits for it.

        Its exception counts as retrieved, so that asyncio does not log it.
        """
        done: Future[Result] = Future()

        def run() -> None:
            try:
                result = function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it belongs to who waits
                done.set_exception(error)
            else:
                done.set_result(result)

        running = asyncio.wrap_future(done)
        running.add_done_callback(_retrieve)
        with self._lock:
            self._queue.append(run)
            idle, self._running = not self._running, True
        if idle:
            self._pool.submit(self._run)
        return running

    async def finish(self, running: asyncio.Future[Result]) -> Result:
        """Wait for what :meth:`start` has begun; return what it returns, raise what it raises."""
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
                self._stopped = True
        if cancelled is not None:
            raise cancelled
        return running.result()

    async def run(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run a function and wait for it."""
        return await self.finish(self.start(function, *args, **kwargs))

    def check(self) -> None:
        """Called in the thread, by work that takes long.

        :raises StoppedError: nobody waits for it any more
        """
        if self._stopped:
            raise StoppedError

    def close(self) -> None:
        """Queue nothing more; what was begun is done."""
        self._pool.leave()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._running = False
                    return
                function = self._queue.popleft()
            function()
            # What it worked on is let go before the next one comes.
            del function


def _retrieve(running: asyncio.Future[Result]) -> None:
    if not running.cancelled():
        running.exception()
