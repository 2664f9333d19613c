"""Files on a connection: what it needs of the layer above, and what that reports.

:mod:`sealframe.files` implements :class:`FileTransfers`. :func:`sealframe.connect` and
:func:`sealframe.serve` hand it to their connections, which so know nothing of disks.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .stream import Stream


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far :meth:`sealframe.Connection.send_file` is."""

    name: str
    """What the file is called at the other end."""
    sent: int
    """Bytes of that file that were sent, those included that were there before."""
    size: int
    """Bytes in that file."""
    files: int
    """Files and empty directories that have arrived so far."""
    total: int
    """Bytes of all files that were sent so far, likewise."""


OnProgress: TypeAlias = Callable[[Progress], object]


class Skipped(NamedTuple):
    """Something in a directory that was not sent."""

    name: str
    """What the file would have been called at the other end."""
    reason: str
    """Why it was not sent."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What has arrived: it is whole, correct, and on the disk of the other end."""

    names: tuple[str, ...]
    """Files and empty directories, as they are called there, sorted."""
    size: int
    """Bytes of all these files."""
    resumed: int
    """How many of these were there from earlier attempts."""
    skipped: tuple[Skipped, ...] = ()
    """Symbolic links, special files and the like."""


OpenStream: TypeAlias = Callable[[bytes], Awaitable[Stream]]
"""Opens a stream for a file; the argument is its metadata."""


class FileTransfers(typing.Protocol):
    """Sends and receives the files of one end's connections."""

    @property
    def on_file(self) -> Callable[[Stream], Awaitable[None]] | None:
        """Serves a stream on which the peer offers a file; None if no file is taken."""

    def send(
        self,
        open_stream: OpenStream,
        path: str | os.PathLike[str],
        name: str | None,
        below: str | os.PathLike[str] | None,
        progress: OnProgress | None,
    ) -> Awaitable[Receipt]:
        """Send a file or a directory; see :meth:`sealframe.Connection.send_file`."""
