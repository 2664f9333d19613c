"""What becomes of what the peer sends, why reading is paused, and how much is taken at a time."""

from __future__ import annotations

from enum import Enum, Flag, auto
from typing import Final

SMALL_READ: Final = 32 * 1024
"""Bytes of a small read: thousands of tiny frames, and no more, hold up the others at a time."""
SMALL_READS: Final = 64
"""How many reads are small at first, and after one with more than :data:`FAIR_SHARE`."""
FAIR_SHARE: Final = 1024
"""Records and frames handled one by one in a read, after which other connections have a turn."""
PILE: Final = 256 * 1024
"""Queued bytes from which those who take messages have a turn before more is read: uvloop reads up
to 32 times in one, and what piles up meanwhile is memory that has left the processor's cache. What
waits in the kernel costs nothing. With ``on_message`` nothing is queued, and a read of so much
gives others a turn."""


class Intake(Enum):
    """What becomes of what the peer sends. Later values include what earlier ones say."""

    DELIVER = auto()
    """Messages are queued, and the peer is held back while the queue is full."""
    FILL = auto()
    """Messages are queued as long as there is room: this end closes, and nobody takes any."""
    DISCARD = auto()
    """Messages are dropped and counted; ``recv`` still waits for the end."""
    ENDED = auto()
    """``recv`` has ended; streams and requests go on."""
    OVER = auto()
    """Nothing reaches the program any more."""


class Pause(Flag):
    """Why the transport does not read, none of which excludes the other."""

    NONE = 0
    FULL = auto()
    """The receive queue is full."""
    YIELD = auto()
    """Other connections have a turn of the event loop."""
