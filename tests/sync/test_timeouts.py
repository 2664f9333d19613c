"""``timeout=``: the wait ends, nothing is lost."""

from __future__ import annotations

import contextlib
import itertools
import math
import queue
import socket
import struct
import threading
import time

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import (
    ClientOptions,
    HandshakeTimeoutError,
    SealframeError,
    ServerOptions,
    WaitTimeoutError,
    sync,
)
from sealframe.aio.connection import protocol_of
from sealframe.sync.connection import unwrap

from .ends import in_thread, open_pair, send_numbers, start, until

SHORT = 0.02
KIB = 1024


def test_a_recv_that_timed_out_leaves_the_message(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, _):
        for timeout in (SHORT, 0, -1, 0.0):
            with pytest.raises(WaitTimeoutError, match="not done within timeout"):
                client.recv(timeout=timeout)
            with pytest.raises(WaitTimeoutError):
                client.recv_many(timeout=timeout)
        accepted.send_many([b"one", b"two", b"three"])
        assert client.recv(timeout=PATIENCE) == b"one"
        assert client.recv(timeout=math.inf) == b"two"
        # What is there is there without any time.
        until(lambda: client.stats.messages_received == 3)
        assert client.recv(timeout=0) == b"three"


def test_what_came_while_the_event_loop_was_held_up_counts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with sync.connect("127.0.0.1", port) as client, listener.accept()[0] as peer:

            def hold_up() -> None:
                # RST
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()
                time.sleep(4 * SHORT)

            # Whenever the wait began: both timers fire in this order, or in two turns.
            loop = protocol_of(unwrap(client)).loop
            loop.call_soon_threadsafe(loop.call_later, SHORT / 2, hold_up)
            client.wait_closed(timeout=SHORT)
            assert client.closed


def test_its_error_is_a_timeout_of_this_package() -> None:
    with open_pair(Mode()) as (client, _, _):
        with pytest.raises(TimeoutError) as caught:
            client.recv(timeout=0)
        assert isinstance(caught.value, SealframeError)
        assert caught.value.__context__ is None


def test_no_message_is_lost_however_often_a_recv_times_out(mode: Mode) -> None:
    count = 500
    with open_pair(mode) as (client, accepted, _):
        sending = in_thread(send_numbers, accepted, count)
        got: list[bytes] = []
        while len(got) < count:
            try:
                got.append(client.recv(timeout=0.0002 * (len(got) % 3)))
            except TimeoutError:
                continue
        sending.join(PATIENCE)
        assert got == [b"%d" % n for n in range(count)]


def test_a_send_that_timed_out_was_not_accepted(mode: Mode) -> None:
    full = ClientOptions(outbox_limit=1)
    narrow = ServerOptions(inbox_limit=1)
    with open_pair(mode, client_options=full, server_options=narrow) as (client, accepted, _):
        sent = 0
        with pytest.raises(WaitTimeoutError):
            while True:
                client.send(b"%8d" % sent + bytes(256 * KIB), timeout=0.2)
                sent += 1
        with pytest.raises(WaitTimeoutError):
            client.send_many([b"never", b"never"], timeout=SHORT)
        got: list[bytes] = []
        while len(got) < sent:
            got.append(accepted.recv(timeout=PATIENCE)[:8])
        client.send(b"further")
        assert accepted.recv(timeout=PATIENCE) == b"further"
        assert got == [b"%8d" % number for number in range(sent)]


def test_the_wait_for_a_close(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, server):
        with pytest.raises(WaitTimeoutError):
            client.wait_closed(timeout=SHORT)
        with pytest.raises(WaitTimeoutError):
            server.wait_closed(timeout=SHORT)
        assert not accepted.closed


def test_a_close_goes_on_after_the_time_to_wait_for_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        conn = sync.connect("127.0.0.1", listener.getsockname()[1])
        peer, _ = listener.accept()
        with peer:
            with pytest.raises(WaitTimeoutError):
                conn.close(timeout=SHORT)
            assert not conn.closed
            assert peer.recv(1) == b""
    conn.wait_closed(timeout=PATIENCE)
    assert conn.closed


def test_a_ping_that_timed_out_leaves_the_next_its_own_answer(control_mode: Mode) -> None:
    with open_pair(control_mode) as (client, accepted, _):
        protocol = protocol_of(unwrap(accepted))
        assert protocol.transport is not None
        protocol.loop.call_soon_threadsafe(protocol.transport.pause_reading)
        with pytest.raises(WaitTimeoutError):
            client.ping(timeout=SHORT)
        protocol.loop.call_soon_threadsafe(protocol.transport.resume_reading)
        assert 0 < client.ping(timeout=PATIENCE) < PATIENCE


def test_a_server_that_does_not_answer(sealed: Mode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        silent.setblocking(False)
        for timeout in itertools.count(SHORT, SHORT):
            with pytest.raises(WaitTimeoutError):
                sync.connect("127.0.0.1", port, **sealed.client, timeout=timeout)
            with contextlib.suppress(BlockingIOError):
                peer, _ = silent.accept()
                break
            # It did not get as far: the machine is busy.
        with peer:
            peer.settimeout(PATIENCE)
            while peer.recv(4096):
                pass


def test_a_timeout_of_the_options_is_told_as_it_is(sealed: Mode) -> None:
    options = ClientOptions(handshake_timeout=SHORT)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(HandshakeTimeoutError, match="handshake_timeout"):
            sync.connect("127.0.0.1", port, **sealed.client, options=options, timeout=PATIENCE)


@pytest.mark.parametrize("wrong", ["1", True, object()])
def test_what_is_no_time(wrong: float) -> None:
    with open_pair(Mode()) as (client, _, _):
        with pytest.raises(TypeError, match="timeout is None or seconds"):
            client.recv(timeout=wrong)
        with pytest.raises(ValueError, match="NaN"):
            client.recv(timeout=math.nan)


def test_a_timeout_of_one_thread_is_not_that_of_another() -> None:
    with open_pair(Mode()) as (client, accepted, _):
        got: queue.Queue[bytes] = queue.Queue()
        waiting = in_thread(lambda: got.put(client.recv(timeout=PATIENCE)))
        until(lambda: bool(protocol_of(unwrap(client)).receiver.queue.waiters))
        with pytest.raises(WaitTimeoutError):
            client.recv(timeout=SHORT)
        accepted.send(b"for the other")
        assert got.get(timeout=PATIENCE) == b"for the other"
        waiting.join(PATIENCE)


def test_nothing_of_a_timeout_is_kept_in_a_thread() -> None:
    """A handler that polls is a common one."""
    polled = threading.Event()

    def handler(conn: sync.Connection) -> None:
        while True:
            try:
                message = conn.recv(timeout=SHORT)
            except TimeoutError:
                polled.set()
            else:
                conn.send(message)

    with start(handler, Mode()) as server, sync.connect("127.0.0.1", server.port) as conn:
        assert polled.wait(PATIENCE)
        conn.send(b"hello")
        assert conn.recv(timeout=PATIENCE) == b"hello"
