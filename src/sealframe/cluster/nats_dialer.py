"""Finds a node of NATS that lets this server in."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..errors import ClusterError, ClusterUnavailableError, MissingExtraError, SealframeError
from .nats_servers import NatsServers

if TYPE_CHECKING:
    from .nats_client import NatsClient, Received

logger = logging.getLogger("sealframe.cluster")

ATTEMPT_TIMEOUT: Final = 2.0
"""Seconds for one node of NATS: five round trips, and its certificate."""
PAUSES: Final = (0.05, 0.1, 0.2, 0.4)
"""Seconds after each round of all nodes in vain; the last one from then on. Up to half of it less,
so that servers which lost NATS together do not come back together."""
_REFUSED: Final = re.compile(
    "authorization violation|authentication (?!timeout)|permissions violation|certificate|"
    "secure connection not available",
    re.IGNORECASE,
)
"""What no retry cures: wrong credentials, too few rights, TLS that is not what was asked for."""


class NatsDialer:
    """Makes connections, one after the other, each to a node that was found to carry messages.

    :param presence: the subject that all servers listen to
    :param subject: this server's own
    :param take_presence: called with each message to ``presence``
    :param take_message: called with the connection and each message to ``subject``, the first ones
        maybe before :meth:`find` returns
    :ivar changed: set whenever something happened to the connection
    :ivar discovered: URLs of further nodes, as NATS told them
    :ivar trouble: why no connection came about; empty once one did
    """

    def __init__(
        self,
        servers: NatsServers,
        name: str,
        presence: str,
        subject: str,
        take_presence: Received,
        take_message: Callable[[NatsClient, bytes, str], None],
    ) -> None:
        self.changed = asyncio.Event()
        self.discovered: list[str] = []
        self.trouble = ""
        self._servers = servers
        self._name = name
        self._presence = presence
        self._subject = subject
        self._take_presence = take_presence
        self._take_message = take_message

    async def find(
        self, *, first: bool = False, lost: str = "", hung: bool = False
    ) -> tuple[NatsClient, str]:
        """Connect to any node; go on until it is done.

        :param first: a refusal ends it
        :param lost: the node that is tried after the others
        :param hung: it does not answer, and is tried last of all
        """
        rounds = 0
        while True:
            for url in self._order(lost, hung):
                _check_cancelled()
                try:
                    client = await self._attempt(url)
                except ClusterUnavailableError as error:
                    self.trouble = str(error)
                    logger.debug("%s", error)
                except ClusterError as error:
                    if first:
                        raise
                    if self.trouble != str(error):
                        logger.warning("%s", error)
                    self.trouble = str(error)
                else:
                    self.trouble = ""
                    return client, url
            pause = PAUSES[min(rounds, len(PAUSES) - 1)]
            rounds += 1
            await asyncio.sleep(pause * random.uniform(0.5, 1))

    def _order(self, lost: str, hung: bool) -> list[str]:
        others = [url for url in self._servers.urls if url != lost]
        random.shuffle(others)
        discovered = [url for url in self.discovered if url not in (*self._servers.urls, lost)]
        random.shuffle(discovered)
        again = [lost] if lost else []
        return others + (discovered + again if hung else again + discovered)

    async def _attempt(self, url: str) -> NatsClient:
        """Connect to one node, subscribe, and hear ourselves.

        :raises ClusterUnavailableError: it cannot be reached
        :raises ClusterError: it does not let us in
        """
        from .nats_client import NatsClient

        client = NatsClient(self._servers, self.changed.set)
        # The certificate of a node that another one told of is for the name that we know.
        tls_name = None if url in self._servers.urls else self._host()
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT):
                await client.open(url, self._name, f"{self._subject}.answers", tls_name)
                await self._hear_ourselves(client)
        except BaseException as error:
            await client.discard()
            if isinstance(error, Exception):
                raise _explained(url, error, client.refusal) from None
            raise
        return client

    async def _hear_ourselves(self, client: NatsClient) -> None:
        heard = False

        def take(data: bytes, reply: str) -> None:
            nonlocal heard
            if heard or data or reply:
                self._take_message(client, data, reply)
            else:
                heard = True
                self.changed.set()

        await client.listen(self._presence, self._take_presence)
        await client.listen(self._subject, take)
        await client.publish(self._subject)
        while not heard:
            if client.refusal:
                raise ConnectionError(client.refusal)
            self.changed.clear()
            await self.changed.wait()

    def _host(self) -> str:
        return self._servers.urls[0].partition("://")[2].rpartition(":")[0].strip("[]")


def _check_cancelled() -> None:
    """nats-py takes a cancellation in some places, such as its close, and goes on."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _explained(url: str, error: Exception, refusal: str) -> SealframeError:
    said = refusal or str(error) or "no answer"
    if _REFUSED.search(said):
        return ClusterError(f"NATS at {url} does not let this server in: {said}")
    if isinstance(error, ImportError):
        return _missing("nkeys")
    if isinstance(error, OSError):
        return ClusterUnavailableError(f"NATS at {url} cannot be used now: {said}")
    # Whatever the libraries raise for a malformed key: their texts are not for a log.
    return ClusterError(
        f"cannot log in to NATS at {url}: {type(error).__name__}: look at nkey_file and "
        "credentials_file"
    )


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError(
        f'a cluster needs the package {package}: run: pip install "sealframe[cluster]"'
    )


def require() -> None:
    """Check that nats-py is installed.

    :raises MissingExtraError: it is not
    """
    try:
        from . import nats_client  # noqa: F401 - whether it can be imported
    except ImportError as error:
        raise _missing("nats-py") from error
