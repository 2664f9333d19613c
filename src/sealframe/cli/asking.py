"""What is asked of whoever types the command, and read from stdin or the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from typing import TypedDict, Unpack

import click

from .. import SharedKey
from .text import visible

PASSPHRASE_VARIABLE = "SEALFRAME_PASSPHRASE"

_LINE = 4096
"""Bytes of stdin after which it is no line with an invitation."""


def can_ask() -> bool:
    """Return whether there is a terminal for questions and answers."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


class Handshakes(TypedDict, total=False):
    """What a shared key is used for: what :class:`~sealframe.SharedKey` takes by these names."""

    post_quantum: bool
    patterns: Collection[str]


def passphrase_key(**how: Unpack[Handshakes]) -> SharedKey:
    """Return the key of the passphrase in the environment, or of one that is asked for.

    This blocks for some tenths of a second: call it before an event loop starts.

    :param how: as of :class:`~sealframe.SharedKey`
    :raises KeyFormatError: the passphrase is too weak
    """
    passphrase = os.environ.get(PASSPHRASE_VARIABLE)
    if passphrase is None:
        if not can_ask():
            raise click.UsageError(
                f"--passphrase asks on a terminal, and there is none: set {PASSPHRASE_VARIABLE}"
            )
        passphrase = click.prompt("Passphrase", hide_input=True, err=True)
    return SharedKey.from_passphrase(passphrase, **how)


def invitation_text() -> str:
    """Return the line with an invitation: asked for on a terminal, else the first of stdin."""
    if can_ask():
        text: str = click.prompt("Paste the invitation", err=True)
        return text
    line = bytearray()
    # Unbuffered and no byte further: what follows may be for the server.
    while len(line) < _LINE and (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode("ascii", "replace")


def is_right(server: str, key: object) -> bool:
    """Ask whether a server that is not known has the right key."""
    name = visible(server)
    click.echo(f"{name} is not known yet. Compare its key with the one it shows itself.", err=True)
    return click.confirm(f"The key of {name} is {key}: is that right?", err=True)
