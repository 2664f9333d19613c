"""What control frames say, as numbers. docs/PROTOCOL.md is the text to it.

The numbers of the head itself and the opcodes are in :mod:`sealframe.framing.native`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

# Sections 2, 4 and 6: how connections begin

MAGIC: Final = b"sealfram"
"""What HELLO, WELCOME and the first HANDSHAKE begin with."""
VERSION: Final = 1
"""The version of the protocol, which stands behind the magic."""

# Sections 12 and 14: sessions, limits

MAX_HELLO: Final = 512
"""The largest HELLO or WELCOME body, in bytes."""
MAX_PING: Final = 8
"""The largest body of PING and PONG, in bytes."""
MAX_REASON: Final = 255
"""The longest reason in CLOSE and GOAWAY, in bytes of UTF-8."""
MAX_CLIENT_ID: Final = 32
"""The longest id that a server gives a client, in bytes."""
INVITATION_SIZE: Final = 8
"""Bytes of the token with which a client that is not known yet may be let in."""
SESSION_TOKEN_SIZE: Final = 16
"""Bytes of the token by which a server knows a session."""
SESSION_HELLO_SIZE: Final = 64
"""Bytes of field 4 in HELLO."""
SESSION_WELCOME_SIZE: Final = 52
"""Bytes of field 4 in WELCOME."""
WRITER_SIZE: Final = 8
"""Bytes by which a start of a client's program is told from others, in field 14."""
MAX_WRITERS: Final = 3
"""How many of them are in HELLO, at most."""
MIN_ACK_BY: Final = 1024
"""The fewest bytes of frames after which an end may ask to have them acknowledged."""
MAX_COUNT: Final = 2**63
"""The most that a session counts: frames or messages of one direction, or their credit."""

# Sections 7 and 8: flow control and streams

MESSAGE_OVERHEAD: Final = 64
"""Added to a message's length wherever a queue's cost is counted, in bytes."""
MAX_WINDOW: Final = 0x7FFF_FFFF
"""The most credit that one end may have at a time, for messages and for each stream."""
FIRST_STREAM_WINDOW: Final = 65_536
"""Bytes that the opener of a stream may send before it gets credit for it."""
MAX_CHUNK: Final = 61_440
"""The most bytes of a stream, of a request or of a reply in one frame."""
MAX_METADATA: Final = 4_096
"""Bytes that may say what a stream is for, in STREAM_OPEN."""


class StreamKind(IntEnum):
    """What a stream is for."""

    APPLICATION = 0
    REQUEST = 1
    """The body of a request, whose number is the metadata."""
    REPLY = 2
    """The body of a reply, likewise."""
    FILE = 3


class ResetCode(IntEnum):
    """Why a stream was reset. Codes from 16 up are the application's, or the kind's."""

    CANCELLED = 0
    UNSUPPORTED = 1
    """Nobody is there for streams of this kind."""
    BUSY = 2
    FAILED = 3
    """The program at the other end failed."""


FIRST_OWN_RESET_CODE: Final = 16
MAX_RESET_CODE: Final = 0xFFFF


# Section 9: requests


class FailureCode(IntEnum):
    """Why a request was not answered."""

    RAISED = 0
    """The program raised an exception."""
    UNSUPPORTED = 1
    """Nobody is there for requests."""
    CANCELLED = 2
    """As asked for by CANCEL, or because the program ended it."""
    GOING_AWAY = 3
    """The end that was asked is shutting down."""
    TOO_LARGE = 4
    """The request or the reply is over the limit of the end that would take it."""


MAX_ERROR_TYPE: Final = 100
MAX_ERROR_TEXT: Final = 1_000
"""Bytes of UTF-8 of the name of an exception's type, and of its text, in FAILURE."""


# Section 5: closing


class CloseCode(IntEnum):
    """Why a connection ends. 0 alone leaves the other direction usable."""

    NORMAL = 0
    """This end sends no more; the other still may."""
    GOING_AWAY = 1
    """This end shuts down; come back later."""
    PROTOCOL = 2
    """The other end broke the protocol."""
    TOO_LARGE = 3
    """A frame was over this end's limit."""
    VERSION = 4
    """Unknown version or handshake pattern."""
    REFUSED = 5
    """The handshake failed."""
    BUSY = 6
    """Too many connections; come back later."""
    PLAIN = 7
    """This server is not sealed."""
    HANDLER = 8
    """The program that served the client failed."""
    TIMEOUT = 9
    """The other end was silent for too long."""
    SLOW = 10
    """The other end reads too slowly."""
    KICKED = 11
    """The program sent the client away."""
    UNAUTHORIZED = 12
    """The client's key is not on the list, or no longer."""
    MALFORMED = 13
    """A message of the other end could not be decoded."""
    SESSION_LOST = 14
    """This end does not know the session, or its counts contradict the other end's."""
    SUPERSEDED = 15
    """A later link, or a later start, of this session was here."""
    SEALED = 16
    """This server is sealed, and the client is not."""
    NO_MESSAGES = 17
    """This server takes no messages."""


# Section 10: files


class FileRefusal(IntEnum):
    """Why the receiving end does not take a file."""

    DECLINED = 1
    """The receiving program declined the offer."""
    NOT_SUPPORTED = 2
    """It cannot be done there: no such digest, or the file system cannot do what is needed."""
    NAME = 3
    """The name is not safe everywhere, is hidden where such names are not taken, or leads through
    something that is no directory."""
    EXISTS = 4
    """Something of that name is there and is not overwritten."""
    TOO_LARGE = 5
    QUOTA = 6
    """So many files, or so much together, are not taken."""
    DISK_FULL = 7
    BUSY = 8
    """The same transfer is under way already."""
    SIZE = 9
    """There came more or fewer bytes than announced."""
    DIGEST = 10
    """What came is not what was sent."""
    IO = 11
    """The disk or the system failed there."""
    MALFORMED = 12
    """The sending end said what is no part of the protocol."""


class FileAbort(IntEnum):
    """Why the sending end of a file resets its stream; 0, as everywhere, if it was cancelled."""

    CHANGED = 64
    """The file was written to meanwhile: what came of it is of no use."""
    UNREADABLE = 65
    """The disk or the system failed there."""


RETRY_CODES: Final = frozenset(
    {CloseCode.GOING_AWAY, CloseCode.BUSY, CloseCode.HANDLER, CloseCode.TIMEOUT, CloseCode.SLOW}
)
"""Codes after which coming back makes sense; any other but 0 means "over"."""


class Tlv(IntEnum):
    """Types of the type-length-value fields in HELLO, WELCOME and CLOSE."""

    MAX_FRAME = 1
    FEATURES = 2
    WINDOW = 3
    SESSION = 4
    SOFTWARE = 5
    PADDING = 6
    CLIENT_ID = 7
    FRAMES_RECEIVED = 8
    INVITATION = 9
    MAX_STREAMS = 10
    MAX_REQUESTS = 11
    RETRY_AFTER = 12
    MESSAGES_DISCARDED = 13
    WRITERS = 14


TLV_CRITICAL: Final = 0x8000
"""An unknown type with this bit means CLOSE; any other unknown type is skipped."""


# Section 6: sealed connections


class Pattern(IntEnum):
    """The number of a Noise protocol in the handshake's preamble."""

    NNPSK0 = 1
    XK = 2
    XX = 3
    NNHFS_PSK0 = 4
    XKHFS = 5
    XXHFS = 6

    @property
    def post_quantum(self) -> bool:
        """Whether it agrees on keys by ML-KEM-768 beside X25519."""
        return self in _POST_QUANTUM


_POST_QUANTUM: Final = frozenset({Pattern.NNHFS_PSK0, Pattern.XKHFS, Pattern.XXHFS})


MAX_RECORD: Final = 65_535
"""The largest encrypted record, in bytes, its tag included."""
TAG_SIZE: Final = 16
"""Bytes of the tag that authenticates a record."""
MIN_RECORD: Final = TAG_SIZE + 1
"""The smallest record: it holds one byte."""
MAX_RECORD_PLAINTEXT: Final = MAX_RECORD - TAG_SIZE
"""The most that one record holds, in bytes."""
REKEY_INTERVAL: Final = 4096
"""Records sealed under one key before it is replaced."""
MAX_CONTEXT: Final = 65_535
"""The longest context, in bytes of UTF-8."""
MAX_UNAUTHENTICATED: Final = 1280
"""Bytes of a sealed peer that are held before it has proved itself: the longest first frame has
1,263."""
MAX_FIRST_RECORD: Final = 1024
"""The longest first record of a client, with its head, in bytes."""
