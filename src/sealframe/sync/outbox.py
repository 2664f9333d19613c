"""What a program without asyncio does with the file of an outbox."""

from __future__ import annotations

from functools import partial

from ..outbox import Outbox, OutboxState
from .loop_thread import shared


def begin_anew(outbox: Outbox, *, resend_unknown: bool) -> None:
    """Begin another session, after :exc:`~sealframe.SessionLostError`: the next connection from
    this file has it. The file must not be in use.

    :param resend_unknown: whether the messages that the error counts as ``unknown`` are sent in
        it, as :meth:`sealframe.Outbox.begin_anew` has it
    :raises OutboxError: the file cannot be used; the class says why. Nothing has changed
    :raises WrongLoopError: an event loop runs in this thread
    """
    shared().run(partial(outbox.begin_anew, resend_unknown=resend_unknown))


def look(outbox: Outbox) -> OutboxState:
    """Return what is in the file, also while a connection uses it.

    :raises OutboxError: it cannot be read, as :meth:`sealframe.Outbox.look` has it
    :raises WrongLoopError: an event loop runs in this thread
    """
    return shared().run(outbox.look)
