"""sealframe for programs without asyncio: calls that block, from any number of threads.

::

    with sealframe.sync.connect("127.0.0.1", 1234) as conn:
        conn.send(b"hello")
        print(conn.recv(timeout=5))

    with sealframe.sync.serve(handler, "127.0.0.1", 1234) as server:
        server.serve_forever()

    for conn in sealframe.sync.reconnect("127.0.0.1", 1234):
        ...

Names, arguments and errors are those of :mod:`sealframe`, without ``await``. An event loop
in one daemon thread does the work for the whole process. It starts at the first call, anew
in a child process after :func:`os.fork`, and closes what is still open, within a second or
so, when the program ends.
"""

from __future__ import annotations

from .client import Reconnecting, connect, reconnect
from .connection import Connection
from .group import Group
from .outbox import begin_anew, look
from .server import Server, serve
from .stream import Stream

__all__ = [
    "Connection",
    "Group",
    "Reconnecting",
    "Server",
    "Stream",
    "begin_anew",
    "connect",
    "look",
    "reconnect",
    "serve",
]
