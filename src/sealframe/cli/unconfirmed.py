"""Files that are here, but of which their sender may not know."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import sealframe
from sealframe import Connection, Peer

_REMEMBERED = 256


class _Arrival(NamedTuple):
    conn: Connection
    size: int
    status: os.stat_result


class Unconfirmed:
    """The latest files, until their connection is closed in order.

    Where it is lost, the word that a file has arrived may be lost with it: its sender comes
    back and sends it again. That is no reason to refuse it for its name.
    """

    def __init__(self) -> None:
        self._arrivals: OrderedDict[tuple[Peer | None, str], _Arrival] = OrderedDict()

    def note(self, offer: sealframe.files.Offer, path: Path) -> None:
        """Note that a file is there, whole."""
        try:
            status = path.lstat()
        except OSError:
            return
        key = offer.peer, offer.name
        self._arrivals[key] = _Arrival(offer.connection, offer.size, status)
        self._arrivals.move_to_end(key)
        if len(self._arrivals) > _REMEMBERED:
            self._arrivals.popitem(last=False)

    def confirmed(self, conn: Connection) -> None:
        """Forget what came on a connection: its sender knows of it."""
        for key in [key for key, arrival in self._arrivals.items() if arrival.conn is conn]:
            del self._arrivals[key]

    def comes_again(self, offer: sealframe.files.Offer, path: Path) -> bool:
        """Tell whether a file comes again, and what it was is untouched."""
        arrival = self._arrivals.get((offer.peer, offer.name))
        if arrival is None or arrival.conn is offer.connection or arrival.size != offer.size:
            return False
        try:
            now = path.lstat()
        except OSError:
            return False
        was = arrival.status
        return os.path.samestat(now, was) and now.st_mtime_ns == was.st_mtime_ns
