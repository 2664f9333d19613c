"""Files over connections: what is sent, how it goes over, and the directory that receives.

:class:`Inbox` and :meth:`sealframe.Connection.send_file` are what most programs need.
:class:`Store`, :class:`Source` and :func:`walk` are the side of the disk: they wait for it,
and know no network.
"""

from __future__ import annotations

from .digest import Algorithm, available
from .inbox import Inbox
from .partial import Partial
from .paths import checked_name
from .progress import Progress, Receipt, Skipped
from .receiving import Offer
from .source import Source
from .store import Store
from .tree import Entry, Kind, walk

__all__ = [
    "Algorithm",
    "Entry",
    "Inbox",
    "Kind",
    "Offer",
    "Partial",
    "Progress",
    "Receipt",
    "Skipped",
    "Source",
    "Store",
    "available",
    "checked_name",
    "walk",
]
