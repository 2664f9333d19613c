"""Runs the program's handler for each client; how it ends decides how the connection is closed."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, cast

from ..aio.connection import AnyConnection, Connection, Received, Sent
from ..aio.log_throttle import FAILURES, LogThrottle
from ..aio.program_faults import close_after
from ..aio.tasks import Tasks, start_task
from ..errors import DecodeError
from ..wire import CloseCode
from ..wire.control import Close
from .connection_log import ConnectionLog

Handler: TypeAlias = Callable[[Connection[Sent, Received]], Awaitable[None]]
_AsyncHandler: TypeAlias = Callable[[AnyConnection], Coroutine[Any, Any, None]]

logger = logging.getLogger("sealframe.server")


class Handlers(Tasks[AnyConnection]):
    """The tasks that run a server's handler, one for each client.

    :param handler: None where none is ever started
    :param log: counts and logs the faults of clients
    :param done: called when a handler is done, with how its connection is to be closed
    """

    def __init__(
        self,
        handler: Handler[Any, Any] | None,
        log: ConnectionLog,
        done: Callable[[AnyConnection, Close], None],
    ) -> None:
        super().__init__(self._finish)
        self._handler: Handler[Any, Any] = handler or _no_handler
        self._log = log
        self._done_with = done
        self._is_async = _is_async(self._handler)
        self._failures = LogThrottle(FAILURES)

    def start(self, conn: AnyConnection) -> asyncio.Task[None]:
        """Run the handler for a connection; return its task."""
        start = cast("_AsyncHandler", self._handler) if self._is_async else self._call
        task = start_task(start, conn, name=conn.id)
        self.add(task, conn)
        return task

    async def _call(self, conn: AnyConnection) -> None:
        running = self._handler(conn)
        if not inspect.isawaitable(running):
            raise TypeError(f"the handler is not async: it returned {running!r}")
        await running

    def _finish(self, task: asyncio.Task[None], conn: AnyConnection) -> None:
        close = Close()
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            close = Close(CloseCode.GOING_AWAY)
        elif error is not None:
            # The end of its own connection is no fault of the handler, and is logged already.
            close = close_after(error, conn, "the handler failed")
            if isinstance(error, DecodeError) and close.code == CloseCode.MALFORMED:
                self._log.failed(conn.id, conn.remote_address, error)
            elif close.code == CloseCode.HANDLER:
                more = self._failures.count(asyncio.get_running_loop().time())
                if more is not None:
                    what = "the handler of client %s failed%s"
                    logger.error(what, conn.id, more, exc_info=error)
        self._done_with(conn, close)


async def _no_handler(conn: AnyConnection) -> None:
    """Stands for the handler of a server whose clients are not served by tasks."""


def _is_async(handler: Handler[Any, Any]) -> bool:
    """Return whether a call runs nothing of the handler yet, and cannot fail.

    Its coroutine can then be the task's: no other around it takes memory.
    """
    if not inspect.iscoroutinefunction(handler):
        return False
    try:
        inspect.signature(handler, follow_wrapped=False).bind(None)
    except (TypeError, ValueError):
        return False
    return True
