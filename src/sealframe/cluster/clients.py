"""The clients of a cluster, as programs see them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

from ..aio.connection import AnyConnection, Connection
from .events import ClusterClient, ClusterServer
from .messages import checked_text

__all__ = ["ClusterClient", "ClusterServer", "Exclude", "excluded_ids"]

Exclude: TypeAlias = str | AnyConnection | Collection[str | AnyConnection] | None
"""Who does not get a broadcast: ids of clients, or connections of this server."""


def excluded_ids(exclude: Exclude) -> tuple[str, ...]:
    """Return the ids of those that are left out.

    :raises TypeError: one of them is neither an id nor a connection
    :raises ValueError: an id is over 64 KiB or has a lone surrogate
    """
    if exclude is None:
        return ()
    left_out = (exclude,) if isinstance(exclude, str | Connection) else tuple(exclude)
    return tuple(map(_id, left_out))


def _id(one: object) -> str:
    if isinstance(one, Connection):
        return one.id
    if isinstance(one, ClusterClient):
        return one.id
    if not isinstance(one, str):
        raise TypeError(f"exclude takes ids of clients and connections, not {one!r}")
    checked_text(one)
    return one
