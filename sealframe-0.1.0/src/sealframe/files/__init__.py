"""Files over connections: what a program meets when it sends and receives them.

:class:`sealframe.Inbox` and :meth:`sealframe.Connection.send_file` are what most programs
need.
"""

from __future__ import annotations

from ..aio.transfers import Progress, Receipt, Skipped
from .inbox import Inbox
from .paths import checked_name
from .receiving import Offer
from .tree import Entry, Kind, walk

__all__ = [
    "Entry",
    "Inbox",
    "Kind",
    "Offer",
    "Progress",
    "Receipt",
    "Skipped",
    "checked_name",
    "walk",
]
