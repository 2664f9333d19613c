"""Addresses as programs and people see them."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sealframe.aio.addresses import Address, address_of, is_numeric, normalise, show


class Transport(asyncio.BaseTransport):
    """A transport that knows its addresses and nothing else."""


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        (("127.0.0.1", 1234), ("127.0.0.1", 1234)),
        (("::1", 1234, 0, 0), ("::1", 1234)),
        (("fe80::1%eth0", 1234, 0, 2), ("fe80::1%eth0", 1234)),
        (("fe80::1", 1234, 0, 2**31 - 1), ("fe80::1%2147483647", 1234)),
        ("/run/chat.sock", "/run/chat.sock"),
        (b"\x00hidden", "\x00hidden"),
        (b"\xff", "\ufffd"),
        ("", None),
        (b"", None),
        (None, None),
    ],
)
def test_a_raw_address_is_made_plain(raw: object, address: Address) -> None:
    """The flow label goes, and a scope that is none; an unnamed Unix socket has no address."""
    assert normalise(raw) == address


def test_the_scope_of_a_link_local_address_stays() -> None:
    number, name = socket.if_nameindex()[0]
    assert normalise(("fe80::1", 1234, 0, number)) == (f"fe80::1%{name}", 1234)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 1234), "127.0.0.1:1234"),
        (("::1", 1234), "[::1]:1234"),
        ("/run/chat.sock", "/run/chat.sock"),
        ("\0hidden", "@hidden"),
        (None, "unnamed"),
    ],
)
def test_an_address_is_written_as_people_do(address: Address, text: str) -> None:
    assert show(address) == text


@pytest.mark.parametrize(
    ("host", "numeric"),
    [
        ("127.0.0.1", True),
        ("127.1", True),
        ("::1", True),
        ("localhost", False),
        ("1.example", False),
    ],
)
def test_an_address_is_told_from_a_name(host: str, numeric: bool) -> None:
    assert is_numeric(host) is numeric


def test_both_ends_are_read_from_the_transport() -> None:
    transport = Transport({"peername": ("::1", 5, 0, 0), "sockname": "/run/chat.sock"})
    assert address_of(transport, "peername") == ("::1", 5)
    assert address_of(transport, "sockname") == "/run/chat.sock"
    assert address_of(Transport(), "peername") is None
