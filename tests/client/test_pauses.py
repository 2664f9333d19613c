"""What a client remembers of servers that have asked for time."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from socket import socket

from sealframe.aio.endpoint import Endpoint
from sealframe.client.pauses import Pauses


@dataclass
class Turn:
    """Where a service has led to."""

    server: str
    left: int = 0

    @property
    def servers(self) -> list[str]:
        return [self.server]

    async def __call__(self) -> socket:
        raise AssertionError


def turn(server: str) -> Endpoint:
    return replace(Endpoint.of("example.org", 1234, None, None, None), sock=Turn(server))


def noted(pauses: Pauses, server: str, milliseconds: int | None) -> Callable[[], Endpoint | None]:
    """Note it; return what has it as long as it is remembered."""
    endpoint = turn(server)
    pauses.note(endpoint, milliseconds)
    return weakref.ref(endpoint)


def test_a_pause_that_is_over_is_forgotten() -> None:
    now = 0.0
    pauses = Pauses(lambda: now)
    first = turn("a:1")
    pauses.note(first, None)
    short, long = noted(pauses, "b:1", 1_000), noted(pauses, "c:1", 60_000)
    assert pauses.waits(first, "b:1")
    now = 2.0
    pauses.note(first, None)
    assert short() is None
    assert long() is not None
    assert pauses.waits(first, "c:1")
