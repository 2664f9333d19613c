"""Passphrases of words at random, from the long list of the EFF that xkcdpass brings."""

from __future__ import annotations

import math
import secrets
from importlib import resources

from .errors import CommandError

COUNT = 8


def passphrase() -> tuple[str, float]:
    """Return a new passphrase, and how many bits of chance are in it.

    :raises CommandError: the package with the words is not installed
    """
    try:
        found = resources.files("xkcdpass").joinpath("static", "eff-long").read_text("ascii")
    except ModuleNotFoundError:
        raise CommandError(
            'the words are in the xkcdpass package: run: pip install "sealframe[cli]"'
        ) from None
    words = sorted(set(found.split()))
    return " ".join(secrets.choice(words) for _ in range(COUNT)), COUNT * math.log2(len(words))
