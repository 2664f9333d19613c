"""What a server makes for each connection that it accepts."""

from __future__ import annotations

import itertools
import secrets

from ..aio.addresses import Address
from ..aio.callback_connection import connection_maker
from ..aio.config import ConnectionConfig
from ..aio.connection import AnyConnection
from ..aio.connection_owner import ConnectionOwner
from ..aio.connection_protocol import ConnectionProtocol
from ..aio.hooks import Hooks
from ..aio.keepalive_timer import keepalive_wheel
from ..aio.peer_handlers import PeerHandlers
from ..aio.session_protocol import SessionProtocol
from ..aio.taking_connection import taking_connection_maker
from ..aio.trace_log import trace_log
from ..core.budget import Budget
from ..options import ServerOptions
from .groups import Memberships


class ConnectionMaker:
    """Makes the connections of one server, each with an id of its own.

    :param memberships: what says of a connection in which groups it is
    :param budget: what their receive queues share
    """

    def __init__(
        self,
        config: ConnectionConfig,
        options: ServerOptions,
        hooks: Hooks,
        peer_handlers: PeerHandlers,
        memberships: Memberships,
        budget: Budget,
    ) -> None:
        self._config = config
        self._options = options
        self._hooks = hooks
        self._peer_handlers = peer_handlers
        self._memberships = memberships
        self._budget = budget
        counts = config.sessions is not None and config.sessions.counts_taken
        self._protocol = ConnectionProtocol if config.sessions is None else SessionProtocol
        self._connection = (taking_connection_maker if counts else connection_maker)(
            peer_handlers.codec, calls_back=peer_handlers.calls_back
        )
        self._keepalive_wheel = keepalive_wheel(options)
        # A counter behind a random prefix: unique over restarts and over several servers.
        self._ids = map(f"{secrets.token_hex(3)}-{{}}".format, itertools.count(1))

    def make(
        self, owner: ConnectionOwner, addresses: tuple[Address, Address] | None
    ) -> tuple[ConnectionProtocol, AnyConnection]:
        """Return the protocol of a new connection, and what programs see of it.

        :param owner: is told how it goes
        :param addresses: the client's and that of this end, where a balancer stands between them
        """
        id = next(self._ids)
        protocol = self._protocol(
            self._config.protocol(client_id=id, trace=trace_log(id)),
            self._options,
            owner,
            id=id,
            handlers=self._peer_handlers,
            budget=self._budget,
            keepalive_wheel=self._keepalive_wheel,
            addresses=addresses,
        )
        return protocol, self._connection(protocol, groups=self._memberships, hooks=self._hooks)
