"""The numbers of the protocol between servers: intervals, sizes and opcodes, with their reasons.

Times are seconds, sizes bytes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

VERSION: Final = 1
"""Of the chunks and of the presence messages. A receiver ignores all others."""

# Time

HEARTBEAT_INTERVAL: Final = 0.125
"""Between two heartbeats of one server: three of them fit into :data:`PROBE_AFTER`."""

PROBE_AFTER: Final = 3 * HEARTBEAT_INTERVAL
"""Silence after which a server is probed, and probed again. With two answers of "no responders" and
the pause between them a killed server is known to be gone in less than half a second."""

PROBE_TIMEOUT: Final = PROBE_AFTER
"""How long a probe waits for its answer. After that the next one is due."""

PROBE_PAUSE: Final = 0.06
"""Between the first "no responders" and the probe that is to confirm it: right after a server has
subscribed, a NATS node that has not heard of it yet says the same."""

GONE_AFTER: Final = 3.0
"""Silence after which a server is gone that has its subscription still: a stopped process has."""

LONGEST_TURN: Final = 0.25
"""Time between two calls of which more counts as time in which this server was held up and did not
listen: it may be silent itself so long before others probe it."""

ROSTER_RETRY: Final = 1.0
"""Time after which a roster that did not come is asked for again."""

WAITING_INTERVAL: Final = 1.0
"""Between two times that a server tells another one which answers of it it waits for."""

ECHO_TIMEOUT: Final = 1.0
"""Time without one of our own heartbeats after which NATS does not carry what we publish."""

# Sizes

MAX_CHUNK: Final = 256 * 1024
"""A NATS message at most: a quarter of NATS's own default, and larger ones were not faster."""

MAX_TEXT: Final = 64 * 1024
"""An id, a name or a reason at most, in UTF-8."""

WINDOW: Final = 4 * 1024 * 1024
"""Bytes on their way from one server to another that are not acknowledged. A NATS server cuts a
client off for which 64 MiB wait (``max_pending``), and with it all that wait there: so many servers
may send to a slow one as 64 MiB have windows."""

ACK_EVERY: Final = WINDOW // 8
"""Bytes from one server after which they are acknowledged."""

ACK_TIMEOUT: Final = 2.0
"""Time after which a sender whose window is full takes what is on its way for lost: between two
NATS nodes, say, or in an acknowledgement."""

ROSTER_PART: Final = 8 * 1024
"""Clients in one part of a roster, as JSON: about a hundred, which are decoded in one go."""

MAX_DELTAS: Final = 4096
"""Changes that are kept, to be published or until a roster comes. Beyond it all of them are
dropped, and the roster takes their place."""

MAX_WAITING: Final = 4 * 1024 * 1024
"""Bytes, as JSON, of the changes that are kept to be published, with the same end. As many of them
as there may be would be 1.6 GB if each had the longest name."""

SLICE: Final = 150
"""Changes of other servers that are carried out between two looks at the clock, one of each turn of
the event loop: under 2 ms. What is left of a large roster, or of a server that is gone, follows."""

CLIENT_SIZE: Final = 64
"""Bytes of a roster part that cost as much to decode as a change to be carried out."""


class Opcode(IntEnum):
    """The first byte of each frame between servers. Unknown ones are skipped."""

    MESSAGE = 1
    BROADCAST = 2
    GROUP = 3
    REQUEST = 4
    REPLY = 5
    FAILURE = 6
    CANCEL = 7
    KICK = 8
    ROSTER_REQUEST = 9
    ROSTER = 10
    SESSION = 11
    WAITING = 12
