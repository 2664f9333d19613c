"""What ``Outbox.look()`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SessionState = Literal["new", "begun", "superseded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxState:
    """What the file of an outbox says, as of one moment.

    ``accepted`` is ``acknowledged`` and ``waiting`` together.
    """

    accepted: int
    """Messages that were ever stored in this file, in all its sessions."""
    acknowledged: int
    """Messages of which the file knows that the server has them. It is told some tenths of a second
    after the program that sends. Those that ``begin_anew(resend_unknown=False)`` has given up are
    counted too."""
    waiting: int
    """Messages that are in the file: the server may have got some of them, and not said so."""
    cost: int
    """What these count against ``max_bytes``, in bytes. One that the server has may still count,
    as long as others wait that were stored together with it."""
    session: SessionState
    """``"new"``: no server has answered yet, since the file was made, or since the session before
    was closed in order or given up with ``begin_anew``. ``"begun"``: one has. ``"superseded"``:
    there is a copy of the file, and the server knows that one."""
    name: str
    """The session's public name, which the server's ``conn.session.name`` is; empty where the file
    is being made."""
    file_size: int
    """Bytes of the file and of SQLite's log beside it on the disk."""
