"""Frame layouts: how a length in front of each message is written.

A :class:`~sealframe.Framing` describes a layout and makes decoders and encoders for it.
They know nothing of sockets: bytes go in, messages come out, and the reverse::

    decoder = PACKET.decoder()
    for data in chunks:
        for message in decoder.feed(data):
            ...
    socket.sendall(PACKET.encode(b"hello"))

The work is done by one of two codecs that behave alike, one compiled and one in
pure Python; :data:`sealframe.IMPLEMENTATION` names the one in use. Two environment
variables choose between them when this module is imported:
``SEALFRAME_NO_EXTENSIONS=1`` takes the pure one, and ``SEALFRAME_EXTENSION=yes``
raises :exc:`ImportError` where the compiled one is missing, rather than go on
without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .backend import IMPLEMENTATION, Decoder, Encoder
from .base import FrameDecoder, FrameEncoder, FrameLayout, Sender
from .catalogue import INT32_BE, NATIVE, PACKET, PROTOBUF_DELIMITED, UINT16_BE, UINT16_LE
from .choice import Choice
from .expression import parse_layout
from .heads import Framed, HeadsCodec
from .layout import DEFAULT_MAXIMUM, Framing
from .numbers import Bcd, Ber, Digits, Escaped, Number, Uint, Varint
from .parts import Checksum, Magic
from .sized import Sized
from .text import Delimited, HeaderLines
from .with_preamble import WithPreamble

if TYPE_CHECKING:
    from .inference import infer

__all__ = [
    "DEFAULT_MAXIMUM",
    "IMPLEMENTATION",
    "INT32_BE",
    "NATIVE",
    "PACKET",
    "PROTOBUF_DELIMITED",
    "UINT16_BE",
    "UINT16_LE",
    "Bcd",
    "Ber",
    "Checksum",
    "Choice",
    "Decoder",
    "Delimited",
    "Digits",
    "Encoder",
    "Escaped",
    "FrameDecoder",
    "FrameEncoder",
    "FrameLayout",
    "Framed",
    "Framing",
    "HeaderLines",
    "HeadsCodec",
    "Magic",
    "Number",
    "Sender",
    "Sized",
    "Uint",
    "Varint",
    "WithPreamble",
    "infer",
    "parse_layout",
]


def __getattr__(name: str) -> Any:
    """Load the inference when it is asked for: a program that knows its layout does without."""
    if name == "infer":
        from .inference import infer

        return infer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
