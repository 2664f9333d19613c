"""What :mod:`sealframe.aio` needs of files: :class:`~sealframe.aio.transfers.FileTransfers`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from ..aio.stream import Stream
from ..aio.transfers import OnProgress, OpenStream, Receipt
from ..errors import ConfigurationError
from .receiving import CONCURRENCY, OnOffer, Receiver


class Transfers:
    """Sends files, and hands those that peers offer to the program.

    :param on_offer: the argument ``files`` of a program; None takes no files
    :raises ConfigurationError: it cannot be called
    """

    def __init__(self, on_offer: OnOffer | None) -> None:
        self.on_file: Callable[[Stream], Awaitable[None]] | None = None
        if on_offer is None:
            return
        if not callable(on_offer):
            raise ConfigurationError(
                f"files is {on_offer!r}; use sealframe.Inbox(directory), or an async function "
                "that takes an offer"
            )
        concurrency: int = getattr(on_offer, "concurrency", CONCURRENCY)
        self.on_file = Receiver(on_offer, concurrency=concurrency).serve

    async def send(
        self,
        open_stream: OpenStream,
        path: str | os.PathLike[str],
        name: str | None,
        below: str | os.PathLike[str] | None,
        progress: OnProgress | None,
    ) -> Receipt:
        """Send a file or a directory, as :meth:`Connection.send_file` describes it."""
        # Slow to import, and many programs send no file.
        from .sending import send

        return await send(open_stream, path, name, below, progress)
