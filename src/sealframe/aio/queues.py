"""Picks the queues that go with the codec: both compiled, or both in pure Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..framing import IMPLEMENTATION

if TYPE_CHECKING or IMPLEMENTATION == "python":
    from ._queues_py import ANYHOW, InQueue, OutQueue
else:
    from ._queues import ANYHOW, InQueue, OutQueue

__all__ = ["ANYHOW", "InQueue", "OutQueue"]
