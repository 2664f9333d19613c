"""The PROXY header: whom it names, where it ends, and what is none."""

from __future__ import annotations

import ipaddress
import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.wire.proxy_header import ClientAddress, ProxyHeaderReader, Relayed

from . import proxy_headers as headers
from .proxy_headers import LOCAL, PROXY, START, TCP4, TCP6, UDP4, UNIX, UNSPECIFIED, framed

LONGEST_LINE = b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n"
LONGEST_UNKNOWN = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"

NAMED: dict[bytes, ClientAddress] = {
    headers.text("192.0.2.7", 0): ("192.0.2.7", 0),
    headers.text("2001:DB8::7", 65535): ("2001:db8::7", 65535),
    headers.text("::ffff:192.0.2.7", 5): ("192.0.2.7", 5),
    LONGEST_LINE: ("ffff:" * 7 + "ffff", 65535),
    headers.binary("192.0.2.7", 258): ("192.0.2.7", 258),
    headers.binary("2001:db8::7", 65535): ("2001:db8::7", 65535),
    headers.binary("::ffff:192.0.2.7", 5): ("192.0.2.7", 5),
    headers.binary("192.0.2.7", 1, tlvs=b"\x04\0\x01x"): ("192.0.2.7", 1),
    headers.binary("2001:db8::7", 1, tlvs=bytes(65535 - 36)): ("2001:db8::7", 1),
    headers.unix(b"/run/app"): "/run/app",
    headers.unix(b"/run/app\0left over"): "/run/app",
    headers.unix(b"\0abstract"): "\0abstract",
    headers.unix(b"/" * 108): "/" * 108,
    headers.unix(b"/run/\xff"): "/run/\N{REPLACEMENT CHARACTER}",
    headers.unix(b""): None,
}

UNNAMED = [
    headers.UNKNOWN,
    b"PROXY UNKNOWN ffff::1 anything at all\r\n",
    LONGEST_UNKNOWN,
    headers.CHECK,
    # What LOCAL says of addresses does not count, even where that is none.
    framed(LOCAL, TCP4, b"\x7f\0\0\1" * 3),
    framed(LOCAL, 0xFF, b"abc"),
    framed(PROXY, UNSPECIFIED),
    framed(PROXY, UNSPECIFIED, b"\x04\0\x01x"),
]

FOREIGN = [
    b"GET / HTTP/1.1\r\n",
    b"\x05\0\0\0hello",
    b"proxy TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
    b"PROXY\tTCP4",
    START[:11] + b"\r",
    START[:6] + b"x",
]

BROKEN = [
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY UDP4 192.0.2.7 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3\r\n",
    b"PROXY TCP4  192.0.2.7 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2 \r\n",
    b"PROXY TCP4 192.0.2.07 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 localhost 1 2\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
    b"PROXY TCP6 192.0.2.7 192.0.2.1 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n",
    b"PROXY TCP6 fe80::1\xff fe80::2 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 1 65536\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 -1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 +1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 1_0 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 \xb2 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n" + bytes(70) + b"\r\n",
    # One byte too long, whether the end comes or not.
    LONGEST_UNKNOWN[:-2] + b"x\r\n",
    b"PROXY UNKNOWN " + b"x" * 93,
    # Other versions and commands.
    framed(0x11, TCP4, bytes(12)),
    framed(0x31, TCP4, bytes(12)),
    framed(0x22, TCP4, bytes(12)),
    # Datagrams, unknown families, and too little for the addresses.
    framed(PROXY, UDP4, bytes(12)),
    framed(PROXY, 0x41, bytes(12)),
    framed(PROXY, 0x10, bytes(12)),
    framed(PROXY, 0xFF, length=65535),
    framed(PROXY, TCP4, bytes(11)),
    framed(PROXY, TCP6, bytes(35)),
    framed(PROXY, UNIX, bytes(215)),
]


def read(data: bytes, *cuts: int) -> tuple[Relayed | None, bytes] | None:
    """Return whom a stream names and what is behind the header, None where it has not ended."""
    reader = ProxyHeaderReader()
    for start, end in itertools.pairwise([0, *sorted(cuts), len(data)]):
        rest = reader.feed(data[start:end])
        if rest is not None:
            return reader.relayed, rest + data[end:]
    return None


@pytest.mark.parametrize(("header", "client"), NAMED.items(), ids=lambda case: repr(case)[:40])
def test_it_names_a_client(header: bytes, client: ClientAddress) -> None:
    assert read(header) == (Relayed(client), b"")


@pytest.mark.parametrize("header", UNNAMED, ids=lambda case: repr(case)[:40])
def test_it_names_nobody(header: bytes) -> None:
    assert read(header) == (None, b"")


@given(st.sampled_from([*NAMED, *UNNAMED]), st.binary(max_size=40), st.data())
def test_cut_anywhere_it_ends_where_it_ends(
    header: bytes, behind: bytes, data: st.DataObject
) -> None:
    places = st.lists(st.integers(0, len(header + behind)), max_size=8)
    named = Relayed(NAMED[header]) if header in NAMED else None
    assert read(header + behind, *data.draw(places)) == (named, behind)
    assert read(header[: data.draw(st.integers(0, len(header) - 1))]) is None


@pytest.mark.parametrize(
    "header", [headers.text("192.0.2.7", 1), headers.binary("2001:db8::7", 1), headers.CHECK]
)
def test_byte_by_byte(header: bytes) -> None:
    assert read(header + b"\x05\0\0\0hello", *range(len(header) + 4)) == (
        read(header)[0],  # type: ignore[index]
        b"\x05\0\0\0hello",
    )


@pytest.mark.parametrize("data", FOREIGN)
def test_what_is_none_is_refused_at_its_first_wrong_byte(data: bytes) -> None:
    with pytest.raises(ValueError, match="in place of a PROXY header"):
        read(data, *range(len(data)))


@pytest.mark.parametrize("header", BROKEN, ids=lambda case: repr(case)[:50])
def test_what_is_wrong_is_refused(header: bytes) -> None:
    for cuts in [(), range(len(header))]:
        with pytest.raises(ValueError, match=r"^its PROXY header (has|is) "):
            read(header, *cuts)


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", START, START + b"\x21"]), st.binary())
def test_no_bytes_make_it_fail_otherwise(start: bytes, data: bytes) -> None:
    text, found = "PROXY header", None
    try:
        found = read(start + data)
    except ValueError as error:
        text = str(error)
    assert "PROXY header" in text
    assert text.isprintable()
    if found is not None and found[0] is not None and isinstance(found[0].address, tuple):
        host, port = found[0].address
        ipaddress.ip_address(host)
        assert 0 <= port <= 65535


def test_what_extends_a_header_is_not_held() -> None:
    reader = ProxyHeaderReader()
    assert [reader.started] == [False]
    assert reader.feed(headers.binary("192.0.2.7", 1, tlvs=bytes(65535 - 12))[:28]) is None
    assert reader.started
    tracemalloc.start()
    try:
        for _ in range(63):
            assert reader.feed(bytes(1024)) is None
        assert tracemalloc.get_traced_memory()[0] < 4096
    finally:
        tracemalloc.stop()
    assert reader.feed(bytes(65535 - 12 - 63 * 1024) + b"\r") == b"\r"
    assert reader.relayed == Relayed(("192.0.2.7", 1))
