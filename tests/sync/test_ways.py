"""Sockets that are given, in blocking programs."""

from __future__ import annotations

import socket

import pytest
from wire import proxy_headers as headers

from sealframe import ConfigurationError, ConnectError, sync

PATIENCE = 30.0


def check(conn: sync.Connection) -> None:
    conn.send(b"hello")
    assert conn.recv(timeout=PATIENCE) == b"hello"


def test_given_sockets() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    with sync.serve(lambda conn: conn.send(conn.recv()), sock=listening) as server:
        assert server.addresses == [address]
        with sync.connect(sock=socket.create_connection(address), timeout=PATIENCE) as conn:
            check(conn)
        opened = []

        def dial() -> socket.socket:
            opened.append(socket.create_connection(address))
            return opened[-1]

        for conn in sync.reconnect("app.example", 7, sock=dial):
            check(conn)
            if len(opened) == 2:
                break


def test_what_the_function_raises_and_what_it_must_not_be() -> None:
    def fail() -> socket.socket:
        raise LookupError("the proxy knows no such host")

    with pytest.raises(ConnectError, match=r"app\.example:7: LookupError: the proxy knows"):
        sync.connect("app.example", 7, sock=fail, timeout=PATIENCE)

    async def asynchronous() -> socket.socket:
        raise AssertionError

    with pytest.raises(ConfigurationError, match="sock is a function that is not async"):
        sync.connect("app.example", 7, sock=asynchronous)  # type: ignore[arg-type]


def test_several_hosts_and_a_local_address() -> None:
    with sync.serve(
        lambda conn: conn.send(conn.recv()), ["127.0.0.1"], 0, reuse_port=True
    ) as server:
        local = ("127.0.0.1", 0)
        with sync.connect("127.0.0.1", server.port, local_address=local) as conn:
            check(conn)


def test_a_balancer_tells_whom_it_connects_for() -> None:
    with sync.serve(
        lambda conn: conn.send(repr(conn.remote_address).encode()),
        "127.0.0.1",
        0,
        proxy_protocol=True,
    ) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(headers.text("192.0.2.7", 50000))
        with sync.connect(sock=sock, timeout=PATIENCE) as conn:
            assert conn.recv(timeout=PATIENCE) == b"('192.0.2.7', 50000)"
