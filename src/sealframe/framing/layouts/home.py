"""Radios and sensors at home."""

from __future__ import annotations

from typing import Final

from ...errors import MagicError, MalformedLengthError
from ..layout import Framing
from ..sized import Sized
from ..with_preamble import WithPreamble
from .entry import Entry

MESHTASTIC: Final = WithPreamble(
    Framing(offset=2, width=2, byteorder="big", magic=b"\x94\xc3", maximum=512),
    client=b"\xc3" * 32,
)
"""Meshtastic over TCP: a message is a ToRadio or a FromRadio of Protocol Buffers."""


def esphome_size(head: bytes) -> int | None:
    """Return the size of a frame: 0, length, kind; or 1 and a length of two bytes.

    None asks for more bytes.

    :raises MagicError: it begins otherwise
    :raises MalformedLengthError: a number has more than four bytes
    """
    if head[0] == 1:
        return 3 + int.from_bytes(head[1:3], "big")
    if head[0]:
        raise MagicError(f"a frame of ESPHome begins with 0 or 1, not {head[0]}")
    numbers: list[int] = []
    value = shift = 0
    for place, byte in enumerate(head[1:], 2):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
            if len(numbers) == 2:
                return place + numbers[0]
        elif shift == 28:
            raise MalformedLengthError("a number of ESPHome has at most four bytes")
    return None


ESPHOME: Final = Sized(esphome_size, head=(3, 9))
"""ESPHome's native API: a message is a frame with its header, plain or encrypted."""

ENTRIES: Final = (
    Entry(
        name="meshtastic",
        layout=MESHTASTIC,
        title="Meshtastic, client API as a stream: 0x94 0xC3, length, Protocol Buffers",
        source='Meshtastic documentation, "Client API (Serial/TCP/BLE)", "Streaming version"',
        ports=(4403,),
        pipelining="Yes: a packet has a number, which its acknowledgement names.",
        empty_frames="None: there is a field at least.",
        first_packet=(
            "The client sends want_config_id, and the device all that it knows, to "
            "config_complete_id."
        ),
        heartbeats="heartbeat of the client, in meshtastic 2.7.11 each 300 s.",
        limits="512 bytes; what says more is passed over as no frame.",
        notes=(
            "The Python package sends 32 bytes 0xC3 first, to wake what sleeps: this layout sends "
            "and expects them of a client. Of one that sends none, take MESHTASTIC.layout. Over a "
            "serial line devices mix lines of their log in; over TCP they do not. The recorded "
            "device is a script around the package's own writer."
        ),
        recorded=("meshtastic 2.7.11",),
    ),
    Entry(
        name="esphome",
        layout=ESPHOME,
        title="ESPHome, native API: 0, length, kind, data; or 1, length, encrypted data",
        source='ESPHome developer documentation, "ESPHome API Protocol Details"',
        ports=(6053,),
        pipelining="Yes: answers are told by their kind.",
        empty_frames="Requests without parameters have no data: 0, 0 and the kind.",
        first_packet="The client speaks first, with HelloRequest; encrypted, with an empty frame.",
        heartbeats="PingRequest of either end, which the other answers.",
        limits="65,535 bytes of data. aioesphomeapi takes numbers of at most four bytes.",
        notes=(
            "The length counts the data and neither itself nor the kind behind it. What is "
            "encrypted is Noise_NNpsk0_25519_ChaChaPoly_SHA256. A client that begins with 0 where "
            "encryption is asked for is answered by a frame that begins with 1. The recorded "
            "device is a script around the messages that the package packs, and of what is "
            "encrypted only the client's first frames are there."
        ),
        recorded=("aioesphomeapi 46.23.0",),
    ),
)
"""All of this module."""
