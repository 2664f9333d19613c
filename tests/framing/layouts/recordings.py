"""Reads ``recorded/``: bytes that packages other than ours made, cut into frames.

A file is JSON::

    {"entry": "modbus-tcp",             the name in the catalogue
     "recorder": "record_modbus_tcp.py",    the program in recorders/ that made the file
     "streams": [
        {"sender": "client",            or "server"
         "by": "pymodbus 3.16.1",       who wrote these bytes
         "preamble": "",                what comes once, before the first frame, in hex
         "frames": ["0001…", …],        the frames, cut as the package or its specification does
         "rest": "",                    an unfinished frame at the end
         "rewritten": true,             ours writes the same messages in other bytes
         "reads": [12, 11, …]}]}        how many bytes each recv of the recorder got

The cuts are never made with sealframe: a recorder knows them from the package's own writes or
parser, or cuts with a few lines written from the specification.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).with_name("recorded")
RECORDERS = Path(__file__).with_name("recorders")


@dataclass(frozen=True)
class Stream:
    """All that one end of one connection sent."""

    sender: Literal["client", "server"]
    by: str
    frames: tuple[bytes, ...]
    preamble: bytes = b""
    rest: bytes = b""
    reads: tuple[int, ...] = ()
    rewritten: bool = False

    @property
    def data(self) -> bytes:
        """The bytes of the stream."""
        return self.preamble + b"".join(self.frames) + self.rest


@dataclass(frozen=True)
class Recording:
    """One file of ``recorded/``."""

    name: str
    entry: str
    recorder: str
    streams: tuple[Stream, ...]


def load(path: Path) -> Recording:
    """Read a file."""
    content = json.loads(path.read_text(encoding="ascii"))
    streams = tuple(
        Stream(
            sender=stream["sender"],
            by=stream["by"],
            frames=tuple(bytes.fromhex(frame) for frame in stream["frames"]),
            preamble=bytes.fromhex(stream.get("preamble", "")),
            rest=bytes.fromhex(stream.get("rest", "")),
            reads=tuple(stream.get("reads", ())),
            rewritten=stream.get("rewritten", False),
        )
        for stream in content["streams"]
    )
    return Recording(path.stem, content["entry"], content["recorder"], streams)


RECORDINGS = tuple(load(path) for path in sorted(FOLDER.glob("*.json")))
