"""What counts as one address."""

from __future__ import annotations

import pytest

from sealframe.server.rate_limit_key import network


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.7", "::ffff:192.0.2.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("fe80::1%eth0", "fe80::2%eth0"),
    ],
)
def test_the_same(one: str, other: str) -> None:
    """An IPv4 address however it is written, and the /64 network of an IPv6 one."""
    assert network(one) == network(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.7", "192.0.2.8"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.8"),
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("::1", "127.0.0.1"),
        ("::ffff:0.0.0.0", "::"),
    ],
)
def test_not_the_same(one: str, other: str) -> None:
    assert network(one) != network(other)
