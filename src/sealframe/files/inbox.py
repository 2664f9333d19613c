"""A directory that takes what peers send, as the argument ``files``."""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Callable
from operator import index
from pathlib import Path
from typing import Any, TypeAlias

from ..aio.log_throttle import FAILURES, LogThrottle
from ..errors import ConfigurationError
from .receiving import CONCURRENCY, Offer
from .resources import Resources
from .store import MIB, PRIVATE, Store

OnReceived: TypeAlias = Callable[[Any, Path], object]

logger = logging.getLogger("sealframe.files")


class Inbox:
    """A directory that files are received into: ``serve(..., files=Inbox("incoming"))``.

    Whatever a peer calls its files, they are below that directory; a file has its name only
    once it is whole, its digest is right, and it is on the disk. Several servers and
    connections may share one; its limits then hold for all together.

    :param directory: made if it is not there, in a directory that is
    :param overwrite: whether a file takes the place of one that has its name
    :param hidden: whether names are taken that have a part which begins with a dot, such as
        ``.profile`` and ``.ssh/authorized_keys``
    :param mode: permissions of files, such as ``0o640``, as far as the umask lets. Directories
        that are made may be entered by those who may read. Those that the file had at the
        sender are not known here: unless said otherwise, nobody but the user of this program
        may read what came
    :param max_file_size: the largest file, in bytes; None: any
    :param max_total: bytes of all files together, those included that wait to be resumed,
        and with ``overwrite`` those that were replaced; None: any number. It counts from the
        start of the program.
    :param max_files: files and directories in all, likewise
    :param keep_free: bytes of the disk that stay free
    :param on_received: called with the connection and the path of each file that has
        arrived, after the sender is told so. A function, or a coroutine function, which the
        next files do not wait for. What it raises is logged, 20 times a minute at most.
    :param concurrency: files of one connection that are received at a time, from 1 up
    :raises ConfigurationError: the directory cannot be used, or a limit is wrong
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        hidden: bool = False,
        mode: int = PRIVATE,
        max_file_size: int | None = None,
        max_total: int | None = None,
        max_files: int | None = None,
        keep_free: int = 64 * MIB,
        on_received: OnReceived | None = None,
        concurrency: int = CONCURRENCY,
    ) -> None:
        if index(concurrency) < 1:
            raise ConfigurationError(f"concurrency is {concurrency}; use a number from 1 up")
        if on_received is not None and not callable(on_received):
            raise ConfigurationError(
                f"on_received is {on_received!r}; use a function, async or not, that takes "
                "the connection and a path"
            )
        self.resources = Resources()
        self.store = Store(
            directory,
            overwrite=overwrite,
            hidden=hidden,
            mode=mode,
            max_file_size=max_file_size,
            max_total=max_total,
            max_files=max_files,
            keep_free=keep_free,
            memory=self.resources.memory,
        )
        self.concurrency = concurrency
        self._on_received = on_received
        self._failures = LogThrottle(FAILURES)

    def __repr__(self) -> str:
        return f"<Inbox {self.directory}>"

    @property
    def directory(self) -> Path:
        """Where it is; absolute."""
        return self.store.directory

    def clean(self, older_than: float, *, most: int = 100_000) -> int:
        """Remove what is left of transfers that broke off and that nobody goes on with.

        It waits for the disk: in a coroutine, use ``await asyncio.to_thread(inbox.clean, ...)``.

        :param older_than: seconds since anything of it came
        :param most: files and directories to look at; what is beyond stays
        :return: how many files were removed
        """
        return self.store.clean(older_than, most=most)

    def stats(self) -> dict[str, int | None]:
        """Return what it does and has done, as counters by name.

        - ``receiving``: files that are being received; ``waiting``: of these, those that wait
          for another transfer of the same file, or until what is on the disk is hashed
        - ``received``, ``refused``, ``broken_off``: files and empty directories, since the
          start of the program
        - ``hashed_bytes``: bytes that were read from the disk to be hashed, to compare or to
          resume files
        - ``files``, ``bytes``: what counts at the moment against ``max_files``, ``max_total``
        - ``max_files``, ``max_total``: these limits, or None; ``max_threads``: threads that wait
          for the disk
        """
        quota = self.store.quota
        return {
            **self.resources.stats(),
            "files": quota.files,
            "bytes": quota.bytes,
            "max_files": quota.max_files,
            "max_total": quota.max_total,
        }

    async def __call__(self, offer: Offer) -> None:
        """Take what is offered."""
        path = await offer.accept(self)
        if self._on_received is None or offer.is_directory:
            return
        try:
            running = self._on_received(offer.connection, path)
            if inspect.isawaitable(running):
                await running
        except Exception:
            more = self._failures.count(time.monotonic())
            if more is not None:
                logger.exception("on_received of %r failed for %s%s", self, path, more)
