"""Both ends of a blocking connection on this machine, and waits for what no event tells of."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

from aio.ends import PATIENCE, Mode

from sealframe import ClientOptions, ServerOptions, sync
from sealframe.aio.connection import protocol_of
from sealframe.sync.connection import unwrap
from sealframe.sync.loop_thread import LoopThread


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def start(
    handler: Callable[[sync.Connection], object],
    mode: Mode,
    options: ServerOptions | None = None,
    **more: Any,
) -> sync.Server:
    """Serve on loopback."""
    return sync.serve(handler, "127.0.0.1", 0, **mode.server, options=options, **more)


def dial(
    server: sync.Server[Any, Any], mode: Mode, options: ClientOptions | None = None, **more: Any
) -> sync.Connection:
    """Connect to a server that :func:`start` made."""
    return sync.connect("127.0.0.1", server.port, **mode.client, options=options, **more)


def echo(conn: sync.Connection) -> None:
    """Answer each message with itself."""
    for message in conn:
        conn.send(message)


class Pair(NamedTuple):
    """Both ends of one connection."""

    client: sync.Connection
    accepted: sync.Connection
    """The server's end; its handler does nothing until the connection is closed. Those of
    further clients read until these close."""
    server: sync.Server


@contextlib.contextmanager
def open_pair(
    mode: Mode,
    *,
    server_options: ServerOptions | None = None,
    client_options: ClientOptions | None = None,
    **more: Any,
) -> Iterator[Pair]:
    """Open a connection and hand out both ends; close both at the end.

    :param more: what else ``serve()`` takes
    """
    arrived: queue.Queue[sync.Connection] = queue.Queue()

    first = threading.Lock()

    def handler(conn: sync.Connection) -> None:
        if first.acquire(blocking=False):
            arrived.put(conn)
            conn.wait_closed()
        else:
            assert not list(conn)

    with start(handler, mode, server_options, **more) as server:
        client = dial(server, mode, client_options)
        accepted = arrived.get(timeout=PATIENCE)
        try:
            yield Pair(client, accepted, server)
        finally:
            closing = in_thread(accepted.close)
            client.close()
            closing.join(PATIENCE)


def send_numbers(conn: sync.Connection, count: int) -> None:
    """Send 0, 1, 2 and so on, each as a message."""
    for number in range(count):
        conn.send(b"%d" % number)


def in_thread(function: Callable[..., object], *args: object) -> threading.Thread:
    """Call a function in a thread; return the thread."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


@contextlib.contextmanager
def interrupted_late() -> Iterator[None]:
    """Have each call take back what it returns, as one does that Ctrl-C hits at its very end."""
    run = LoopThread.run

    def run_and_undo(
        self: LoopThread,
        work: Callable[[], Awaitable[Any]],
        *,
        timeout: float | None = None,
        undo: Callable[[Any], None] | None = None,
    ) -> Any:
        result = run(self, work, timeout=timeout)
        if undo is not None:
            self.call(partial(undo, result))
        return result

    with mock.patch.object(LoopThread, "run", run_and_undo):
        yield


def is_waiting(conn: sync.Connection) -> bool:
    """Return whether somebody waits for a message."""
    return bool(protocol_of(unwrap(conn)).receiver.queue.waiters)
