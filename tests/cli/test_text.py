"""What peers say, on a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.cli.address import Address, TcpAddress, UnixAddress, parse, shown
from sealframe.cli.reachable import machine_addresses
from sealframe.cli.text import readable, size, visible

HARMLESS = "\u00a0\u200c\u200d"


@given(st.text())
def test_no_text_can_steer_a_terminal(text: str) -> None:
    assert all(char.isprintable() or char in HARMLESS for char in visible(text))


@given(st.binary(), st.none() | st.integers(min_value=0, max_value=20))
def test_no_message_can_steer_a_terminal(message: bytes, limit: int | None) -> None:
    assert all(char.isprintable() or char in HARMLESS for char in readable(message, limit))


@pytest.mark.parametrize(
    "text", ["", "plain", "жаба 🐞", "👩\u200d💻", "e\u0301", "C:\\new", "日本語", "[red] :smile:"]
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert readable(text.encode()) == text


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (b"\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        (b"\x9b31m".decode("latin-1").encode(), "\\x9b31m"),
        (b"two\r\nlines\t", "two\\r\\nlines\\t"),
        (b"\xff\x00", "\\xff\\x00"),
        ("\u202eright to left\u2066".encode(), "\\u202eright to left\\u2066"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
    ],
)
def test_the_rest_shows_as_escapes(message: bytes, shown: str) -> None:
    assert readable(message) == shown


def test_a_long_message_is_cut_between_characters() -> None:
    message = "ж".encode() * 1024
    assert readable(message, 2048) == "ж" * 1024
    assert readable(message, 5) == "жж… (2.0 KiB)"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.0 GiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("example.org:1234", TcpAddress("example.org", 1234)),
        ("[2001:db8::7]:80", TcpAddress("2001:db8::7", 80)),
        (":1234", TcpAddress("127.0.0.1", 1234)),
        ("./relay.sock", UnixAddress("./relay.sock")),
        ("/run/a:b", UnixAddress("/run/a:b")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse(text) == address
    assert parse(str(address)) == address


def test_addresses_of_connections_are_shown_as_they_are_typed() -> None:
    assert shown(("::1", 1)) == "[::1]:1"
    assert shown(("127.0.0.1", 1)) == "127.0.0.1:1"
    assert shown("/run/socket") == "/run/socket"
    assert shown(None) == "a Unix socket"


@pytest.mark.parametrize(("ipv6", "loopback"), [(False, "127.0.0.1"), (True, "::1")])
def test_addresses_of_the_machine(ipv6: bool, loopback: str) -> None:
    found = machine_addresses(ipv6=ipv6)
    assert found[-1] == loopback
    assert len(found) == len(set(found))
    assert all((":" in address) == ipv6 for address in found)
