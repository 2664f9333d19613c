"""Decrypted frames as a pcapng that Wireshark hands to the dissector of sealframe by itself.

Each frame is one packet of the link type WIRESHARK_UPPER_PDU: tags that say which dissector it is
for and who sent it (Wireshark's ``epan/exported_pdu.h``: type and length, 16 bits each and
big-endian, then the value), and behind them the frame.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import pcapng

from ..captures.following import Followed
from ..errors import CommandError
from .dialogue import Frame

_UPPER_PDU: Final = 252
_LARGEST: Final = 262_144
"""Bytes of a packet that Wireshark reads at most; what is more is cut, and its length told."""

_DISSECTOR, _SOURCE_4, _TARGET_4, _SOURCE_6, _TARGET_6 = 12, 20, 21, 22, 23
_PORT_TYPE, _SOURCE_PORT, _TARGET_PORT = 24, 25, 26
_TCP: Final = 2
_NUMBER: Final = struct.Struct(">I")


class FrameFile:
    """A file of decrypted frames.

    :ivar cut: frames that are larger than a packet may be
    """

    def __init__(self, file: BinaryIO) -> None:
        self.cut = 0
        self._section: Any = pcapng.blocks.SectionHeader(options={"shb_userappl": "sealframe"})
        self._section.new_member(
            pcapng.blocks.InterfaceDescription, link_type=_UPPER_PDU, snaplen=_LARGEST
        )
        self._writer = pcapng.FileWriter(file, self._section)

    def write(self, followed: Followed, frame: Frame) -> None:
        """Add a frame."""
        data = _tags(followed, frame) + frame.piece.raw
        self.cut += len(data) > _LARGEST
        high, low = divmod(min(round(frame.time * 1e6), 2**64 - 1), 2**32)
        self._writer.write_block(
            self._section.new_member(
                pcapng.blocks.EnhancedPacket,
                interface_id=0,
                timestamp_high=high,
                timestamp_low=low,
                packet_len=len(data),
                packet_data=data[:_LARGEST],
            )
        )


@contextmanager
def frame_file(path: Path) -> Iterator[FrameFile]:
    """Make a new file, for this user alone: what is in it was sealed. After an error it is gone.

    :raises CommandError: it is there already, or cannot be made
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(
            f"{path} is there already and is not overwritten: choose another name"
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield FrameFile(file)
    except BaseException:
        # Half of it would look like all.
        path.unlink(missing_ok=True)
        raise


def _tags(followed: Followed, frame: Frame) -> bytes:
    tcp = followed.tcp
    ends = (tcp.client, tcp.server)
    source, target = ends if frame.sender == "client" else ends[::-1]
    six = len(source[0]) == 16
    return b"".join(
        (
            _tag(_DISSECTOR, b"sealframe"),
            _tag(_SOURCE_6 if six else _SOURCE_4, source[0]),
            _tag(_TARGET_6 if six else _TARGET_4, target[0]),
            _tag(_PORT_TYPE, _NUMBER.pack(_TCP)),
            _tag(_SOURCE_PORT, _NUMBER.pack(source[1])),
            _tag(_TARGET_PORT, _NUMBER.pack(target[1])),
            _tag(0, b""),
        )
    )


def _tag(kind: int, value: bytes) -> bytes:
    # Padded with zeros to a multiple of 4, the length with them.
    padded = value + bytes(-len(value) % 4)
    return struct.pack(">HH", kind, len(padded)) + padded
