"""The addresses of one server, tried in turn: where one fails, the next is tried at once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from ..aio.endpoint import Endpoint
from ..errors import (
    ConnectError,
    ConnectTimeoutError,
    KeyFileError,
    KeyFormatError,
    ServerKeyChangedError,
    UnknownServerError,
)


class Targets:
    """Where to connect to.

    :param endpoints: one at least. Which is tried first is random, so that many clients spread
    :param first: which is tried first, if that is known
    """

    __slots__ = ("_endpoints", "_first", "_last")

    def __init__(self, endpoints: Sequence[Endpoint], first: Endpoint | None = None) -> None:
        self._endpoints = tuple(endpoints)
        self._first = 0
        if first is None and len(self._endpoints) > 1:
            self._first = random.randrange(len(self._endpoints))
        self._last = self._endpoints[self._first]
        if first is not None:
            self.prefer(first)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All of them."""
        return self._endpoints

    @property
    def first(self) -> Endpoint:
        """The one that is tried first: the last that let this client in."""
        return self._endpoints[self._first]

    @property
    def last(self) -> Endpoint:
        """The same as it was tried: it knows which of several servers that was."""
        return self._last

    def in_turn(
        self, waits: Callable[[Endpoint, str], bool] = lambda _endpoint, _server: False
    ) -> Iterator[Endpoint]:
        """Yield each once, beginning with the first; one of several servers for each of them.

        :param waits: returns whether one of several servers of an address is to be left out
        """
        for endpoint in self._endpoints[self._first :] + self._endpoints[: self._first]:
            yield from endpoint.in_turn(waits)

    def prefer(self, endpoint: Endpoint) -> None:
        """Try that one first from now on: it has let this client in."""
        self._first = self._endpoints.index(endpoint)
        self._last = endpoint


def joined(failures: Sequence[Exception]) -> Exception:
    """Return the one error of a round in which each address has failed.

    What a server has said tells more than that another is not there.
    """
    if len(failures) == 1:
        return failures[0]
    for failure in failures:
        if not isinstance(failure, ConnectError):
            return failure
    numbers = {failure.errno for failure in failures if isinstance(failure, ConnectError)}
    late = all(isinstance(failure, ConnectTimeoutError) for failure in failures)
    kind = ConnectTimeoutError if late else ConnectError
    return kind(numbers.pop() if len(numbers) == 1 else None, "; ".join(map(str, failures)))


def is_alarming(error: Exception) -> bool:
    """Return whether a further attempt helps only once somebody has changed something."""
    kinds = ServerKeyChangedError | UnknownServerError | KeyFileError | KeyFormatError
    return isinstance(error, kinds)
