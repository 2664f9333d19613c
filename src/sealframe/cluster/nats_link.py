"""The way to the other servers: two subjects of NATS, and a connection that comes back by itself.

.. code-block:: text

    publish() -> NatsWriter -> NatsClient -> NATS -> on_presence(), on_message()
                     |
                   room()  waits while more than 8 MiB are queued

A :class:`.nats_client.NatsClient` is one connection to one node of NATS. Once it is over, what was
queued is dropped and counted, and a new one is made, to another node first. It is taken into use
when a message to ourselves has come back through it: then it is known that what we publish arrives.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ..errors import (
    ClusterError,
    ClusterUnavailableError,
    ConfigurationError,
    MessageTooLargeError,
)
from .events import ProbeOutcome
from .nats_dialer import PAUSES, NatsDialer, require
from .nats_servers import NatsServers
from .nats_writer import NatsWriter

if TYPE_CHECKING:
    from .nats_client import NatsClient

logger = logging.getLogger("sealframe.cluster")

_LOOK_EVERY: Final = 0.25
"""Seconds between looks at nats-py: it does not tell of each end, such as that of a close of its
own which waits for a hung server to read."""
_FAREWELL: Final = 1.0
"""Seconds of :meth:`NatsLink.close` for what is queued to get to NATS."""
_MAX_PAYLOAD: Final = 1024 * 1024
"""Of NATS, unless it is configured otherwise; until it has told."""

_JETSTREAM_TIMEOUT: Final = 2.0
"""Seconds for one answer of JetStream."""

_SUBJECT: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class NatsLink:
    """This server's connection to NATS: used from one event loop.

    All callbacks are plain functions, called within nats-py's own tasks. One that raises is logged.

    :param servers: where NATS is
    :param name: of this server, for those who look at NATS's own list of connections
    :param presence: the subject that all servers listen to
    :param subject: the one that is this server's own
    :param on_presence: called with each message to ``presence``, our own ones too
    :param on_message: called with each message to ``subject``, in the order in which one server
        sent them. Probes are answered here, and not handed on
    :param on_connected: called with True and False when the connection to NATS is there and lost
    :param on_question: called with what somebody asks this server; returns the answer
    :ivar dropped: messages that were accepted and given to no connection
    :raises ConfigurationError: a subject has characters that mean something to NATS
    """

    def __init__(
        self,
        servers: NatsServers,
        *,
        name: str,
        presence: str,
        subject: str,
        on_presence: Callable[[bytes], None],
        on_message: Callable[[bytes], None],
        on_connected: Callable[[bool], None],
        on_question: Callable[[bytes], bytes] = lambda _: b"",
    ) -> None:
        check_subject(presence)
        check_subject(subject)
        self.dropped = 0
        self._servers = servers
        self._dialer = NatsDialer(
            servers, name, presence, subject, self._take_presence, self._take_message
        )
        self._on_presence = on_presence
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_question = on_question
        self._client: NatsClient | None = None
        # The same, until its socket and tasks are gone.
        self._held: NatsClient | None = None
        self._writer: NatsWriter | None = None
        self._url = ""
        self._max_payload = _MAX_PAYLOAD
        self._supervisor: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self, timeout: float) -> None:
        """Connect for the first time; from then on the connection comes back by itself.

        :param timeout: seconds for all nodes of NATS
        :raises ClusterUnavailableError: NATS cannot be reached in time
        :raises ClusterError: NATS does not let us in, or not to the subjects; its TLS is not as
            asked for; the file with a key or credentials is malformed
        :raises MissingExtraError: nats-py is not installed
        """
        if self._closed or self._supervisor is not None:
            raise ClusterError("a connection to NATS is opened once: make another one")
        require()
        try:
            async with asyncio.timeout(timeout):
                client, url = await self._dialer.find(first=True)
        except TimeoutError:
            trouble = self._dialer.trouble or f"no answer from {', '.join(self._servers.urls)}"
            raise ClusterUnavailableError(
                f"NATS cannot be reached within {timeout:g} s: {trouble}"
            ) from None
        self._take(client, url)
        self._supervisor = asyncio.create_task(self._supervise(client, url), name="sealframe-nats")

    @property
    def connected(self) -> bool:
        """Whether what is published goes to NATS. A server that hangs is noticed within 3 s."""
        return self._client is not None and self._client.is_connected

    @property
    def url(self) -> str:
        """The node of NATS that has the connection; without one, the last that had it."""
        return self._url

    @property
    def max_payload(self) -> int:
        """The largest message that NATS takes, in bytes."""
        return self._max_payload

    @property
    def queued(self) -> int:
        """Bytes that wait to be written."""
        return 0 if self._writer is None else self._writer.queued

    @property
    def refusal(self) -> str:
        """The last error that the present node of NATS had for us, "" for none."""
        return "" if self._client is None else self._client.refusal

    def jetstream(self) -> Any:
        """Return nats-py's JetStream over the present connection.

        :raises ClusterUnavailableError: NATS is away
        """
        if self._client is None or not self.connected:
            raise self._unavailable()
        return self._client.jetstream(timeout=_JETSTREAM_TIMEOUT)

    def publish(self, subject: str, data: bytes) -> None:
        """Publish without waiting. It arrives at most once, in the order of the calls.

        :raises ClusterUnavailableError: NATS is away, or takes so little that 64 MiB wait
        :raises MessageTooLargeError: NATS does not take so large a message
        :raises ConfigurationError: the subject has characters that mean something to NATS
        """
        if self._writer is None or not self.connected:
            raise self._unavailable()
        if len(data) > self._max_payload:
            raise MessageTooLargeError(len(data), self._max_payload)
        check_subject(subject)
        self._writer.publish(subject, data)

    async def room(self) -> None:
        """Wait until at most 8 MiB are queued, as a sender does that can wait.

        :raises ClusterUnavailableError: NATS is away
        """
        if self._writer is not None:
            await self._writer.room()
        if not self.connected:
            raise self._unavailable()

    async def probe(self, subject: str, timeout: float) -> ProbeOutcome:
        """Ask the server whose own subject this is for a sign of life.

        :param timeout: seconds
        """
        check_subject(subject)
        try:
            answer = await self.ask(subject, b"", timeout)
        except TimeoutError:
            return ProbeOutcome.SILENCE
        return ProbeOutcome.NO_RESPONDERS if answer is None else ProbeOutcome.ANSWERED

    async def ask(self, subject: str, question: bytes, timeout: float) -> bytes | None:
        """Ask the server whose own subject this is.

        :param question: empty for a sign of life
        :param timeout: seconds
        :return: what its ``on_question`` has returned; None if nobody listens
        :raises TimeoutError: there was no answer, or NATS is away
        """
        client = self._client
        if client is None or not client.is_connected:
            raise TimeoutError("NATS is away")
        return await client.ask(subject, timeout, question)

    async def close(self) -> None:
        """Write what is queued, if NATS takes it within a second, and end the connection.

        Afterwards no callback is called. Closing twice is harmless.
        """
        self._closed = True
        supervisor = self._supervisor
        if supervisor is None:
            return
        try:
            if self._client is not None and self._writer is not None:
                await self._write_all(self._client, self._writer)
        finally:
            # Once: a second one would end it before it has cleaned up.
            supervisor.cancel()
            await asyncio.wait([supervisor])
            # It may have been in the middle of it, or not have begun.
            await self._release()

    async def _write_all(self, client: NatsClient, writer: NatsWriter) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await writer.idle()
                await client.written(_FAREWELL)

    # Connecting.

    async def _supervise(self, client: NatsClient, url: str) -> None:
        """Keep the connection until :meth:`close`; another one after each that is lost."""
        loop = asyncio.get_running_loop()
        # nats-py takes a cancellation in some places, and goes on.
        while not self._closed:
            taken = loop.time()
            await self._until_over(client)
            await self._release()
            reason = client.last_error or "the connection ended"
            logger.warning("NATS at %s is lost: %s; looking for it", url, reason)
            # A node that throws us out as soon as we are in is not asked without a pause.
            await asyncio.sleep(max(0, taken + PAUSES[-1] - loop.time()))
            client, url = await self._dialer.find(lost=url, hung=client.hung)
            self._take(client, url)
            logger.info("NATS is back, at %s", url)

    async def _until_over(self, client: NatsClient) -> None:
        while client.is_connected:
            self._dialer.changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._dialer.changed.wait()

    def _take(self, client: NatsClient, url: str) -> None:
        """Use a connection from now on."""
        self._client = self._held = client
        self._url = url
        self._max_payload = client.max_payload
        logger.debug("connected to NATS at %s, messages up to %d bytes", url, client.max_payload)
        self._writer = NatsWriter(client)
        self._tell(True)

    async def _release(self) -> None:
        """End the connection in use. Called again, it does what a cancellation has left."""
        client, writer = self._held, self._writer
        if client is None or writer is None:
            return
        if self._client is not None:
            self._client = None
            self._dialer.discovered = [uri.geturl() for uri in client.discovered_servers]
            self.dropped += writer.drop()
            self._tell(False)
        await client.discard()
        await writer.close()
        self._held = self._writer = None

    def _tell(self, connected: bool) -> None:
        if not self._closed:
            try:
                self._on_connected(connected)
            except Exception:
                logger.exception("on_connected failed")

    def _unavailable(self) -> ClusterUnavailableError:
        if self._closed:
            return ClusterUnavailableError("the connection to NATS is closed")
        why = f" ({self._dialer.trouble})" if self._dialer.trouble else ""
        return ClusterUnavailableError(
            f"NATS is away, and with it all other servers{why}: it is looked for; try again once "
            "connected is True"
        )

    # What comes.

    def _take_presence(self, data: bytes, reply: str) -> None:
        if not self._closed:
            self._on_presence(data)

    def _take_message(self, client: NatsClient, data: bytes, reply: str) -> None:
        if reply:
            # A probe is a question without a text. The answer arrives at most once, as all else.
            answer = self._on_question(data) if data else b""
            if self._writer is not None:
                self._writer.answer(reply, answer)
            elif client.writable:
                # It is heard through, and in use in a moment: the writer comes with that.
                client.write(reply, answer)
        elif not self._closed:
            self._on_message(data)


@functools.lru_cache(maxsize=1024)
def check_subject(subject: str) -> None:
    """Check that a subject is plain: NATS gives a meaning to dots, ``*``, ``>`` and spaces, and
    nats-py publishes empty tokens, which no subscription gets.

    :raises ConfigurationError: it is not
    """
    if not _SUBJECT.fullmatch(subject):
        raise ConfigurationError(
            f"{subject!r} cannot be a subject of NATS: letters, digits, - and _, in parts with one "
            "dot between them"
        )
