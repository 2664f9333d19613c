"""Layouts and ``pipelining=False`` without asyncio: the same errors, the same text."""

from __future__ import annotations

import socket
import threading
from typing import Self

import pytest

from sealframe import ConfigurationError, MessageFormatError, ProtocolError, TruncatedError, sync
from sealframe.framing import INT32_BE, Delimited, WithPreamble

LINES = Delimited(b"\n")
GREETED = WithPreamble(LINES, client=b"HELO\n", server=b"220 \n")


class Peer:
    """A server in a thread that answers the first line of each read, and keeps what it read."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.reads: list[bytes] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        conn, _ = self._listener.accept()
        with conn:
            while data := conn.recv(65536):
                self.reads.append(data)
                conn.sendall(b"+" + data.partition(b"\n")[0] + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)
        self._listener.close()
        assert not self._thread.is_alive()


def test_one_message_at_a_time() -> None:
    with Peer() as peer:
        with sync.connect("127.0.0.1", peer.port, framing=LINES, pipelining=False) as conn:
            conn.send_many([b"one", b"two", b"three"])
            assert [conn.recv(timeout=30) for _ in range(3)] == [b"+one", b"+two", b"+three"]
        assert peer.reads == [b"one\n", b"two\n", b"three\n"]


def test_one_message_at_a_time_of_each_connection() -> None:
    with Peer() as peer:
        for conn in sync.reconnect("127.0.0.1", peer.port, framing=LINES, pipelining=False):
            conn.send_many([b"one", b"two"])
            assert [conn.recv(timeout=30) for _ in range(2)] == [b"+one", b"+two"]
            break
        assert peer.reads == [b"one\n", b"two\n"]
    with pytest.raises(ConfigurationError, match="pipelining=False belongs to a foreign framing"):
        sync.connect("127.0.0.1", peer.port, pipelining=False)


def test_preambles_refusals_and_faults() -> None:
    errors: list[Exception] = []

    def handler(conn: sync.Connection) -> None:
        try:
            for message in conn:
                conn.send(message.upper())
        except Exception as error:
            errors.append(error)
            raise

    with sync.serve(handler, "127.0.0.1", 0, framing=GREETED) as server:
        with sync.connect("127.0.0.1", server.port, framing=GREETED) as conn:
            with pytest.raises(MessageFormatError):
                conn.send(b"two\nlines")
            conn.send(b"hello")
            assert conn.recv(timeout=30) == b"HELLO"
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(b"EHLO\n")
            # Its greeting, and the end of the stream.
            assert b"".join(iter(lambda: raw.recv(100), b"")) == b"220 \n"
    (error,) = errors
    assert isinstance(error, ProtocolError)
    assert "begins with b'HELO\\n'" in str(error)


def test_an_end_inside_a_frame() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        conn = sync.connect("127.0.0.1", listener.getsockname()[1], framing=INT32_BE)
        raw, _ = listener.accept()
        with raw:
            raw.sendall(b"\0\0\0\x01a\0\0\0\x09four")
        assert conn.recv(timeout=30) == b"a"
        with pytest.raises(TruncatedError) as caught:
            conn.recv(timeout=30)
        conn.close()
    assert str(caught.value) == (
        "the stream ends inside frame 2: 8 of its 13 bytes came, 5 are missing"
    )
