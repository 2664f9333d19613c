"""The durable store of what a client's session has accepted.

:class:`Outbox` is what programs make. The rest is for the client, which knows no SQLite:
``await OutboxStore.open(outbox)`` (``store.py``, imported at first use) opens the file, and that is
one more *start* of its session. From then on:

``token``, ``start``, ``known``
    For HELLO (docs/PROTOCOL.md, section 12): who the session is, how often it was begun from this
    file, whether a WELCOME was ever read.
``await append(messages)``
    Returns once they are stored. At the bound it waits.
``await begin(taken)``
    A numbering begins (WELCOME): forgets messages up to number ``taken``; reading begins behind it.
``await read(size)``
    The next messages in order, of earlier starts and this one; waits for one. Before the first
    ``begin`` there is nothing to be read.
``acknowledge(number)``
    The server has all up to this message for good: they are forgotten.
``acknowledged``, ``numbered``
    The bounds of ``taken``. At the first WELCOME of a start it may be more.
``given``
    Messages behind it were given to no link, in no start: stored before ``read`` returns them.
    ``settle(number)`` says at the end which was the last, where the program is not killed.
``superseded``, ``await supersede()``
    That there is a copy of the file, and the server knows that one.
``await renew(after)``
    Another session with a new token, for what is kept behind ``after``: the old one is lost.
``close_soon()``
    Who opens the file in this program waits for the close from then on.
``await close()``
    Finishes what is being stored.

A message has a *serial number* from when it is stored, 1, 2, 3, …, which the file counts by. Its
*number* is what the session counts it by, over all numberings: the server says that it has *taken*
so many. Both go up together, so one difference, ``shift``, says all numbers. What is stored before
the first WELCOME of a start has no number: power may have failed after the last commits, and the
server may know other messages by the numbers that they would get. ``begin`` gives them theirs,
behind ``taken`` if that is more than the file ever numbered, in a commit that is on the disk before
anything is read. What is stored from then on has its number with its own commit, which needs no
fsync for that: WAL keeps the order of commits. If power fails, the last ones are gone together, and
``taken`` says at the next WELCOME which numbers were in use. So no number stands for two messages
and no message has two, whatever the disk has kept.

Modules: ``store.py`` is the face to the event loop, and group commit; ``database.py`` the SQLite
file, in one thread; ``file_format.py`` its tables; ``status.py`` what it says of the session;
``batches.py`` its rows; ``look.py`` reads it beside all that, for programs, which get ``state.py``;
``checkpoints.py`` keeps the WAL small; ``read_ahead.py`` has what need not be read from the file;
``private_file.py``, ``lock.py`` and ``forking.py`` are about other users, other programs and child
processes; ``faults.py`` about errors.
"""

from __future__ import annotations

from .outbox import Outbox
from .state import OutboxState

__all__ = ["Outbox", "OutboxState"]
