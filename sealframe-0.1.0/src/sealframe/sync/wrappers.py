"""The blocking wrappers of connections: one for each, as long as it is used."""

from __future__ import annotations

import threading
import weakref

from ..aio.connection import AnyConnection as AsyncConnection
from .connection import AnyConnection, Connection
from .loop_thread import LoopThread


class Wrappers:
    """Maps connections to their blocking wrappers, so that all who get one get the same.

    :param thread: whose event loop the connections belong to
    """

    def __init__(self, thread: LoopThread) -> None:
        self.thread = thread
        self._lock = threading.Lock()
        self._wrappers: weakref.WeakKeyDictionary[AsyncConnection, weakref.ref[AnyConnection]]
        self._wrappers = weakref.WeakKeyDictionary()

    def wrap(self, conn: AsyncConnection) -> AnyConnection:
        """Return the wrapper of a connection; a new one if nothing refers to it any more."""
        with self._lock:
            known = self._wrappers.get(conn)
            wrapper = None if known is None else known()
            if wrapper is None:
                wrapper = Connection(self.thread, conn)
                self._wrappers[conn] = weakref.ref(wrapper)
            return wrapper
