"""The clients of one server: who is there, in which groups, and how one is put out."""

from __future__ import annotations

import logging

from ..aio.connection import AnyConnection, protocol_of
from ..aio.trace_log import seal_name
from ..errors import ConnectionClosedError
from ..trust.authorized import AuthorizedClients
from ..wire import CloseCode
from ..wire.control import Close
from .groups import Memberships
from .revocation import Revocation

logger = logging.getLogger("sealframe.server")


class Clients:
    """Those that are registered: their handshake is done, and their handler is not.

    :param clients_file: what is read from the file of clients; None where there is none
    :ivar by_id: the connections
    :ivar memberships: of these connections in groups
    :ivar revocation: puts out whose key is taken out of the file; None where there is none
    """

    __slots__ = ("by_id", "memberships", "revocation")

    def __init__(self, clients_file: AuthorizedClients | None) -> None:
        self.by_id: dict[str, AnyConnection] = {}
        self.memberships = Memberships()
        self.revocation = None if clients_file is None else Revocation(clients_file)

    def add(self, conn: AnyConnection) -> None:
        """Register a client."""
        self.by_id[conn.id] = conn
        logger.debug("registered client %s, %s", conn.id, seal_name(protocol_of(conn).machine))
        if self.revocation is not None:
            self.revocation.add(conn)

    def remove(self, conn: AnyConnection) -> bool:
        """Unregister a connection, when its handler is done, and when its socket is gone; return
        whether it was registered until now."""
        was_there = self.by_id.pop(conn.id, None) is not None
        if was_there:
            logger.debug("unregistered client %s", conn.id)
        return was_there

    def kick(self, id: str, reason: str) -> bool:
        """Put a client out, and tell it why; see :meth:`sealframe.Server.kick`.

        :return: whether it was there
        """
        conn = self.by_id.get(id)
        if conn is None:
            return False
        text = "the client was kicked" + (f": {reason}" if reason else "")
        error = ConnectionClosedError(text, code=CloseCode.KICKED, reason=reason)
        protocol_of(conn).closer.put_out(error, Close(CloseCode.KICKED, reason))
        return True
