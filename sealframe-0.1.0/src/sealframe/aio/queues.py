"""Picks the backend of the queues that goes with the codec: compiled, or pure Python.

The queues call nothing of the public ``Connection``. Programs call ``Connection.send`` and
``recv``, which hand the call on to a queue together with its owner: the sending or the receiving
half of the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..framing import IMPLEMENTATION

if TYPE_CHECKING or IMPLEMENTATION == "python":
    from ._queues_py import ALWAYS_WAKE, InQueue, OutQueue
else:
    from ._queues import ALWAYS_WAKE, InQueue, OutQueue

__all__ = ["ALWAYS_WAKE", "InQueue", "OutQueue"]
