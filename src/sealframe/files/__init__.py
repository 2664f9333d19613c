"""Files, on the disk of either end: what is sent, and the directory that receives.

Everything here waits for the disk and knows no network.
"""

from __future__ import annotations

from .digest import Algorithm, available
from .partial import Partial
from .paths import checked_name
from .source import Source
from .store import Store
from .tree import Entry, Kind, walk

__all__ = [
    "Algorithm",
    "Entry",
    "Kind",
    "Partial",
    "Source",
    "Store",
    "available",
    "checked_name",
    "walk",
]
