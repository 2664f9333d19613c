"""Reads a key log: what :mod:`sealframe.trust.key_log` writes."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import CommandError, Exit

# Not by lines: one that was cut short, on a full disk, may have another behind it.
_LINE: Final = re.compile(
    rb"SEALFRAME_AES_256_GCM ([0-9a-f]{64}) ([0-9a-f]{64}) ([0-9a-f]{64})\b", re.IGNORECASE
)
NAME_SIZE: Final = 32
"""Bytes of a client's first Noise message that name its connection."""


class Keys(NamedTuple):
    """The keys of one connection, 32 bytes each."""

    client: bytes
    server: bytes


def read(path: Path) -> dict[bytes, list[Keys]]:
    """Return the keys in a file by the names of their connections.

    A name may have several: a first message may be sent again, to another server.

    :raises CommandError: there is not one line in it
    :raises OSError: it cannot be read
    """
    # Dictionaries as ordered sets: the same line may be there very often.
    found: defaultdict[bytes, dict[Keys, None]] = defaultdict(dict)
    for line in _LINE.finditer(path.read_bytes()):
        name, client, server = (bytes.fromhex(word.decode()) for word in line.groups())
        found[name][Keys(client, server)] = None
    if not found:
        raise CommandError(
            f"{path} has no line of a key log: nothing that ran with SEALFRAME_KEYLOG wrote its "
            "keys there. While you capture, start the client or the server with that variable "
            "naming a new file, and give that one",
            Exit.KEY,
        )
    return {name: list(keys) for name, keys in found.items()}
