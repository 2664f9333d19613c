"""The protocol machine of each attempt to connect, and what verifies the key of its server."""

from __future__ import annotations

import asyncio

from ..aio.config import ConnectionConfig
from ..aio.endpoint import Endpoint
from ..aio.trace_log import trace_log
from ..core.protocol import ProtocolMachine
from ..trust.keys import PublicKey
from ..trust.known_servers import ServerVerifier
from ..wire.control import SessionHello
from .next_link import VerifyServerKey, verify_same_key


class Machines:
    """Makes those of one client, and remembers the keys that its servers have proved."""

    __slots__ = ("_config", "_server_keys")

    def __init__(self, config: ConnectionConfig) -> None:
        self._config = config
        # Verified once, a key stays the known one, even if its line is taken out of the file.
        self._server_keys: dict[str, PublicKey] = {}

    async def look_up(self, endpoint: Endpoint) -> ServerVerifier | None:
        """Return what verifies the server's key, having read what is known of it; None where it
        needs none.

        :raises KeyFileError: the file of known servers cannot be used
        :raises KeyFormatError: a line of it is wrong
        """
        verifier = self._config.server_verifier(endpoint.name)
        if verifier is not None:
            before = self._server_keys.get(endpoint.name)
            await asyncio.to_thread(verifier.look_up, before)
        return verifier

    async def record(self, endpoint: Endpoint, verifier: ServerVerifier, key: PublicKey) -> None:
        """Remember the key that a server has proved, in the file of known servers too.

        :raises KeyFileError: that file cannot be used
        """
        await asyncio.to_thread(verifier.record, key)
        self._server_keys[endpoint.name] = key

    def make(
        self,
        endpoint: Endpoint,
        verify: VerifyServerKey | None,
        id: str,
        hello: SessionHello | None,
    ) -> ProtocolMachine:
        """Return the machine of one attempt.

        :param verify: what verifies the server's key
        :param id: of its connection, for the log
        :param hello: what HELLO says of the session; None without one
        """
        return self._config.protocol(
            address=endpoint.name,
            verify_server_key=verify,
            session=hello,
            trace=trace_log(id),
        )

    async def make_next(
        self, endpoint: Endpoint, id: str, hello: SessionHello, server_key: bytes
    ) -> tuple[ProtocolMachine, ServerVerifier | None]:
        """Return the machine for a further link of a session, and what verifies the server's key.

        :param server_key: with which the session began; empty where it has not begun
        """
        verifier = await self.look_up(endpoint)
        verify = None if verifier is None else verify_same_key(verifier, server_key, endpoint.name)
        return self.make(endpoint, verify, id, hello), verifier
