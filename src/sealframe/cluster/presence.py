"""Presence as bytes: what each server publishes for all others, and the clients in a roster.

A presence message is a JSON object, at most as large as a chunk::

    {"v": 1, "id": "0123456789abcdef", "label": "host:4711", "started": 1764460800.0, "n": 7,
     "figures": {"clients": 2}, "deltas": [["a1-1", "ann", 1764460801.5], ["a1-2"]]}

``n`` is the number of the sender's last delta, the first one being 1. ``deltas`` end with that one:
here they are 6 and 7. A delta ``[id, name, since]`` puts a client where it was not, or in place of
what was known of it; ``name`` is null for none. ``[id]`` takes it out. A message without deltas is
a heartbeat. A delta that is too large for a message is left out: who misses it asks for the roster.
``"bye": true`` says that this server leaves.

A roster is the sender's clients, each as ``[id, name, since]``, in lists of about 8 KiB.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from .chunks import UnknownVersionError
from .messages import MalformedFrameError, checked_text
from .numbers import ROSTER_PART, VERSION

__all__ = [
    "Delta",
    "Gone",
    "Presence",
    "Put",
    "decode_clients",
    "decode_presence",
    "encode_delta",
    "encode_presence",
    "encode_roster",
    "is_server_id",
]

_HIGHEST: Final = 2**64 - 1
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
is_server_id: Final = re.compile(r"[0-9a-f]{16}").fullmatch
"""Whether a text can be the id of a server: 8 bytes in lower-case hexadecimal."""


@dataclass(frozen=True, slots=True)
class Put:
    """A client is there under that name, or under none."""

    id: str
    name: str | None
    since: float


@dataclass(frozen=True, slots=True)
class Gone:
    """A client has left."""

    id: str


Delta: TypeAlias = Put | Gone


@dataclass(frozen=True, slots=True)
class Presence:
    """A presence message.

    :ivar number: of its last delta, or of the last one before it
    """

    server: str
    label: str
    started: float
    number: int
    deltas: tuple[Delta, ...]
    figures: Mapping[str, float]
    bye: bool


def encode_delta(delta: Delta) -> bytes:
    """Return a delta as JSON."""
    match delta:
        case Put(id, name, since):
            return _encode([id, name, since]).encode()
        case Gone(id):
            return _encode([id]).encode()


def encode_presence(
    head: Mapping[str, object], number: int, deltas: Iterable[bytes], *, bye: bool = False
) -> bytes:
    """Return a presence message.

    :param head: ``id``, ``label``, ``started`` and ``figures``
    :param deltas: as :func:`encode_delta` makes them
    """
    fields: dict[str, object] = {"v": VERSION, **head, "n": number}
    if bye:
        fields["bye"] = True
    return _encode(fields).encode()[:-1] + b',"deltas":[' + b",".join(deltas) + b"]}"


def decode_presence(data: bytes) -> Presence:
    """Return what a presence message says.

    :raises UnknownVersionError: it is of another version
    :raises MalformedFrameError: it is none
    """
    fields = _parse(data)
    if not isinstance(fields, dict):
        raise _malformed("no object")
    version = fields.get("v")
    if version != VERSION or version is True:
        if type(version) is int:
            raise UnknownVersionError(version)
        raise _malformed("no version")
    server, number, deltas = fields.get("id"), fields.get("n"), fields.get("deltas")
    if type(server) is not str or not is_server_id(server):
        raise _malformed("no id of a server")
    if type(number) is not int or not 0 <= number <= _HIGHEST:
        raise _malformed("no number")
    if type(deltas) is not list or len(deltas) > number:
        raise _malformed("no deltas, or more of them than there were")
    figures = fields.get("figures")
    if type(figures) is not dict:
        raise _malformed("no figures")
    return Presence(
        server,
        _text(fields.get("label")),
        _seconds(fields.get("started")),
        number,
        tuple(map(_delta, deltas)),
        {_text(name): _figure(figure) for name, figure in figures.items()},
        fields.get("bye") is True,
    )


def encode_roster(clients: Iterable[bytes]) -> list[bytes]:
    """Return the parts of a roster, at least one; each has one client or is at most 8 KiB.

    :param clients: as :func:`encode_delta` makes them
    """
    parts: list[list[bytes]] = [[]]
    size = 0
    for data in clients:
        size += len(data) + 1
        if size > ROSTER_PART and parts[-1]:
            parts.append([])
            size = len(data) + 1
        parts[-1].append(data)
    return [b"[" + b",".join(part) + b"]" for part in parts]


def decode_clients(data: bytes) -> list[Put]:
    """Return the clients in a part of a roster.

    :raises MalformedFrameError: it is none
    """
    entries = _parse(data)
    if type(entries) is not list:
        raise _malformed("no list of clients")
    return list(map(_put, entries))


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise _malformed(f"no JSON ({error})") from None


def _delta(entry: object) -> Delta:
    if type(entry) is list and len(entry) == 1:
        return Gone(_text(entry[0]))
    return _put(entry)


def _put(entry: object) -> Put:
    if type(entry) is not list or len(entry) != 3:
        raise _malformed("no client")
    id, name, since = entry
    return Put(_text(id), None if name is None else _text(name), _seconds(since))


def _text(text: object) -> str:
    if type(text) is not str:
        raise _malformed("no text where an id or a name should be")
    try:
        checked_text(text)  # JSON may have escapes of lone surrogates
    except ValueError as error:
        raise _malformed(str(error)) from None
    return text


def _seconds(number: object) -> float:
    seconds = _figure(number)
    if seconds < 0:
        raise _malformed("a time before 1970")
    return float(seconds)


def _figure(number: object) -> float:
    if type(number) is int and -_HIGHEST <= number <= _HIGHEST:
        return number
    if type(number) is float and math.isfinite(number):
        return number
    raise _malformed("no number where one should be")


def _malformed(what: str) -> MalformedFrameError:
    return MalformedFrameError(
        f"malformed presence message: {what}; does another program publish on this subject?"
    )
