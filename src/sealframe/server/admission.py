"""Caps on unfinished handshakes, and on how fast connections come.

An address here is a :func:`~sealframe.server.rate_limit_key.rate_limit_key`. Any hashable value
does; None is unknown, and no limit per address applies to it. Times are seconds of one clock,
which the caller reads. Every call takes constant time, however many connections and addresses
there are.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from ..options import ServerOptions

ConnT = TypeVar("ConnT", bound=Hashable)

_MAX_ADDRESSES: Final = 16_384
"""Addresses whose buckets are stored. A limit per address does not stop an attacker who has
more addresses."""


class Decision(Enum):
    """What to do with a new connection."""

    ACCEPT = auto()
    TOO_FAST = auto()
    FULL = auto()


class Admission(Generic[ConnT]):
    """The connections of one server, and which of them have not finished their handshake.

    :param handshakes: whether a connection has to shake hands first, as sealed ones do
    :param choose: returns a random whole number below its argument
    """

    def __init__(
        self,
        options: ServerOptions,
        *,
        handshakes: bool,
        choose: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self._options = options
        self._handshakes = handshakes
        self._choose = choose
        self._max_pending = options.max_pending or options.max_connections
        rate = options.connection_rate
        self._buckets = None if rate is None else TokenBuckets(rate, options.connection_burst)
        self._connections: set[ConnT] = set()
        self._pending: RandomSet[ConnT] = RandomSet()
        self._address_of: dict[ConnT, Hashable] = {}
        self.pending_by_key: dict[Hashable, RandomSet[ConnT]] = {}
        """Those that have not finished their handshake, by address; no empty sets."""

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def pending(self) -> int:
        """How many have not finished their handshake."""
        return len(self._pending)

    def check(self, address: Hashable, now: float) -> Decision:
        """Decide about a new connection; an accepted one is then passed to :meth:`add`."""
        if (
            self._buckets is not None
            and address is not None
            and not self._buckets.take(address, now)
        ):
            return Decision.TOO_FAST
        if len(self) >= self._options.max_connections and not len(self._pending):
            return Decision.FULL
        return Decision.ACCEPT

    def add(self, conn: ConnT, address: Hashable) -> ConnT | None:
        """Add an accepted connection; return the one to drop for it, None if there is room.

        A random unfinished handshake is dropped, of the newcomer's own address if there are
        some: an honest peer, which needs little time for its handshake, is rarely the one,
        whatever an attacker does.
        """
        dropped = None
        if self._handshakes:
            # Connections of unknown address do not share one.
            neighbours = None if address is None else self.pending_by_key.get(address)
            if neighbours and len(neighbours) >= self._options.max_pending_per_address:
                dropped = neighbours.pick(self._choose)
            elif len(self._pending) >= self._max_pending or (
                len(self) >= self._options.max_connections
            ):
                dropped = (neighbours or self._pending).pick(self._choose)
            if dropped is not None:
                self.discard(dropped)
            self._pending.add(conn)
            self.pending_by_key.setdefault(address, RandomSet()).add(conn)
            self._address_of[conn] = address
        self._connections.add(conn)
        return dropped

    def establish(self, conn: ConnT) -> bool:
        """Note that a handshake is finished; return False if it was dropped before."""
        if conn not in self._connections:
            return False
        self._end_handshake(conn)
        return True

    def replace(self, conn: ConnT, other: ConnT) -> None:
        """Count another one in the place of this one, whose handshake is finished."""
        self.discard(conn)
        self._connections.add(other)

    def discard(self, conn: ConnT) -> None:
        """Forget a connection; harmless if it was forgotten before."""
        if conn in self._connections:
            self._end_handshake(conn)
            self._connections.remove(conn)

    def _end_handshake(self, conn: ConnT) -> None:
        if conn in self._pending:
            self._pending.discard(conn)
            address = self._address_of.pop(conn)
            neighbours = self.pending_by_key[address]
            neighbours.discard(conn)
            if not neighbours:
                del self.pending_by_key[address]


class RandomSet(Generic[ConnT]):
    """A set that picks a random member in constant time."""

    def __init__(self) -> None:
        self._members: list[ConnT] = []
        self._index: dict[ConnT, int] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member: ConnT) -> bool:
        return member in self._index

    def add(self, member: ConnT) -> None:
        """Add a member; it must be new."""
        self._index[member] = len(self._members)
        self._members.append(member)

    def discard(self, member: ConnT) -> None:
        """Remove a member, which must be there: the last one takes its place."""
        index = self._index.pop(member)
        last = self._members.pop()
        if index < len(self._members):
            self._members[index] = last
            self._index[last] = index

    def pick(self, choose: Callable[[int], int]) -> ConnT:
        """Return a random member; there must be one."""
        return self._members[choose(len(self._members))]


class TokenBuckets:
    """A token bucket for each address; a full bucket is not stored.

    :param rate: tokens that flow in per second
    :param burst: tokens that a bucket holds
    :param max_addresses: buckets stored at most; the least recently used one is forgotten
    """

    def __init__(self, rate: float, burst: int, max_addresses: int = _MAX_ADDRESSES) -> None:
        self._per_token = 1 / rate
        # The state of a bucket is the time at which it is full. 0.001 of a token is given
        # away, so that rounding never withholds one.
        self._longest = (burst - 1 + 0.001) / rate
        self._max_addresses = max_addresses
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, address: Hashable, now: float) -> bool:
        """Take a token from the bucket of an address; return False if it is empty."""
        full_at = max(self._full_at.get(address, now), now)
        if full_at - now > self._longest:
            return False
        self._full_at[address] = full_at + self._per_token
        self._full_at.move_to_end(address)
        # At most two are forgotten for each one added, so that the table also shrinks.
        for _ in range(2):
            oldest, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= self._max_addresses:
                break
            del self._full_at[oldest]
        return True
