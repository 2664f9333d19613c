"""Who may look, and by which names."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from sealframe import ConfigurationError
from sealframe.dashboard.access import Access, is_loopback

TOKEN = "abcdefghij-klmnopqrst_0"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_is_open_to_this_machine(host: str) -> None:
    access = Access(host)
    assert is_loopback(host)
    assert access.token is None
    assert access.may_look(None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "localhost.example"])
def test_elsewhere_there_is_always_a_token(host: str) -> None:
    access, other = Access(host), Access(host)
    assert not is_loopback(host)
    assert access.token is not None
    assert len(access.token) >= 43
    assert access.token != other.token
    assert not access.may_look(None)


def test_a_token_is_shown_once_and_then_its_cookie() -> None:
    access = Access("127.0.0.1", TOKEN)
    assert access.token == TOKEN
    assert access.lets_in(f"Bearer {TOKEN}")
    others = (f"Bearer {TOKEN}x", "Bearer ", f"Basic {TOKEN}", "Bearer \udcff")
    for wrong in (None, "", TOKEN, *others):
        assert not access.lets_in(wrong), wrong
    assert access.may_look(access.cookie)
    assert TOKEN not in access.cookie
    for wrong in (None, "", TOKEN, access.cookie[:-1], Access("127.0.0.1", TOKEN + "1").cookie):
        assert not access.may_look(wrong), wrong
    # A dashboard that is started again with the same token knows those that were let in.
    assert Access("127.0.0.1", TOKEN).may_look(access.cookie)
    # Without a token there is none that could be shown.
    assert not Access("127.0.0.1").lets_in("Bearer None")


@pytest.mark.parametrize("token", ["", "x" * 19, "ä" * 30, " " * 30, "x" * 30 + "\r\n"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(ConfigurationError, match="at least 20 letters"):
        Access("127.0.0.1", token)


LOCAL = ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:9", "[::1]:8080", "127.1.2.3"]
NAMES = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "0x7f000001"]
NONE = [
    "",
    ":",
    "[::1",
    "[::1%lo]",
    "localhost@evil.example",
    "evil.example#localhost",
    "evil@localhost",
]


@pytest.mark.parametrize("header", LOCAL)
def test_names_of_loopback(header: str) -> None:
    assert Access("127.0.0.1").knows_host(header)
    assert Access("0.0.0.0").knows_host(header)


@pytest.mark.parametrize("header", [None, *NAMES, *NONE])
def test_a_name_that_is_not_known_may_be_another_sites(header: str | None) -> None:
    assert not Access("127.0.0.1").knows_host(header)
    assert not Access("0.0.0.0").knows_host(header)


@pytest.mark.parametrize("header", ["192.0.2.1", "192.0.2.1:80", "[2001:db8::1]"])
def test_an_address_is_no_name(header: str) -> None:
    assert Access("0.0.0.0").knows_host(header)
    assert not Access("127.0.0.1").knows_host(header)


def test_names_that_are_given() -> None:
    access = Access("127.0.0.1", hosts=["Status.Example.org"])
    assert access.knows_host("status.example.org")
    assert access.knows_host("STATUS.example.org:443")
    assert not access.knows_host("example.org")
    assert Access("server.example", hosts=()).knows_host("server.example:8080")
    access = Access("127.0.0.1", hosts=["192.0.2.1", "2001:DB8::1"])
    assert access.knows_host("192.0.2.1:80")
    assert access.knows_host("[2001:db8::1]:80")
    assert Access("127.0.0.1", hosts=["[2001:db8::1]"]).knows_host("[2001:db8::1]")


def test_where_there_is_a_name_there_is_a_proxy_and_so_a_token() -> None:
    access = Access("127.0.0.1", hosts=["status.example"])
    assert access.token is not None
    assert len(access.token) >= 43
    assert not access.may_look(None)
    assert Access("127.0.0.1", TOKEN, ["status.example"]).token == TOKEN


@pytest.mark.parametrize(
    ("hosts", "error"),
    [
        ("status.example", r"a list: hosts=\['status\.example'\]"),
        (["status.example", "other.example:443"], "'other.example:443' is no name .* a port"),
        (["https://status.example"], "without http://"),
        ([""], "is no name"),
        (["*"], "is no name"),
    ],
)
def test_what_are_no_names(hosts: Collection[str], error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        Access("127.0.0.1", hosts=hosts)
