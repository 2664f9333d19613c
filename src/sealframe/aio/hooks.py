"""What a program does when a connection comes and when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

from ..errors import ConfigurationError, ConnectionClosed
from .caller import current_caller
from .connection import AnyConnection, Connection, protocol_of
from .disconnect import Disconnect, explain
from .tasks import Tasks

OnConnect: TypeAlias = Callable[[AnyConnection], Awaitable[None] | None]
OnDisconnect: TypeAlias = Callable[[AnyConnection, Disconnect], Awaitable[None] | None]

logger = logging.getLogger("sealframe.hooks")


class Hooks:
    """Calls a program's hooks, and keeps the tasks of those that are coroutines.

    For each connection ``on_disconnect`` comes once, after ``on_connect`` is over.

    :param timeout: seconds for an ``on_connect`` that still runs when its connection is gone
    :raises ConfigurationError: a hook cannot be called
    """

    def __init__(
        self, on_connect: OnConnect | None, on_disconnect: OnDisconnect | None, *, timeout: float
    ) -> None:
        for name, hook in (("on_connect", on_connect), ("on_disconnect", on_disconnect)):
            if hook is not None and not callable(hook):
                raise ConfigurationError(f"{name} is {hook!r}; use a function, async or not")
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._timeout = timeout
        self._tasks: Tasks[Connection] | None = None
        self._of: dict[Connection, asyncio.Task[None]] = {}

    def connected(self, conn: Connection) -> None:
        """Note that a connection is established."""
        if self._on_connect is not None:
            self._run("on_connect", conn, self._on_connect, conn)

    def disconnected(self, conn: Connection) -> None:
        """Note that the socket of an established connection is gone."""
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
        timer = asyncio.get_running_loop().call_later(self._timeout, earlier.cancel)

        def go_on(_: asyncio.Task[None]) -> None:
            timer.cancel()
            self._call_last(conn, reason)

        earlier.add_done_callback(go_on)

    def exclude(self, task: asyncio.Task[None] | None) -> None:
        """Do not wait for this task, which waits for the end itself."""
        if self._tasks is not None:
            self._tasks.exclude(task)

    async def finish(self, deadline: float) -> int:
        """Wait for all that run, then cancel them.

        :param deadline: until when, by the event loop's clock
        :return: how many were cancelled
        """
        return 0 if self._tasks is None else await self._tasks.finish(deadline)

    async def settle(self, conn: Connection, deadline: float) -> None:
        """Wait for those of one connection, but not for the caller's own; then cancel them."""
        loop, own = asyncio.get_running_loop(), current_caller()
        while (task := self._of.get(conn)) is not None and task is not own:
            await asyncio.wait([task], timeout=max(0.0, deadline - loop.time()))
            if not task.done():
                task.cancel()
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
        with _failures_logged(name, conn):
            running = hook(*args)
        if not inspect.isawaitable(running):
            return
        if self._tasks is None:
            self._tasks = Tasks(self._done)
        task = asyncio.get_running_loop().create_task(
            _finish(name, conn, running), name=f"{name} {conn.id}"
        )
        self._of[conn] = task
        self._tasks.add(task, conn)

    def _done(self, task: asyncio.Task[None], conn: Connection) -> None:
        del self._of[conn]


async def _finish(name: str, conn: Connection, running: Awaitable[None]) -> None:
    with _failures_logged(name, conn):
        await running


@contextlib.contextmanager
def _failures_logged(name: str, conn: Connection) -> Iterator[None]:
    try:
        yield
    except asyncio.CancelledError:
        logger.warning("%s of connection %s did not end in time", name, conn.id)
        raise
    except ConnectionClosed:
        # That the peer left is no fault of the hook.
        protocol = protocol_of(conn)
        if protocol.receiver.error is None and protocol.sender.error is None:
            logger.exception("%s of connection %s failed", name, conn.id)
    except Exception:
        logger.exception("%s of connection %s failed", name, conn.id)
