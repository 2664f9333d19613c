"""Who comes in: caps on unfinished handshakes, and on how fast connections come.

An address here is what :func:`sealframe.server.rate_limit_key.origin` returns; any hashable value
does, and None is one that nobody knows: no limit per address holds it. Times are
seconds of one clock, which the caller reads. Every call takes the same short time,
however many connections and addresses there are.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from ..options import ServerOptions

Guest = TypeVar("Guest", bound=Hashable)

_MAX_ADDRESSES: Final = 16_384
"""Addresses whose rate is remembered. Whoever has more than these is not held by a
limit per address anyway."""


class Verdict(Enum):
    """What to do with a newcomer."""

    WELCOME = auto()
    TOO_FAST = auto()
    FULL = auto()


class Admission(Generic[Guest]):
    """The connections of one server, and which of them still shake hands.

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
        self._rates = None if rate is None else Rates(rate, options.connection_burst)
        self._guests: set[Guest] = set()
        self._pending: Bag[Guest] = Bag()
        self._address_of: dict[Guest, Hashable] = {}
        self._pending_at: dict[Hashable, Bag[Guest]] = {}

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def pending(self) -> int:
        """How many have not finished their handshake."""
        return len(self._pending)

    def knock(self, address: Hashable, now: float) -> Verdict:
        """Decide about a newcomer; one that is welcome is then let :meth:`enter`."""
        if self._rates is not None and address is not None and not self._rates.take(address, now):
            return Verdict.TOO_FAST
        if len(self) >= self._options.max_connections and not len(self._pending):
            return Verdict.FULL
        return Verdict.WELCOME

    def enter(self, guest: Guest, address: Hashable) -> Guest | None:
        """Take one in that is welcome; return who is dropped for it, None if no one is.

        Who is dropped is random, and of the newcomer's own address if it has others
        there: whatever an attacker does, an honest peer that needs little time is rarely
        the one.
        """
        dropped = None
        if self._handshakes:
            # Those whose address nobody knows have not got it in common.
            neighbours = None if address is None else self._pending_at.get(address)
            if neighbours and len(neighbours) >= self._options.max_pending_per_address:
                dropped = neighbours.pick(self._choose)
            elif len(self._pending) >= self._max_pending or (
                len(self) >= self._options.max_connections
            ):
                dropped = (neighbours or self._pending).pick(self._choose)
            if dropped is not None:
                self.leave(dropped)
            self._pending.add(guest)
            self._pending_at.setdefault(address, Bag()).add(guest)
            self._address_of[guest] = address
        self._guests.add(guest)
        return dropped

    def establish(self, guest: Guest) -> bool:
        """Note that a handshake is finished; return False for one that was dropped."""
        if guest not in self._guests:
            return False
        self._settle(guest)
        return True

    def leave(self, guest: Guest) -> None:
        """Forget one that is gone; doing it again is harmless."""
        if guest in self._guests:
            self._settle(guest)
            self._guests.remove(guest)

    def _settle(self, guest: Guest) -> None:
        if guest in self._pending:
            self._pending.discard(guest)
            address = self._address_of.pop(guest)
            neighbours = self._pending_at[address]
            neighbours.discard(guest)
            if not neighbours:
                del self._pending_at[address]


class Bag(Generic[Guest]):
    """A set that can name one of its members at random."""

    def __init__(self) -> None:
        self._members: list[Guest] = []
        self._index: dict[Guest, int] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member: Guest) -> bool:
        return member in self._index

    def add(self, member: Guest) -> None:
        """Add one that is not in it."""
        self._index[member] = len(self._members)
        self._members.append(member)

    def discard(self, member: Guest) -> None:
        """Remove one that is in it: the last one takes its place."""
        index = self._index.pop(member)
        last = self._members.pop()
        if index < len(self._members):
            self._members[index] = last
            self._index[last] = index

    def pick(self, choose: Callable[[int], int]) -> Guest:
        """Return a random member; there must be one."""
        return self._members[choose(len(self._members))]


class Rates:
    """A token bucket for each address; a full one is as good as none, and forgotten.

    :param rate: tokens that flow in per second
    :param burst: tokens that a bucket holds
    :param max_addresses: buckets at most; beyond them the one unused for longest goes
    """

    def __init__(self, rate: float, burst: int, max_addresses: int = _MAX_ADDRESSES) -> None:
        self._per_token = 1 / rate
        # The time until it is full says all about a bucket. A thousandth of a token is
        # given away, so that rounding never withholds one.
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
        # One comes, two go: so the table also shrinks.
        for _ in range(2):
            oldest, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= self._max_addresses:
                break
            del self._full_at[oldest]
        return True
