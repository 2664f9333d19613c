"""Runs the program's on_connect, on_link and on_disconnect, in this order for each connection."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TypeAlias

from ..errors import ConfigurationError, ConnectionClosed
from .caller import current_caller
from .cancelling import cancel_once
from .connection import AnyConnection, Connection, protocol_of
from .disconnect import Disconnect, explain
from .link_change import LinkChange
from .log_throttle import FAILURES, LogThrottle
from .tasks import Tasks, start_task
from .time_limit import Expiry, wait_for_task

OnConnect: TypeAlias = Callable[[AnyConnection], Awaitable[None] | None]
OnDisconnect: TypeAlias = Callable[[AnyConnection, Disconnect], Awaitable[None] | None]
OnLink: TypeAlias = Callable[[AnyConnection, LinkChange], Awaitable[None] | None]

logger = logging.getLogger("sealframe.hooks")


class Hooks:
    """Calls a program's hooks; a hook that is a coroutine becomes a task.

    Of one connection only one runs at a time. ``on_disconnect`` is called once for each, as the
    last.

    :param timeout: seconds for a hook that still runs when its connection is gone
    :raises ConfigurationError: a hook cannot be called
    """

    def __init__(
        self,
        on_connect: OnConnect | None,
        on_disconnect: OnDisconnect | None,
        on_link: OnLink | None,
        *,
        timeout: float,
    ) -> None:
        hooks = {"on_connect": on_connect, "on_disconnect": on_disconnect, "on_link": on_link}
        for name, hook in hooks.items():
            if hook is not None and not callable(hook):
                raise ConfigurationError(f"{name} is {hook!r}; use a function, async or not")
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._on_link = on_link
        self._timeout = timeout
        self._failures = LogThrottle(FAILURES)
        self._tasks: Tasks[Connection] | None = None
        # Of each connection that has a hook that runs.
        self._of: dict[Connection, _Running] = {}

    def connected(self, conn: Connection) -> None:
        """Call ``on_connect``: the connection is established."""
        if self._on_connect is not None:
            self._run("on_connect", conn, self._on_connect, conn)

    def link_changed(self, conn: Connection, change: LinkChange) -> None:
        """Call ``on_link``: a session has lost its link, or has the next one.

        While another hook of the connection runs, the call waits. A loss and a return that both
        came meanwhile are left out, so that no more than one call ever waits, and what ``on_link``
        was told last is true in the end.
        """
        if self._on_link is None:
            return
        running = self._of.get(conn)
        if running is None:
            self._run("on_link", conn, self._on_link, conn, change)
        else:
            running.change = change if running.change is None else None

    def disconnected(self, conn: Connection) -> None:
        """Call ``on_disconnect``: an established connection is over.

        A hook that runs has ``timeout`` seconds to finish first.
        """
        if self._on_disconnect is None and not self._of:
            return
        protocol = protocol_of(conn)
        closer, received = protocol.closer, protocol.receiver.error
        assert received is not None
        reason = explain(received, closer.close_sent, clean=closer.clean)
        earlier = self._of.get(conn)
        if earlier is None:
            self._call_last(conn, reason)
            return
        earlier.change = None
        cancel = partial(cancel_once, earlier.task)
        timer = Expiry(asyncio.get_running_loop(), self._timeout, cancel)

        def go_on(_: asyncio.Task[None]) -> None:
            timer.cancel()
            self._call_last(conn, reason)

        earlier.task.add_done_callback(go_on)

    def exclude(self, task: asyncio.Task[None] | None) -> None:
        """Do not wait for a task that waits for :meth:`finish` itself."""
        if self._tasks is not None:
            self._tasks.exclude(task)

    async def finish(self, deadline: float) -> int:
        """Wait for all running hooks; cancel those that still run at the deadline.

        :param deadline: a time of the event loop's clock
        :return: how many were cancelled
        """
        return 0 if self._tasks is None else await self._tasks.finish(deadline)

    async def settle(self, conn: Connection, deadline: float) -> None:
        """Wait for the hooks of one connection; cancel what still runs at the deadline.

        A hook that calls this is not waited for: it would wait for itself.

        :param deadline: a time of the event loop's clock
        """
        own = current_caller()
        while (running := self._of.get(conn)) is not None and (task := running.task) is not own:
            await wait_for_task(task, deadline)
            if not task.done():
                cancel_once(task)
                await asyncio.wait([task])

    def _call_last(self, conn: Connection, reason: Disconnect) -> None:
        if self._on_disconnect is not None:
            self._run("on_disconnect", conn, self._on_disconnect, conn, reason)

    def _run(
        self,
        name: str,
        conn: Connection,
        hook: Callable[..., Awaitable[None] | None],
        *args: object,
    ) -> None:
        running = None
        with self._failures_logged(name, conn):
            running = hook(*args)
        if not inspect.isawaitable(running):
            return
        if self._tasks is None:
            self._tasks = Tasks(self._done)
        task = start_task(self._finish, name, conn, running, name=f"{name} {conn.id}")
        self._of[conn] = _Running(task)
        self._tasks.add(task, conn)

    def _done(self, task: asyncio.Task[None], conn: Connection) -> None:
        change = self._of.pop(conn).change
        if change is not None:
            self.link_changed(conn, change)

    async def _finish(self, name: str, conn: Connection, running: Awaitable[None]) -> None:
        with self._failures_logged(name, conn):
            await running

    @contextlib.contextmanager
    def _failures_logged(self, name: str, conn: Connection) -> Iterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            logger.warning("%s of connection %s did not end in time", name, conn.id)
            raise
        except ConnectionClosed as error:
            # The end of the hook's own connection is no fault of the hook; that of another is.
            protocol = protocol_of(conn)
            if protocol.receiver.error is None and protocol.sender.error is None:
                self._log_failure(name, conn, error)
        except Exception as error:  # noqa: BLE001 - it is logged
            self._log_failure(name, conn, error)

    def _log_failure(self, name: str, conn: Connection, error: Exception) -> None:
        more = self._failures.count(asyncio.get_running_loop().time())
        if more is not None:
            what = "%s of connection %s failed%s"
            logger.error(what, name, conn.id, more, exc_info=error)


class _Running:
    """A hook that runs, and the change of which ``on_link`` is told after it."""

    __slots__ = ("change", "task")

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.change: LinkChange | None = None
