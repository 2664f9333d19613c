"""Watches a file of clients: reads it when it changes, and adds those who were invited."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from .authorized import AuthorizedClients
from .keylist import Version

logger = logging.getLogger("sealframe.revocation")

_INTERVAL: Final = 0.5
"""Seconds between two looks at the file."""

_LOOKS_PER_LINE: Final = 120
"""Failures one after the other, of which one is logged."""

_LAST_WRITE: Final = 5.0
"""Seconds that :meth:`ClientsFileWatcher.stop` waits for the disk."""

_T = TypeVar("_T")


class ClientsFileWatcher:
    """Looks at the file twice a second, in a thread of its own, until :meth:`stop`.

    It belongs to the event loop that made it.

    :param clients: what is read from the file
    :param on_change: called in the event loop after the first look, and after each one that
        has found other clients; again after the next look, if it raises an exception
    """

    def __init__(self, clients: AuthorizedClients, on_change: Callable[[], None]) -> None:
        self._clients = clients
        self._on_change = on_change
        # Not the event loop's threads: the program's functions may keep all of them busy.
        self._executor = ThreadPoolExecutor(1, "sealframe authorised clients")
        self._admitted = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name="sealframe authorised clients"
        )

    def write_admitted_soon(self) -> None:
        """Write to the file at once, if a client was let in who is not in it."""
        if self._clients.unwritten:
            self._admitted.set()

    async def stop(self) -> None:
        """End, once those who were let in are in the file, or after 5 s."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(_LAST_WRITE):
                await self._call(self._clients.write_admitted)
        except Exception:
            logger.exception("cannot write down who was invited last")
        if self._clients.unwritten:
            logger.error("who was invited last is not in the file: it was being changed")
        self._executor.shutdown(wait=False)

    async def _run(self) -> None:
        checked, failures = -1, 0
        seen: Version | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL):
                    await self._admitted.wait()
            try:
                if self._admitted.is_set():
                    self._admitted.clear()
                    # No look here: a version counts if two looks _INTERVAL apart have seen it.
                    await self._call(self._clients.write_admitted)
                else:
                    seen = await self._call(functools.partial(self._clients.refresh, seen))
                generation = self._clients.generation
                if generation != checked:
                    self._on_change()
                    # Not before: what was not done is tried again.
                    checked = generation
                failures = 0
            except Exception:
                if failures % _LOOKS_PER_LINE == 0:
                    logger.exception("cannot look at the clients; trying again")
                failures += 1

    async def _call(self, function: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)
