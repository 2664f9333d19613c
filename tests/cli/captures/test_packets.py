"""Captures of packets become the streams that were sent, with the ends of their segments."""

from __future__ import annotations

import contextlib
import io
import random
import sys
from pathlib import Path

import pytest

from sealframe import MissingExtraError
from sealframe.cli.captures import reading
from sealframe.cli.captures.stream import WINDOW, CaptureError, Stream

from .building import (
    ACK,
    CLIENT,
    CLIENT6,
    LINKS,
    SERVER,
    SERVER6,
    SYN,
    Talk,
    packet,
    pcap,
    pcapng_of,
)


def read(data: bytes, number: int | None = None) -> list[Stream]:
    return reading.read(io.BytesIO(data), "capture", number=number)


def both(talk: Talk, link: str = "ethernet") -> tuple[Stream, Stream]:
    client, server = read(pcap(talk.packets, link))
    assert (client.sender, server.sender) == ("client", "server")
    return client, server


@pytest.fixture
def talk() -> Talk:
    return Talk().open().say("client", b"one", b"three").say("server", b"answer").close()


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("ends", [(CLIENT, SERVER), (CLIENT6, SERVER6)])
def test_each_link(link: str, ends: tuple[tuple[str, int], tuple[str, int]]) -> None:
    talk = Talk(*ends).open().say("client", b"one", b"three").say("server", b"answer").close()
    client, server = both(talk, link)
    assert (client.data, client.boundaries, client.complete) == (b"onethree", (3, 8), True)
    assert (server.data, server.boundaries, server.complete) == (b"answer", (6,), True)
    assert client.notes == ()
    assert "50000 → " in client.name
    assert client.name.endswith(":502")


@pytest.mark.parametrize("order", ["<", ">"])
def test_interfaces_of_different_links(talk: Talk, order: str) -> None:
    links = [("cooked" if number % 2 else "ethernet") for number in range(len(talk.packets))]
    client, server = read(pcapng_of(zip(links, talk.packets, strict=True), order=order))
    assert (client.data, server.data) == (b"onethree", b"answer")


def test_a_big_endian_capture_with_nanoseconds(talk: Talk) -> None:
    data = bytearray(pcap(talk.packets))
    at = 24
    data[:24] = b"".join(
        (0xA1B23C4D).to_bytes(4, "big") if part == 0 else data[part : part + size][::-1]
        for part, size in ((0, 4), (4, 2), (6, 2), (8, 4), (12, 4), (16, 4), (20, 4))
    )
    while at < len(data):
        size = int.from_bytes(data[at + 8 : at + 12], "little")
        for part in range(at, at + 16, 4):
            data[part : part + 4] = data[part : part + 4][::-1]
        at += 16 + size
    client, _ = read(bytes(data))
    assert client.data == b"onethree"


def test_segments_in_any_order_and_sent_again() -> None:
    talk = Talk().open()
    parts = [bytes([number]) * (number + 1) for number in range(40)]
    segments = [talk.segment("client", part) for part in parts]
    again = segments + segments[::3]
    random.Random(7).shuffle(again)
    talk.packets += again
    (client,) = read(pcap(talk.packets))
    assert client.data == b"".join(parts)
    assert client.complete
    ends = [sum(map(len, parts[: number + 1])) for number in range(40)]
    assert client.boundaries == tuple(ends)


def test_the_first_copy_of_a_byte_counts() -> None:
    talk = Talk().open()
    talk.packets += [
        packet(CLIENT, SERVER, 1001, b"abcd"),
        packet(CLIENT, SERVER, 1003, b"XXef"),
    ]
    (client,) = read(pcap(talk.packets))
    assert (client.data, client.boundaries) == (b"abcdef", (4, 6))


def test_a_probe_of_keepalive_adds_nothing() -> None:
    talk = Talk().open().say("client", b"abcd")
    talk.packets += [packet(CLIENT, SERVER, 1004, b"\0", ACK), packet(CLIENT, SERVER, 1005, b"ef")]
    (client,) = read(pcap(talk.packets))
    assert client.data == b"abcdef"


def test_sequence_numbers_wrap() -> None:
    talk = Talk(first=2**32 - 6).open().say("client", *[b"abc"] * 5)
    (client,) = read(pcap(talk.packets))
    assert client.data == b"abc" * 5


def test_a_missing_segment_ends_what_is_looked_at() -> None:
    talk = Talk().open().say("client", b"x" * 50, b"lost", b"y" * 20).close()
    del talk.packets[3]
    (client,) = read(pcap(talk.packets))
    assert (client.data, client.complete) == (b"x" * 50, False)
    assert "up to the gap" in client.notes[0]


def test_of_several_parts_the_longest() -> None:
    talk = Talk().open().say("client", b"x" * 5, b"lost", b"y" * 20)
    del talk.packets[3]
    (client,) = read(pcap(talk.packets))
    assert client.data == b"y" * 20
    assert "may begin in the middle of a frame" in client.notes[0]


def test_packets_that_were_cut() -> None:
    talk = Talk().open().say("client", b"x" * 500, b"y" * 10).close()
    (client,) = read(pcap(talk.packets, cut=100))
    assert client.data == b"x" * 46
    assert not client.complete
    assert "tcpdump -s 0" in client.notes[0]


def test_without_its_start() -> None:
    talk = Talk().open().say("client", b"one").say("server", b"answer")
    client, server = read(pcap(talk.packets[2:]))
    assert (client.data, client.sender) == (b"one", "client")
    assert (server.data, server.sender) == (b"answer", "server")
    assert "does not have the start" in client.notes[0]


def test_the_syn_of_the_server_alone() -> None:
    talk = Talk(("192.0.2.1", 10), ("192.0.2.2", 50000)).open().say("client", b"one")
    (client,) = read(pcap(talk.packets[1:]))
    assert (client.data, client.sender) == (b"one", "client")


def test_the_connection_with_most_bytes_and_the_others() -> None:
    small = Talk(("192.0.2.1", 1), SERVER).open().say("client", b"small")
    large = Talk(("192.0.2.1", 2), SERVER).open().say("client", b"large" * 9)
    packets = [one for pair in zip(small.packets, large.packets, strict=True) for one in pair]
    (chosen,) = read(pcap(packets))
    assert chosen.data == b"large" * 9
    assert chosen.notes[0].startswith("2 connections; number 2 was looked at")
    assert "1: 192.0.2.1:1 → 192.0.2.2:502, 5 and 0 bytes" in "".join(chosen.notes)
    (other,) = read(pcap(packets), 1)
    assert other.data == b"small"
    with pytest.raises(CaptureError, match="no stream 3: the capture has 2"):
        read(pcap(packets), 3)


def test_the_same_ports_again() -> None:
    first = Talk().open().say("client", b"first").close()
    second = Talk(first=9_000_000).open().say("client", b"the second")
    (client,) = read(pcap([*first.packets, *second.packets]))
    assert client.data == b"the second"
    # A SYN that was sent again opens nothing.
    again = Talk().open().say("client", b"once")
    again.packets.insert(1, packet(CLIENT, SERVER, 1000, flags=SYN))
    (client,) = read(pcap(again.packets))
    assert (client.data, client.notes) == (b"once", ())


def test_a_large_stream_is_looked_at_in_part() -> None:
    talk = Talk().open()
    talk.say("client", *[b"x" * 1400] * (2 * WINDOW // 1400))
    (client,) = read(pcap(talk.packets))
    assert len(client.data) == WINDOW
    assert not client.complete
    assert f"the first {WINDOW:,} bytes" in client.notes[-1]


class TestNothing:
    def test_no_packet(self) -> None:
        with pytest.raises(CaptureError, match="no TCP in this capture: not one packet"):
            read(pcap([]))

    def test_no_bytes(self) -> None:
        with pytest.raises(CaptureError, match="have no bytes"):
            read(pcap(Talk().open().close().packets))

    def test_another_protocol(self) -> None:
        udp = packet(CLIENT, SERVER, 1)
        udp.p = 17
        with pytest.raises(CaptureError, match="no TCP in this capture: 1 UDP"):
            read(pcap([udp]))

    def test_fragments(self) -> None:
        part = packet(CLIENT, SERVER, 1, b"data")
        part.mf = 1
        with pytest.raises(CaptureError, match="1 fragment"):
            read(pcap([part]))

    def test_an_unknown_link(self, talk: Talk) -> None:
        data = bytearray(pcap(talk.packets))
        data[20] = 147
        with pytest.raises(CaptureError, match="link type 147 cannot be read"):
            read(bytes(data))


class TestHostile:
    def test_a_file_that_ends_inside_a_packet(self, talk: Talk) -> None:
        whole = pcap(talk.packets)
        client, *_ = read(whole[:-70])
        assert client.data == b"onethree"
        assert "ends inside a packet" in client.notes[0]
        with pytest.raises(CaptureError, match="no packet can be read"):
            read(whole[:30])

    @pytest.mark.parametrize("size", [2**31, 2**32 - 1, 2**24 + 1])
    def test_absurd_lengths_are_not_read(self, talk: Talk, size: int) -> None:
        data = pcap(talk.packets) + bytes(8) + size.to_bytes(4, "little") * 2 + b"x" * 100
        client, _ = read(data)
        assert client.data == b"onethree"
        assert f"a record claims {size:,} bytes" in client.notes[0]

    def test_absurd_lengths_of_blocks(self, talk: Talk) -> None:
        data = pcapng_of(("raw", one) for one in talk.packets)
        for size in (0, 8, 2**31, 2**32 - 4):
            client, _ = read(data + b"\6\0\0\0" + size.to_bytes(4, "little") + b"x" * 200)
            assert client.data == b"onethree"
            assert "damaged" in client.notes[0]

    @pytest.mark.parametrize("seed", range(4))
    def test_any_bytes_are_a_stream_or_an_error(self, talk: Talk, seed: int) -> None:
        chance = random.Random(seed)
        for whole in (
            pcap(talk.packets, chance.choice(list(LINKS))),
            pcapng_of(("ethernet", one) for one in talk.packets),
        ):
            for _ in range(300):
                data = bytearray(whole)
                for _ in range(chance.randrange(1, 6)):
                    data[chance.randrange(4, len(data))] = chance.randrange(256)
                with contextlib.suppress(CaptureError):
                    read(bytes(data[: chance.randrange(len(data) // 2, len(data) + 1)]))


def test_without_the_libraries(talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(pcap(talk.packets))
    monkeypatch.delitem(sys.modules, "sealframe.cli.captures.packets", raising=False)
    monkeypatch.setitem(sys.modules, "dpkt", None)
    with pytest.raises(MissingExtraError, match=r"sealframe\[doctor\]"):
        reading.read_file(path)


def test_one_direction_of_a_file_without_packets(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(b"\0\1\2")
    with pytest.raises(CaptureError, match="no capture of packets"):
        reading.read_file(path, number=1)
    assert reading.read_file(path) == [Stream(b"\0\1\2", name=str(path))]
    path.write_bytes(b"")
    with pytest.raises(CaptureError, match="is empty"):
        reading.read_file(path)
