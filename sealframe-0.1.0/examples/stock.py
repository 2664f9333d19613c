"""What stock_server.py and stock_client.py say to each other."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Take(Struct):
    """A request: take so many of a thing out of the store; none, to see what is there."""

    thing: str
    number: Annotated[int, Meta(ge=0)] = 0


class Left(Struct):
    """The answer: so many are left."""

    thing: str
    number: int
