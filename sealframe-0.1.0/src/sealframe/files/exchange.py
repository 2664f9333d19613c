"""What both ends of a transfer do with its stream."""

from __future__ import annotations

from collections.abc import Callable

from ..aio.stream import Stream, endpoint_of
from .messages import MalformedError
from .worker import Worker


async def read_exactly(stream: Stream, size: int) -> bytes:
    """Return exactly so many bytes.

    :raises MalformedError: the other end ended the stream before
    """
    data = b""
    while len(data) < size:
        piece = await stream.read(size - len(data))
        if not piece:
            raise MalformedError("the stream ended too early")
        data += piece
    return data


def watching(worker: Worker, stream: Stream) -> Callable[[int], None]:
    """Return what long work in the worker's thread calls after each step.

    It raises what ends that work: :exc:`.StoppedError` once nobody waits for it, or the error
    of a stream that was reset or whose connection is gone.
    """

    def watch(_: int) -> None:
        worker.check()
        endpoint_of(stream).check()

    return watch
