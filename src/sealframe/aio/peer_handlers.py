"""The program's functions that serve the streams, requests and files of the peer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeAlias, cast

from ..errors import ConfigurationError
from ..wire import StreamKind
from .callables import is_async
from .eager import EagerStart
from .log_throttle import FAILURES, LogThrottle
from .payload_codec import BYTES, PayloadCodec
from .tasks import Tasks, start_task
from .transfers import FileTransfers

OnStream: TypeAlias = Callable[[Any], Awaitable[None]]
"""``async def on_stream(stream)``."""
OnBytes: TypeAlias = Callable[[Any, bytes], object]
"""What is called with a connection and a message, before any codec."""


class PeerHandlers:
    """Functions of the program, None for what the peer may not ask for.

    All connections of a server share one, so that the server can wait for the tasks that
    still run.

    :param on_message: called with the connection and each of its messages; an async function is
        left to who runs the tasks of an end, as :attr:`each_message`
    :param on_stream: called with each :class:`~sealframe.Stream` that the peer opens
    :param on_request: called with the connection and the payload of each request
    :param codec: of the payloads of requests, and of messages
    :param files: sends files, and receives those that the peer offers, if it does
    :raises ConfigurationError: one of them cannot be called
    """

    __slots__ = (
        "_eager",
        "_failures",
        "codec",
        "each_message",
        "files",
        "on_message",
        "on_request",
        "on_stream",
        "tasks",
    )

    def __init__(
        self,
        *,
        on_message: Callable[[Any, Any], object] | None = None,
        on_stream: OnStream | None = None,
        on_request: Callable[[Any, Any], Any] | None = None,
        files: FileTransfers | None = None,
        codec: PayloadCodec = BYTES,
    ) -> None:
        functions: dict[str, object] = {
            "on_stream": on_stream,
            "on_request": on_request,
            "on_message": on_message,
        }
        for name, function in functions.items():
            if function is not None and not callable(function):
                kind = "an async function" if name == "on_stream" else "a function, async or not"
                raise ConfigurationError(f"{name} is {function!r}; use {kind}")
        self.on_message: OnBytes | None = None
        """Called with each message as it comes, in bytes."""
        self.each_message: Callable[[Any, Any], Awaitable[None]] | None = None
        """Awaited with each message, one after the other."""
        if on_message is not None:
            if is_async(on_message):
                self.each_message = cast("Callable[[Any, Any], Awaitable[None]]", on_message)
            else:
                self.on_message = on_message if codec is BYTES else _decoding(on_message, codec)
        self.on_stream = on_stream
        self.on_request = on_request
        self.files = files
        self.codec = codec
        self.tasks: Tasks[str] = Tasks(lambda task, name: None)
        """The tasks that serve streams and requests, with their names."""
        self._eager = EagerStart()
        self._failures = LogThrottle(FAILURES)

    @property
    def calls_back(self) -> bool:
        """Whether messages go to the program's ``on_message``, or are refused."""
        return self.on_message is not None or self.each_message is not None

    def refuse_messages(self) -> None:
        """Have the first message end its connection: nothing takes any."""
        self.on_message = _refuse

    @property
    def on_file(self) -> OnStream | None:
        """Serves a stream on which the peer offers a file, None if no file is taken."""
        return None if self.files is None else self.files.on_file

    def of_kind(self, kind: int) -> OnStream | None:
        """Return what serves streams of a kind (section 8), None if nothing does."""
        match kind:
            case StreamKind.APPLICATION:
                return self.on_stream
            case StreamKind.FILE:
                return self.on_file
        return None

    @property
    def takes_streams(self) -> bool:
        """Whether the peer may open any."""
        return self.on_stream is not None or self.on_file is not None

    @property
    def takes_requests(self) -> bool:
        """Whether the peer may make any."""
        return self.on_request is not None

    def start(
        self, function: Callable[..., Coroutine[Any, Any, None]], *args: object, name: str
    ) -> asyncio.Task[None]:
        """Start a task, in the next turn of the event loop, and keep it in :attr:`tasks` until it
        is done.

        :param name: of the task
        """
        task = start_task(function, *args, name=name)
        self.tasks.add(task, name)
        return task

    def start_now(self, running: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        """Start a task whose first step runs at once where that is possible, and keep it in
        :attr:`tasks` until it is done; return None if that was all.

        :param name: of the task
        """
        task = self._eager.start(running, name)
        if task is not None:
            self.tasks.add(task, name)
        return task

    def note_failure(self) -> str | None:
        """Count a failure of the program.

        :return: what to append to the log line, None if this failure gets none
        """
        return self._failures.count(asyncio.get_running_loop().time())


def _decoding(on_message: Callable[[Any, Any], object], codec: PayloadCodec) -> OnBytes:
    decode = codec.decode

    def on_bytes(conn: Any, data: bytes) -> object:
        return on_message(conn, decode(data, conn))

    return on_bytes


class UnwantedMessageError(Exception):
    """A message came, and nothing of the program takes any."""


def _refuse(conn: Any, data: bytes) -> None:
    raise UnwantedMessageError


NO_HANDLERS: Final = PeerHandlers()
