"""Who gives way where there is not enough for all: the client that has most.

Each client has *claims*, one for each key. Those of one client have an order: claims that are
*spare* go first, then from the oldest. Clients that have the same give way in the order of the
claim that goes first of each. A client is any hashable value; so however many claims one client
makes, those of a client that has fewer stay.

Every call takes O(log n) time, amortised, for n claims.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeAlias, TypeVar

ItemT = TypeVar("ItemT", bound=Hashable)

Rank: TypeAlias = tuple[int, ...]
"""What goes first has the lowest; unique where two items can be in one heap. Empty: not in it."""

_SLACK: Final = 16
"""Stale entries that a heap may have in any case."""


class LazyHeap(Generic[ItemT]):
    """A heap of items whose rank changes.

    An item is pushed once more when its rank has changed. Entries whose rank is no longer that of
    their item are skipped where they come up, and removed where they are the greater part.

    :param rank_of: returns the rank that an item has now
    """

    __slots__ = ("_entries", "_rank_of")

    def __init__(self, rank_of: Callable[[ItemT], Rank]) -> None:
        self._rank_of = rank_of
        self._entries: list[tuple[Rank, ItemT]] = []

    def __len__(self) -> int:
        """Return how many entries there are, stale ones included."""
        return len(self._entries)

    def push(self, item: ItemT) -> None:
        """Take in an item, or its new rank; nothing happens if that is empty."""
        if rank := self._rank_of(item):
            heapq.heappush(self._entries, (rank, item))

    def first(self) -> ItemT:
        """Return the item of the lowest rank; there must be one."""
        while True:
            rank, item = self._entries[0]
            if self._rank_of(item) == rank:
                return item
            heapq.heappop(self._entries)

    def trim(self, live: int) -> None:
        """Remove stale entries, if they are more than half.

        :param live: how many items have a rank
        """
        if len(self._entries) > 2 * live + _SLACK:
            ranks = {item: rank for rank, item in self._entries if self._rank_of(item) == rank}
            self._entries = [(rank, item) for item, rank in ranks.items()]
            heapq.heapify(self._entries)


class Claim:
    """What one client has under one key."""

    __slots__ = ("key", "rank", "share", "weight")

    def __init__(self, key: bytes, share: Share, weight: int, rank: Rank) -> None:
        self.key: Final = key
        self.share: Final = share
        self.weight = weight
        self.rank = rank


class Share:
    """All that one client has."""

    __slots__ = ("claims", "client", "count", "weight")

    def __init__(self, client: Hashable) -> None:
        self.client: Final = client
        self.claims: Final = LazyHeap(_rank_of_claim)
        self.count = 0
        self.weight = 0
        """The sum of those of its claims."""


def _rank_of_claim(claim: Claim) -> Rank:
    return claim.rank


def _rank_by_count(share: Share) -> Rank:
    return (-share.count, *share.claims.first().rank) if share.count else ()


def _rank_by_weight(share: Share) -> Rank:
    return (-share.weight, *share.claims.first().rank) if share.weight else ()


class FairShares:
    """The claims of all clients."""

    def __init__(self) -> None:
        self.weight = 0
        """The sum of those of all claims."""
        self._count = 0
        self._made = 0
        self._shares: dict[Hashable, Share] = {}
        self._by_count = LazyHeap(_rank_by_count)
        self._by_weight = LazyHeap(_rank_by_weight)
        self._changed: set[Share] = set()
        """Shares whose new ranks are not in these heaps yet: who gives way is rarely asked, and
        weights change often."""

    def __len__(self) -> int:
        return self._count

    def add(self, key: bytes, client: Hashable, *, weight: int = 0, spare: bool = False) -> Claim:
        """Make a claim; the key must be new.

        :param weight: 0 or more
        :param spare: whether it goes before those of this client that are not
        """
        share = self._shares.get(client)
        if share is None:
            share = self._shares[client] = Share(client)
        self._made += 1
        claim = Claim(key, share, weight, (0 if spare else 1, self._made))
        share.claims.push(claim)
        self._change(share, count=1, weight=weight)
        return claim

    def reweigh(self, claim: Claim, weight: int) -> None:
        """Change the weight of a claim that was not discarded."""
        added, claim.weight = weight - claim.weight, weight
        self._change(claim.share, count=0, weight=added)

    def discard(self, claim: Claim) -> None:
        """Drop a claim that was not discarded."""
        claim.rank = ()
        self._change(claim.share, count=-1, weight=-claim.weight)

    def first_of_most(self) -> bytes:
        """Return the key that goes first of the client that has most claims; there must be one."""
        self._rank()
        return self._by_count.first().claims.first().key

    def first_of_heaviest(self) -> bytes:
        """Return the key that goes first of the client whose claims weigh most; they must not
        all weigh nothing."""
        self._rank()
        return self._by_weight.first().claims.first().key

    def _change(self, share: Share, *, count: int, weight: int) -> None:
        share.count += count
        share.weight += weight
        self._count += count
        self.weight += weight
        share.claims.trim(share.count)
        if share.count:
            self._changed.add(share)
        else:
            self._changed.discard(share)
            del self._shares[share.client]

    def _rank(self) -> None:
        for heap in (self._by_count, self._by_weight):
            for share in self._changed:
                heap.push(share)
            heap.trim(len(self._shares))
        self._changed.clear()
