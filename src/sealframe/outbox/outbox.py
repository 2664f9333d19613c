"""The argument ``session=Outbox(...)``: which file, and how much it promises."""

from __future__ import annotations

import os
from typing import Literal, get_args

from ..errors import ConfigurationError
from ..files.worker import Worker
from .state import OutboxState

GIB = 1 << 30
MIB = 1 << 20

Durability = Literal["process", "power"]


class Outbox:
    """A file that keeps what a client's session has accepted until the server has it.

    ``connect(..., session=Outbox("readings.db"))``: once ``send`` returns, the message is in the
    file. It is sent when there is a connection, by the next start of the program if need be.
    One file is one session, with one server. The file is an SQLite database in WAL mode, readable
    by this user alone and not encrypted; beside it are ``-wal``, ``-shm`` and ``.lock``. It has to
    be on a disk of this machine. It does not become smaller: room that is free is used again.

    :param path: the file; it is made if it is not there, in a folder that is
    :param durable: what an accepted message survives. ``"process"``: that the program is killed.
        ``"power"``: loss of power too, as far as the disk keeps what it has confirmed (fsync); each
        group of messages that are sent at the same time then waits for the disk once
    :param max_bytes: how much is kept, in bytes; each message counts 64 more than its length. At
        this bound further ones wait
    :param keep_free: bytes of the disk that stay free, so that what is kept can be sent and
        forgotten on a full disk. At this bound messages are refused with :exc:`OutboxFullError`
    :raises ConfigurationError: an argument is of the wrong type or out of range
    """

    __slots__ = ("durable", "keep_free", "max_bytes", "path")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durable: Durability = "process",
        max_bytes: int = GIB,
        keep_free: int = 32 * MIB,
    ) -> None:
        name = os.fspath(path)
        if not _is_name(name):
            raise ConfigurationError(f"path is {path!r}; use the name of a file")
        if durable not in get_args(Durability):
            raise ConfigurationError(f'durable is {durable!r}; use "process" or "power"')
        for noun, size, minimum in (("max_bytes", max_bytes, 1), ("keep_free", keep_free, 0)):
            if not _is_size(size, minimum):
                raise ConfigurationError(
                    f"{noun} is {size!r}; use a whole number from {minimum} up"
                )
        self.path = name
        self.durable = durable
        self.max_bytes = max_bytes
        self.keep_free = keep_free

    async def begin_anew(self, *, resend_unknown: bool) -> None:
        """Begin another session, after :exc:`~sealframe.SessionLostError`: the next connection from
        this file has it. The file must not be in use.

        :param resend_unknown: whether the messages that the error counts as ``unknown`` are sent in
            it, so that some may arrive twice. Else they are forgotten, and some may have arrived
            nowhere. The ``unsent`` are sent in any case; after a loss of power with
            ``durable="process"`` some of these may have arrived too
        :raises OutboxError: the file cannot be used; the class says why. Nothing has changed
        """
        # Most programs need no SQLite.
        from .store import OutboxStore

        store = await OutboxStore.open(self)
        try:
            await store.renew(after=store.acknowledged if resend_unknown else store.given)
        finally:
            await store.close()

    async def look(self) -> OutboxState:
        """Return what is in the file, also while a connection of this program or of another one
        uses it. Nothing is changed, and nobody has to wait for it.

        A ``send`` that was cancelled has stored its message whole or not at all once it has raised:
        ``accepted`` has gone up by one, or it has not.

        :raises OutboxFileError: there is no file, or it cannot be read
        :raises OutboxCorruptError: it is damaged, or no outbox
        :raises OutboxVersionError: another version of sealframe made it
        """
        # Most programs need no SQLite.
        from .look import look_into

        worker = Worker()
        try:
            return await worker.run(look_into, self.path)
        finally:
            worker.close()

    def __repr__(self) -> str:
        return f"<Outbox {self.path} durable={self.durable!r}>"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value


def _is_size(value: object, minimum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum
