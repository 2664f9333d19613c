"""One connection to one NATS server: nats-py's client, where it needs a hand.

With :mod:`.nats_stream` the only module that imports nats. A client connects once and never again:
when its connection is over, :class:`.nats_link.NatsLink` makes another. nats-py's own reconnecting
would send what it had kept meanwhile, give up for good after some errors of the server, and wait
for ever for a hung server to read what was written before it goes to the next one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

from nats import errors
from nats.aio.client import Client

from ..aio.writing import write_buffers
from .nats_servers import NatsServers

logger = logging.getLogger("sealframe.cluster")

_PING_INTERVAL: Final = 1
_OUTSTANDING_PINGS: Final = 2
"""A server that hangs is noticed after 2 to 3 s: a PING each second, the third unanswered."""
_UNWRITTEN: Final = 512 * 1024
"""Bytes that may wait at the socket: what is written beyond them waits before it."""
_CLOSE_TIMEOUT: Final = 1.0
"""Seconds for nats-py to end its tasks, once its socket is gone."""

Received: TypeAlias = Callable[[bytes, str], None]
"""Called with a message and the subject that an answer goes to, "" for none."""


class NatsClient(Client):
    """A connection to one server of NATS.

    :param changed: called when something happened that may have ended it
    """

    def __init__(self, servers: NatsServers, changed: Callable[[], None]) -> None:
        super().__init__()
        self.refusal = ""
        """The last error that the server or the network had for us."""
        self._servers = servers
        self._changed = changed
        self._listeners: dict[bytes, Received] = {}

    async def open(self, url: str, name: str, inbox: str, tls_name: str | None) -> None:
        """Connect, and be let in.

        :param inbox: a subject: answers to probes come below it
        :param tls_name: the name in the server's certificate, where it is not that of the URL
        :raises OSError: it did not come about; also its subclass TimeoutError
        :raises ImportError: a key needs the package nkeys
        """
        servers = self._servers

        async def on_error(error: Exception) -> None:
            self.refusal = _said(error)
            logger.debug("NATS: %s", error)
            self._changed()

        async def on_end() -> None:
            self._changed()

        try:
            await self.connect(
                servers=[url],
                name=name,
                error_cb=on_error,
                disconnected_cb=on_end,
                closed_cb=on_end,
                allow_reconnect=False,
                # Zero would be for ever. It tries twice, without a pause.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                ping_interval=_PING_INTERVAL,
                max_outstanding_pings=_OUTSTANDING_PINGS,
                inbox_prefix=inbox,
                user=servers.user,
                password=servers.password,
                token=servers.token,
                nkeys_seed=None if servers.nkey_file is None else str(servers.nkey_file),
                user_credentials=servers.credentials_file,
                tls=servers.tls,
                tls_hostname=tls_name,
            )
            self._check_tls()
            socket = self._socket()
            if socket is None:
                raise ConnectionError("the connection ended")
            socket.set_write_buffer_limits(_UNWRITTEN)
        except errors.Error as error:
            # That there are no servers left says less than the error before.
            raise ConnectionError(self.refusal or _said(error)) from None

    @property
    def hung(self) -> bool:
        """Whether it is over since the server did not answer any more."""
        error = self.last_error
        # An end of the stream is one of these to nats-py, too.
        return isinstance(error, errors.StaleConnectionError) and not isinstance(
            error, errors.UnexpectedEOF
        )

    async def listen(self, subject: str, received: Received) -> None:
        """Subscribe. An exception of the callback is logged."""
        self._listeners[subject.encode()] = received
        await self.subscribe(subject)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        """Called by nats-py's parser. It would hand the message to a task, a turn later."""
        received = self._listeners.get(subject)
        if received is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        try:
            received(data, reply.decode())
        except Exception:
            logger.exception("a message from NATS could not be taken in")

    @property
    def writable(self) -> bool:
        """Whether :meth:`write` has room: at most 512 KiB wait at the socket."""
        socket = self._socket()
        return socket is not None and socket.get_write_buffer_size() <= _UNWRITTEN

    def write(self, subject: str, data: bytes) -> None:
        """Publish within this turn; nats-py's ``publish`` leaves it to a task."""
        socket = self._socket()
        if socket is not None:
            head = f"PUB {subject} {len(data)}\r\n".encode()
            write_buffers(socket, [head, data, b"\r\n"] if data else [head + b"\r\n"])

    async def drained(self) -> bool:
        """Wait until the socket takes more; return False once it is gone."""
        writer = self._writer()
        if writer is not None:
            with suppress(OSError):
                await writer.drain()
        return self._socket() is not None

    async def ask(self, subject: str, timeout: float, question: bytes = b"") -> bytes | None:
        """Ask whoever listens to a subject, for a sign of life where there is no question.

        :param timeout: seconds
        :return: the answer; None if nobody listens, as far as this node of NATS knows
        :raises TimeoutError: there was no answer
        """
        try:
            answer = await self.request(subject, question, timeout=timeout)
        except errors.NoRespondersError:
            return None
        except errors.Error as error:
            raise TimeoutError(str(error)) from None
        return answer.data

    async def written(self, timeout: float) -> None:
        """Wait until the server has read all that was published, at the end: whether it does not in
        time, the client is of no use any more."""
        with suppress(errors.Error):
            await self.flush(timeout)  # type: ignore[arg-type]

    async def discard(self) -> None:
        """End it at once, its socket and its tasks; what it had not yet written is dropped."""
        writer = self._writer()
        if writer is None:
            # It never came to a socket, and to what needs one.
            return
        # Or its close would wait for a hung server to read.
        writer.transport.abort()
        tasks: list[asyncio.Task[Any] | None] = [
            *(sub._wait_for_msgs_task for sub in self._subs.values()),
            *(self._reading_task, self._ping_interval_task, self._flusher_task),
        ]
        # It still writes what is left. There uvloop raises RuntimeError, and asyncio AttributeError
        # before 3.12.9 and 3.13.2.
        with suppress(OSError, errors.Error, TimeoutError, RuntimeError, AttributeError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self.close()
        # Its close fails before it comes to some of them, where something was left to be written.
        left = {task for task in tasks if task is not None and not task.done()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_CLOSE_TIMEOUT)
        self._let_go()

    def _let_go(self) -> None:
        """Let those go on who wait until more than 2 MiB are written, without a time-out: what
        would have told them is gone."""
        waiting = self._flush_queue
        while waiting is not None and not waiting.empty():
            flushed = waiting.get_nowait()
            if not flushed.done():
                flushed.set_result(None)

    def _connect_command(self) -> bytes:
        """Called for CONNECT, which has the credentials."""
        self._check_tls()
        return super()._connect_command()

    def _check_tls(self) -> None:
        """nats-py speaks TLS where the server's greeting wants it, which anybody on the way can
        change."""
        writer = self._writer()
        secured = writer is not None and writer.get_extra_info("ssl_object") is not None
        if self._servers.wants_tls and not secured:
            raise errors.SecureConnWantedError

    def _socket(self) -> asyncio.WriteTransport | None:
        """The transport, None once it is closed."""
        writer = self._writer()
        return None if writer is None or writer.is_closing() else writer.transport

    def _writer(self) -> asyncio.StreamWriter | None:
        writer: asyncio.StreamWriter | None = getattr(self._transport, "_io_writer", None)
        return writer


def _said(error: Exception) -> str:
    """Return what an error is about, without its number and nats-py's name."""
    # The numbers of TLS, and of names that are not found, are others.
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)
    return str(error).removeprefix("nats: ").strip("'")
