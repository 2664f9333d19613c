"""Picks the backend of the fast paths that goes with the codec: compiled, or pure Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..framing import IMPLEMENTATION

if TYPE_CHECKING or IMPLEMENTATION == "python":
    from ._fast_path_py import Counters, ReadPath, ReceivePath, SendPath
else:
    from ._fast_path import Counters, ReadPath, ReceivePath, SendPath

__all__ = ["Counters", "ReadPath", "ReceivePath", "SendPath"]
