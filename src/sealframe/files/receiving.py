"""Offers of files, each on a stream of its own: the program accepts or declines them."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from ..aio.stream import Stream, endpoint_of
from ..errors import FileRefusedError, FileTransferError, StreamResetError
from ..trust.peer import Peer
from ..wire import FileRefusal
from . import messages
from .incoming import Destination, IncomingFile
from .messages import Announcement, MalformedError
from .paths import checked_name
from .resources import Resources
from .turns import Turns

logger = logging.getLogger("sealframe.files")

CONCURRENCY: Final = 4
"""Default of the files of one connection that are received at a time."""


class Offer:
    """A file that the other end would like to send; the argument of ``files=``.

    Either :meth:`accept` or :meth:`decline` answers it; the function that returns without
    either declines it.

    :ivar name: what the sender calls it: a relative path with ``/`` between the parts, safe
        on every system (:func:`sealframe.files.checked_name`)
    :ivar size: in bytes
    :ivar is_directory: whether it is an empty directory and no file
    """

    __slots__ = (
        *("_announced", "_answered", "_incoming", "_resources", "_slots", "_stream"),
        *("is_directory", "name", "size"),
    )

    def __init__(
        self,
        stream: Stream,
        announced: Announcement,
        slots: Turns,
        resources: Resources,
    ) -> None:
        self._stream = stream
        self._announced = announced
        self._slots = slots
        self._resources = resources
        self._answered = False
        self._incoming: IncomingFile | None = None
        self.name = announced.name
        self.size = announced.size
        self.is_directory = announced.directory

    def __repr__(self) -> str:
        return f"<Offer of {self.name!r}, {self.size} bytes, on {self.connection!r}>"

    @property
    def received(self) -> int:
        """Bytes of it that have come, those from an earlier attempt included. It grows while
        :meth:`accept` runs."""
        return 0 if self._incoming is None else self._incoming.received

    @property
    def connection(self) -> Any:
        """The :class:`~sealframe.Connection` that it came on."""
        return self._stream.connection

    @property
    def peer(self) -> Peer | None:
        """Who offers it, where identities are used."""
        peer: Peer | None = self.connection.peer
        return peer

    async def accept(
        self, into: Destination | str | os.PathLike[str], name: str | None = None
    ) -> Path:
        """Receive it; return where it is once it is whole, correct and on the disk.

        Waits where as many files of this connection are being received as go at a time.
        What there is of it from an earlier attempt is not sent again. If the connection is
        lost, or this call is cancelled, what came waits to be resumed.

        :param into: an :class:`~sealframe.Inbox`, or a directory, which then has the limits
            of an inbox for which nothing is said
        :param name: below that directory, in place of the sender's; as safe as those
        :raises FileRefusedError: it is not taken, or not further, as the sender is told;
            ``code`` says why
        :raises FileTransferError: the sender stopped, or this offer was answered before
        :raises ConfigurationError: the directory cannot be used
        :raises ConnectionClosed: the connection ended
        """
        self._mark_answered()
        incoming = self._incoming = IncomingFile(
            self._stream, self._announced, name or self.name, into, self._resources
        )
        try:
            async with self._slots.taken(self.connection, self._stream):
                # A sender that left while this waited gets no directories made.
                endpoint_of(self._stream).check()
                return await incoming.run()
        except StreamResetError as error:
            raise messages.withdrawal(error) from None
        except FileRefusedError as error:
            _refuse(self._stream, error.code, error.reason)
            raise
        except MalformedError as error:
            _refuse(self._stream, FileRefusal.MALFORMED, str(error))
            raise FileTransferError(f"the sender broke the protocol: {error}") from None

    def decline(self, reason: str = "") -> None:
        """Do not take it.

        :param reason: text for the sender, cut to 255 bytes of UTF-8
        :raises FileTransferError: this offer was answered before
        """
        self._mark_answered()
        text = reason or "the receiving end does not want it"
        _refuse(self._stream, FileRefusal.DECLINED, text)

    def _mark_answered(self) -> None:
        if self._answered:
            raise FileTransferError("this offer was answered before")
        self._answered = True


OnOffer: TypeAlias = Callable[[Offer], Awaitable[object]]
"""``async def on_offer(offer)``."""


class Receiver:
    """Hands the offers of all connections of one end to the program.

    :param concurrency: files of one connection that are received at a time
    """

    def __init__(self, on_offer: OnOffer, *, concurrency: int) -> None:
        self._on_offer = on_offer
        # Of the files that are accepted into plain directories.
        self._resources = Resources()
        self._slots = Turns(concurrency)

    async def serve(self, stream: Stream) -> None:
        """Read the offer on a stream; return when it is answered and the transfer over."""
        try:
            announced = messages.announcement(stream.metadata)
            # Hidden ones too: what the program accepts it into may take them.
            checked_name(announced.name, hidden=True)
        except FileRefusedError as error:
            _refuse(stream, error.code, error.reason)
            return
        except MalformedError as error:
            _refuse(stream, FileRefusal.MALFORMED, str(error))
            return
        offer = Offer(stream, announced, self._slots, self._resources)
        try:
            await self._on_offer(offer)
        except FileTransferError as error:
            # The sender knows it.
            logger.info("%r of %r was not received: %s", offer.name, offer.connection, error)
        with suppress(FileTransferError):  # it was answered
            offer.decline()


def _refuse(stream: Stream, code: int, reason: str) -> None:
    stream.reset(messages.reset_code(code), reason)
