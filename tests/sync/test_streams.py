"""Streams between programs without asyncio: served in threads, read and written by any."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import (
    ConnectionClosed,
    ServerOptions,
    StreamError,
    StreamResetError,
    WaitTimeoutError,
    sync,
)

from .ends import dial, echo, interrupted_late, open_pair, start

SHORT = 0.02
MIB = 1024 * 1024


def send_back(stream: sync.Stream) -> None:
    """Write what is read."""
    for chunk in stream:
        stream.write(chunk)


@contextmanager
def two_ends(mode: Mode) -> Iterator[tuple[sync.Stream, sync.Stream]]:
    """Open a stream and hand out both ends."""
    accepted: queue.Queue[sync.Stream] = queue.Queue()
    done = threading.Event()

    def on_stream(stream: sync.Stream) -> None:
        accepted.put(stream)
        done.wait(PATIENCE)

    with open_pair(mode, on_stream=on_stream) as (client, _, _):
        stream = client.open_stream(b"ours")
        try:
            yield stream, accepted.get(timeout=PATIENCE)
        finally:
            done.set()


def test_bytes_both_ways(control_mode: Mode) -> None:
    metadata: queue.Queue[tuple[bytes, object]] = queue.Queue()

    def on_stream(stream: sync.Stream) -> None:
        metadata.put((stream.metadata, stream.connection))
        send_back(stream)

    with open_pair(control_mode, on_stream=on_stream) as (client, accepted, _):
        with client.open_stream(b"what for", timeout=PATIENCE) as stream:
            assert metadata.get(timeout=PATIENCE) == (b"what for", accepted)
            assert stream.connection is client
            assert stream.metadata == b"what for"
            assert repr(stream).startswith("<sync.Stream 0 of ")
            stream.write(bytearray(b"one"), timeout=PATIENCE)
            assert stream.read(2, timeout=PATIENCE) == b"on"
            assert stream.read(0) == b""
            assert stream.read(2, timeout=PATIENCE) == b"e"
            data = bytes(range(256)) * 2048
            stream.write(data)
            stream.end()
            stream.end(timeout=PATIENCE)
            assert stream.read(timeout=PATIENCE) == data
            assert stream.read(1, timeout=PATIENCE) == b""
            with pytest.raises(StreamError):
                stream.write(b"more")


def test_iterating(control_mode: Mode) -> None:
    with two_ends(control_mode) as (ours, theirs):
        theirs.write(b"all ")
        theirs.write(b"of it")
        theirs.end()
        assert b"".join(ours) == b"all of it"
        assert list(ours) == []


def test_a_client_serves_streams_too(control_mode: Mode) -> None:
    def handler(conn: sync.Connection) -> None:
        with conn.open_stream() as stream:
            stream.write(b"abc")
            stream.end()
            conn.send(stream.read(timeout=PATIENCE))

    with start(handler, control_mode) as server:
        with dial(server, control_mode, on_stream=send_back) as conn:
            assert conn.recv(timeout=PATIENCE) == b"abc"


def test_a_reset(control_mode: Mode) -> None:
    with two_ends(control_mode) as (ours, theirs):
        with pytest.raises(ValueError, match="code is 1;"):
            ours.reset(1)
        ours.reset(16, "changed my mind")
        with pytest.raises(StreamResetError, match="changed my mind") as caught:
            theirs.read(timeout=PATIENCE)
        assert (caught.value.code, caught.value.reason) == (16, "changed my mind")
        with pytest.raises(StreamError):
            ours.read(timeout=PATIENCE)


def test_a_block_that_fails_resets_it(control_mode: Mode) -> None:
    with two_ends(control_mode) as (ours, theirs):
        with pytest.raises(LookupError), ours:
            raise LookupError
        with pytest.raises(StreamResetError):
            theirs.read(timeout=PATIENCE)


def test_a_function_that_raises_resets_it(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    def on_stream(stream: sync.Stream) -> None:
        raise LookupError("no such thing")

    with start(echo, control_mode, on_stream=on_stream) as server:
        with dial(server, control_mode) as conn:
            with pytest.raises(StreamResetError):
                conn.open_stream().read(timeout=PATIENCE)
    assert "no such thing" in caplog.text


def test_a_read_that_timed_out_leaves_all_that_came(control_mode: Mode) -> None:
    with two_ends(control_mode) as (ours, theirs):
        theirs.write(b"abc")
        for _ in range(3):
            with pytest.raises(WaitTimeoutError):
                ours.read(timeout=SHORT)
        assert ours.read(2, timeout=PATIENCE) == b"ab"
        theirs.write(b"def")
        theirs.end()
        assert ours.read(timeout=PATIENCE) == b"cdef"


def test_a_write_that_timed_out_was_not_accepted(control_mode: Mode) -> None:
    with two_ends(control_mode) as (ours, theirs):
        written = 0
        with pytest.raises(WaitTimeoutError):
            while True:
                ours.write(b"%8d" % written + bytes(MIB - 8), timeout=0.2)
                written += 1
        ours.end()
        whole = theirs.read(timeout=PATIENCE)
        assert len(whole) == written * MIB
        assert [int(whole[at : at + 8]) for at in range(0, len(whole), MIB)] == list(range(written))


def test_what_interrupted_reads_had_taken_comes_first(control_mode: Mode) -> None:
    with two_ends(control_mode) as (ours, theirs):
        theirs.write(b"abcdef")
        theirs.end()
        with interrupted_late():
            assert ours.read(3, timeout=PATIENCE) == b"abc"
        assert ours.read(2) == b"ab"
        assert ours.read(0) == b""
        assert ours.read(9) == b"c"
        with interrupted_late():
            assert ours.read(1, timeout=PATIENCE) == b"d"
        assert ours.read(timeout=PATIENCE) == b"def"


def test_no_further_one_than_the_other_end_takes(control_mode: Mode) -> None:
    options = ServerOptions(max_streams=1)
    with open_pair(control_mode, server_options=options, on_stream=send_back) as (client, _, _):
        with client.open_stream() as first:
            with pytest.raises(WaitTimeoutError):
                client.open_stream(timeout=SHORT)
            first.end()
            assert first.read(timeout=PATIENCE) == b""
        with client.open_stream(timeout=PATIENCE) as second:
            second.end()
            assert second.read(timeout=PATIENCE) == b""


def test_a_stream_keeps_its_connection(control_mode: Mode) -> None:
    """Which is closed as soon as nobody uses it."""
    with start(echo, control_mode, on_stream=send_back) as server:
        stream = dial(server, control_mode).open_stream()
        stream.write(b"still there")
        stream.end()
        assert stream.read(timeout=PATIENCE) == b"still there"
        stream.connection.close()
        with pytest.raises((ConnectionClosed, StreamError)):
            stream.write(b"not any more")


def test_none_begins_of_a_client_that_was_put_out(control_mode: Mode) -> None:
    """It came, and waits for the only thread."""
    begun: queue.Queue[bytes] = queue.Queue()
    go_on = threading.Event()

    def on_stream(stream: sync.Stream) -> None:
        begun.put(stream.metadata)
        go_on.wait(PATIENCE)

    options = ServerOptions(max_connections=1)
    with open_pair(control_mode, server_options=options, on_stream=on_stream) as pair:
        pair.client.open_stream(b"first")
        assert begun.get(timeout=PATIENCE) == b"first"
        pair.client.open_stream(b"second")
        # It was read before the answer was written.
        pair.client.ping()
        pair.server.kick(pair.accepted.id)
        with pytest.raises(ConnectionClosed):
            pair.client.recv(timeout=PATIENCE)
        go_on.set()
        pair.server.close()
    assert begun.empty()
