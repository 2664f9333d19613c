"""Reads a fuzzer's bytes as a series of decisions."""

from __future__ import annotations


class Choices:
    """Decisions, one after the other; all zero once the bytes are used up.

    The bytes are read from the front only and each decision takes a fixed number of them,
    so that a small change of the input is a small change of what happens.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def more(self) -> bool:
        """Whether there are bytes left."""
        return self._place < len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes, or as many as there are."""
        taken = self._data[self._place : self._place + size]
        self._place += size
        return taken

    def number(self, limit: int) -> int:
        """Return a number from 0 to ``limit - 1``; it takes as many bytes as the limit needs."""
        size = max(1, ((limit - 1).bit_length() + 7) // 8)
        return int.from_bytes(self.take(size), "little") % limit

    def piece(self) -> bytes:
        """Return up to 255 bytes: a size, then that many."""
        return self.take(self.number(256))

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self._data))
