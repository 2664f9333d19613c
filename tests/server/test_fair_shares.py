"""Whoever has most gives way; what a client had before takes no room."""

from __future__ import annotations

import gc

from sealframe.server.fair_shares import Claim, FairShares, LazyHeap, Share


def alive(kind: type) -> int:
    gc.collect()
    return sum(isinstance(found, kind) for found in gc.get_objects())


def test_a_heap_has_the_rank_that_an_item_has_now() -> None:
    ranks: dict[str, tuple[int, ...]] = {"a": (1,), "b": (2,), "c": ()}
    heap = LazyHeap(ranks.__getitem__)
    for item in ranks:
        heap.push(item)
    assert len(heap) == 2
    assert heap.first() == "a"
    ranks["a"] = (3,)
    heap.push("a")
    assert heap.first() == "b"
    ranks["b"] = ()
    assert heap.first() == "a"


def test_a_heap_has_few_stale_entries() -> None:
    """Also of an item that has had each of its ranks before."""
    ranks: dict[str, tuple[int, ...]] = dict.fromkeys("abcdefgh", (0,))
    heap = LazyHeap(ranks.__getitem__)
    for change in range(1000):
        item = "abcdefgh"[change % 8]
        ranks[item] = (change // 8 % 2, change % 8)
        heap.push(item)
        heap.trim(len(ranks))
        assert len(heap) <= 2 * len(ranks) + 16
    assert heap.first() == min(ranks, key=ranks.__getitem__)


def test_claims_that_come_and_go_leave_nothing_behind() -> None:
    """Of one client that has others too, or of many clients; whether anybody has to give way or
    not."""
    shares = FairShares()
    kept = [shares.add(bytes([client]), client, weight=1) for client in range(10)]
    claims, holders = alive(Claim), alive(Share)
    for number in range(5000):
        for client in (0, f"new {number}"):
            claim = shares.add(b"one more", client, weight=2, spare=number % 2 == 0)
            shares.reweigh(claim, number)
            if number < 2500:
                assert shares.first_of_most() in (b"one more", b"\x00")
            shares.discard(claim)
    assert (len(shares), shares.weight) == (10, 10)
    assert alive(Claim) - claims < 50
    assert alive(Share) - holders < 50
    assert shares.first_of_most() == shares.first_of_heaviest() == b"\x00"
    shares.reweigh(kept[3], 5)
    assert (shares.first_of_most(), shares.first_of_heaviest()) == (b"\x00", b"\x03")
