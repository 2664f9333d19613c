"""The names by which servers are told what handshakes to accept: those of Noise."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from ..errors import ConfigurationError
from ..wire import Pattern

IDENTITIES: Final = {
    "XK": (Pattern.XK, Pattern.XKHFS),
    "XX": (Pattern.XX, Pattern.XXHFS),
    "XKhfs": (Pattern.XKHFS,),
    "XXhfs": (Pattern.XXHFS,),
}
"""What a server with an identity may be told."""
SHARED: Final = {
    "NNpsk0": (Pattern.NNPSK0, Pattern.NNHFS_PSK0),
    "NNhfs+psk0": (Pattern.NNHFS_PSK0,),
}
"""What a server with a shared key may be told."""


def accepted_patterns(
    patterns: object, names: Mapping[str, tuple[Pattern, ...]], *, advice: str
) -> tuple[Pattern, ...]:
    """Return the handshakes that the names stand for.

    :param patterns: what a program has given
    :param names: one of the tables above
    :param advice: what to give instead, for the error
    :raises ConfigurationError: it is not a collection of such names, or empty
    """
    given = (
        list(patterns) if isinstance(patterns, Collection) and not isinstance(patterns, str) else []
    )
    # Names may be anything by mistake, also what has no hash.
    if not given or not all(isinstance(name, str) and name in names for name in given):
        raise ConfigurationError(f"patterns is {patterns!r}; use {advice}")
    return tuple(dict.fromkeys(kind for name in given for kind in names[name]))
