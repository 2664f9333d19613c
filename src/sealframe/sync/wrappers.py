"""The blocking twins of connections: one for each, as long as it is used."""

from __future__ import annotations

import threading
import weakref

from ..aio.connection import AnyConnection as AsyncConnection
from .connection import AnyConnection, Connection
from .loop_thread import LoopThread


class Twins:
    """Finds the blocking twin of a connection, so that all who get one get the same.

    :param thread: whose event loop the connections belong to
    """

    def __init__(self, thread: LoopThread) -> None:
        self.thread = thread
        self._lock = threading.Lock()
        self._twins: weakref.WeakKeyDictionary[AsyncConnection, weakref.ref[AnyConnection]]
        self._twins = weakref.WeakKeyDictionary()

    def twin(self, conn: AsyncConnection) -> AnyConnection:
        """Return the twin; it is made anew where nobody has one any more."""
        with self._lock:
            known = self._twins.get(conn)
            twin = None if known is None else known()
            if twin is None:
                twin = Connection(self.thread, conn)
                self._twins[conn] = weakref.ref(twin)
            return twin
