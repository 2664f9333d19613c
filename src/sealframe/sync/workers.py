"""Threads for the functions of programs: one for each call, up to a limit."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

_own: Final = threading.local()


class Workers:
    """Runs blocking functions for the tasks of an event loop.

    The threads are daemons: one that never ends holds up no program's end.

    :param limit: threads at a time; a further call waits for one to end
    """

    def __init__(self, limit: int) -> None:
        self._room = asyncio.Semaphore(limit)

    async def run(
        self,
        name: str,
        function: Callable[..., T],
        *args: Any,
        check: Callable[[], object] | None = None,
    ) -> T | None:
        """Call a function in a thread of its own; return what it returns.

        If this is cancelled, the function runs on, since no thread can be stopped.

        :param name: the thread's
        :param check: called when the thread can begin; what it raises is raised instead
        :raises Exception: what the function raised; a ``RuntimeError`` whose cause it is, where
            that is no ``Exception``. ``SystemExit`` too is a failure: it would end the thread
            alone, which nobody who calls ``sys.exit()`` means.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        context = contextvars.copy_context()
        await self._room.acquire()
        ended: asyncio.Future[T | None] = loop.create_future()

        def work() -> None:
            _own.task = task
            error: Exception | None = None
            result: T | None = None
            try:
                result = context.run(function, *args)
            except BaseException as raised:  # noqa: BLE001 - it is raised where it is awaited
                error = _as_exception(raised)
            finally:
                # At the program's end the loop may be gone before the thread.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._end, ended, result, error)

        try:
            if check is not None:
                check()
            threading.Thread(target=work, name=name, daemon=True).start()
        except BaseException:
            self._room.release()
            raise
        return await ended

    def _end(
        self, ended: asyncio.Future[T | None], result: T | None, error: Exception | None
    ) -> None:
        self._room.release()
        if ended.cancelled():
            return
        if error is None:
            ended.set_result(result)
        else:
            ended.set_exception(error)


def _as_exception(raised: BaseException) -> Exception:
    # A future takes StopIteration for the end of a generator, and others that are no Exception
    # would end the event loop's thread.
    if isinstance(raised, Exception) and not isinstance(raised, StopIteration):
        return raised
    error = RuntimeError(f"the function raised {type(raised).__name__}: {raised}")
    error.__cause__ = raised
    return error


def task_of_thread() -> asyncio.Task[Any] | None:
    """Return the task that the calling thread works for, None if it is no such thread."""
    task: asyncio.Task[Any] | None = getattr(_own, "task", None)
    return task
