"""Runs the program's on_join, on_leave and on_name, one after the other, in the order of events."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from ..aio.cancelling import cancel_once
from ..aio.log_throttle import FAILURES, LogThrottle
from ..aio.tasks import start_task
from ..aio.time_limit import wait_for_task
from ..errors import ConfigurationError
from .events import ClusterClient

logger = logging.getLogger("sealframe.cluster")

OnClient: TypeAlias = Callable[[ClusterClient], Awaitable[None] | None]
OnName: TypeAlias = Callable[[ClusterClient, str | None], Awaitable[None] | None]

_MANY: Final = 10_000
"""Calls that wait for a hook, from which on there is a line in the log."""


class ClusterHooks:
    """Calls a program's hooks; while one that is a coroutine runs, later calls wait.

    :raises ConfigurationError: a hook cannot be called
    """

    def __init__(
        self, on_join: OnClient | None, on_leave: OnClient | None, on_name: OnName | None
    ) -> None:
        for name, hook in {"on_join": on_join, "on_leave": on_leave, "on_name": on_name}.items():
            if hook is not None and not callable(hook):
                raise ConfigurationError(f"{name} is {hook!r}; use a function, async or not")
        self._on_join = on_join
        self._on_leave = on_leave
        self._on_name = on_name
        self._waiting: deque[tuple[str, Callable[..., Any], tuple[object, ...]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._failures = LogThrottle(FAILURES)
        self._slow = LogThrottle()

    def joined(self, client: ClusterClient) -> None:
        """A client is there."""
        if self._on_join is not None:
            self._call("on_join", self._on_join, client)

    def left(self, client: ClusterClient) -> None:
        """A client is there no more."""
        if self._on_leave is not None:
            self._call("on_leave", self._on_leave, client)

    def renamed(self, client: ClusterClient, before: str | None) -> None:
        """A client has another name."""
        if self._on_name is not None:
            self._call("on_name", self._on_name, client, before)

    async def finish(self, timeout: float) -> None:
        """Wait for the calls that are left; cancel what still runs after so many seconds."""
        task = self._task
        if task is None:
            return
        loop = asyncio.get_running_loop()
        await wait_for_task(task, loop.time() + timeout)
        if not task.done():
            logger.warning("hooks of the cluster did not end in time")
            self._waiting.clear()
            cancel_once(task)
            await asyncio.wait([task], timeout=timeout)

    def _call(self, name: str, hook: Callable[..., Any], *args: object) -> None:
        if self._task is not None:
            self._waiting.append((name, hook, args))
            self._warn_if_many(name)
            return
        running = self._start(name, hook, args)
        if running is not None:
            self._task = start_task(self._run, name, running, name="sealframe-cluster-hooks")

    def _start(
        self, name: str, hook: Callable[..., Any], args: tuple[object, ...]
    ) -> Awaitable[None] | None:
        """Call a hook; return what is to be awaited of it."""
        try:
            running = hook(*args)
        except Exception as error:  # noqa: BLE001 - it is logged
            self._log(name, error)
            return None
        return running if inspect.isawaitable(running) else None

    async def _run(self, name: str, running: Awaitable[None]) -> None:
        try:
            await self._await(name, running)
            while self._waiting:
                name, hook, args = self._waiting.popleft()
                later = self._start(name, hook, args)
                if later is not None:
                    await self._await(name, later)
        finally:
            self._task = None

    async def _await(self, name: str, running: Awaitable[None]) -> None:
        try:
            await running
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._log(name, error)  # of something that the hook has awaited
        except Exception as error:  # noqa: BLE001 - it is logged
            self._log(name, error)

    def _log(self, name: str, error: BaseException) -> None:
        more = self._failures.count(asyncio.get_running_loop().time())
        if more is not None:
            logger.error("%s of the cluster failed%s", name, more, exc_info=error)

    def _warn_if_many(self, name: str) -> None:
        if len(self._waiting) >= _MANY:
            more = self._slow.count(asyncio.get_running_loop().time())
            if more is not None:
                what = "%d calls of the cluster's hooks wait for %s, which runs too long%s"
                logger.warning(what, len(self._waiting), name, more)
