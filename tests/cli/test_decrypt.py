"""``sealframe decrypt``: captures of one's own connections become frames that people can read."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pcapng
import pytest

import sealframe
from sealframe import ClientIdentity, Connection, PrivateKey, ServerIdentity, SharedKey
from sealframe.noise.credentials import Credentials
from sealframe.noise.records import RecordLayer
from sealframe.trust.key_log import VARIABLE, KeyLog
from sealframe.wire import Opcode, Pattern, control

from .captures.building import CLIENT6, RST, SERVER6, Talk, pcap, pcapng_of
from .captures.recording import recorder
from .commands import invoked

pytest.importorskip("cryptography", reason="cryptography is not installed")

PATIENCE = 20.0
HELLO = control.frame(Opcode.HELLO, control.Hello(software="test").encode())
WELCOME = control.frame(Opcode.WELCOME, control.Hello(client_id="a-1").encode())
CLOSE = control.frame(Opcode.CLOSE, control.Close(3, "enough", frames_received=7).encode())


def message(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.log"


class Sealed:
    """Both ends of a sealed connection, whose packets are made by hand."""

    def __init__(self, talk: Talk, key_log: Path | None) -> None:
        log = KeyLog(str(key_log)).write if key_log is not None else None
        credentials = Credentials(Pattern.NNPSK0, psk=bytes(range(32)))
        self.talk = talk.open()
        self.ends = {
            "client": RecordLayer(initiator=True, credentials=credentials, key_log=log),
            "server": RecordLayer(initiator=False, credentials=credentials, key_log=log),
        }
        for sender, reader in (("client", "server"), ("server", "client")):
            written = b"".join(self.ends[sender].output)
            self.talk.say(sender, written)
            self.ends[reader].feed(written)

    def say(self, sender: str, *plaintexts: bytes) -> None:
        """Add records, each in a segment of its own."""
        for plaintext in plaintexts:
            self.talk.say(sender, *self.ends[sender].seal(plaintext))

    def introduce(self) -> None:
        self.say("client", HELLO)
        self.say("server", WELCOME)


def written(path: Path, packets: Iterable[Any]) -> Path:
    path.write_bytes(pcap(packets))
    return path


def timed(packets: Iterable[Any], *, resolution: int, time: int) -> bytes:
    """Return a pcapng whose interface names its resolution of time (if_tsresol), as Wireshark's."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack("<I", len(body) + 12)
        return struct.pack("<I", kind) + size + body + size

    option = struct.pack("<HHBxxxHH", 9, 1, resolution, 0, 0)
    start = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    start += block(1, struct.pack("<HHI", 101, 0, 0) + option)
    high, low = divmod(time, 2**32)
    return start + b"".join(
        block(6, struct.pack("<IIIII", 0, high, low, len(one), len(one)) + bytes(one))
        for one in packets
    )


def frames(output: str) -> list[str]:
    """Return the lines without number and time, and without those that introduce."""
    lines = [line for line in output.splitlines() if not line.startswith("connection ")]
    return [line.split(" ", 2)[2] for line in lines]


def said(output: str) -> list[str]:
    """Return the frames behind the handshake and the introductions."""
    return [line for line in frames(output) if not line[2:].startswith(("HAND", "HELLO", "WELC"))]


@pytest.fixture
def short(tmp_path: Path, keys: Path) -> Path:
    """A capture of a short connection."""
    sealed = Sealed(Talk(), keys)
    sealed.introduce()
    sealed.say("client", message(b"hi"))
    sealed.say("server", message(b"ho") + CLOSE)
    return written(tmp_path / "capture", sealed.talk.close().packets)


def shared() -> tuple[Any, Any]:
    key = SharedKey.generate()
    return key, key


def known() -> tuple[Any, Any]:
    server, client = PrivateKey.generate(), PrivateKey.generate()
    return (
        ServerIdentity(server, {"client": client.public_key}),
        ClientIdentity(client, server=server.public_key),
    )


async def upper(conn: Connection) -> None:
    async for one in conn:
        await conn.send(one.upper())


class TestRealConnections:
    @pytest.mark.parametrize(("make", "pattern"), [(shared, "NNHFS_PSK0(4)"), (known, "XKHFS(5)")])
    async def test_of_loopback(
        self,
        make: Callable[[], tuple[Any, Any]],
        pattern: str,
        tmp_path: Path,
        keys: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv(VARIABLE, str(keys))
        server_side, client_side = make()
        async with (
            asyncio.timeout(PATIENCE),
            sealframe.serve(upper, "127.0.0.1", 0, security=server_side) as server,
            recorder() as recording,
        ):
            recording.target = server.port
            for text in (b"first", b"second \x1b[31m"):
                async with sealframe.connect(
                    "127.0.0.1", recording.port, security=client_side
                ) as conn:
                    await conn.send(text)
                    assert await conn.recv() == text.upper()
                    await conn.send(bytes(200_000))
                    assert await conn.recv() == bytes(200_000)
        talks = [one.talk(port) for port, one in enumerate(recording.connections, 50000)]
        packets = [packet for talk in talks for packet in talk.packets]
        done = await asyncio.to_thread(
            invoked, "decrypt", written(tmp_path / "capture", packets), "--keylog", keys
        )
        assert (done.code, done.errors) == (0, "")
        heads = [line for line in done.output.splitlines() if line.startswith("connection ")]
        assert [f"sealed, pattern {pattern}, 1970-01-01" in head for head in heads] == [True] * 2
        lines = frames(done.output)
        assert sum(line.startswith("> HELLO, ") for line in lines) == 2
        assert "> message, 5 bytes: first" in lines
        assert "< message, 12 bytes: SECOND \\x1b[31M" in lines
        whole = [line for line in lines if "message, 200,000 bytes: \\x00" in line]
        assert [line[0] for line in whole] == [">", "<"] * 2
        assert whole[0].endswith("… (195.3 KiB)")
        assert sum("CLOSE, 15 bytes: code=NORMAL(0) frames_received=2" in line for line in lines)

    async def test_plain_extended_ones_need_no_keys(self, tmp_path: Path) -> None:
        async def serve(conn: Connection) -> None:
            await conn.send(b"before the client speaks")
            await upper(conn)

        async with (
            asyncio.timeout(PATIENCE),
            sealframe.serve(serve, "127.0.0.1", 0) as server,
            recorder() as recording,
        ):
            recording.target = server.port
            async with sealframe.connect("127.0.0.1", recording.port, extended=True) as conn:
                await conn.send(b"hi")
                assert [await conn.recv(), await conn.recv()][1] == b"HI"
        path = written(tmp_path / "capture", recording.connections[0].talk().packets)
        done = await asyncio.to_thread(invoked, "decrypt", path)
        assert (done.code, done.errors) == (0, "")
        assert "→ 192.0.2.2:1234, plain, " in done.output
        assert {"> message, 2 bytes: hi", "< message, 2 bytes: HI"} <= set(said(done.output))


class TestWhatIsRead:
    def test_all_frames_by_name_and_field(self, tmp_path: Path, keys: Path) -> None:
        number, words = (5).to_bytes(8, "little"), b"words"
        session = control.SessionHello(b"t" * 16, 1, 2, 3, 4, 4, 5, 1024).encode()
        bodies = [
            (Opcode.PING, b"\1\2"),
            (Opcode.ACK, number),
            (Opcode.CREDIT, b"\0\0\1\0"),
            (Opcode.PAD, bytes(7)),
            (Opcode.UNSUPPORTED, b"\x20abc"),
            (Opcode.GOAWAY, control.Close(1, "back soon", retry_after=1500).encode()),
            (Opcode.STREAM_OPEN, number + b"\0\0\0\1\0log"),
            (Opcode.STREAM_DATA, number + words),
            (Opcode.STREAM_CREDIT, number + b"\0\0\1\0"),
            (Opcode.STREAM_END, number),
            (Opcode.STREAM_RESET, number + b"\x10\0enough"),
            (Opcode.REQUEST, number + words),
            (Opcode.REPLY, number + b"gr\xc3\xbc\xc3\x9f"),
            (Opcode.FAILURE, number + b"\0\4TypeNo: " + words),
            (Opcode.CANCEL, number),
            (0x31, b"new"),
            (Opcode.CREDIT, b"\1"),
            (Opcode.STREAM_END, number + b"!"),
        ]
        sealed = Sealed(Talk(), keys)
        sealed.say("client", HELLO)
        sealed.say("server", WELCOME)
        sealed.say("client", *(control.frame(*body) for body in bodies))
        again = control.Hello(session=session, invitation=b"12345678", window=9)
        sealed.say("client", control.frame(Opcode.HELLO, again.encode()))
        path = written(tmp_path / "capture", sealed.talk.close().packets)
        done = invoked("decrypt", path, "--keylog", keys)
        assert (done.code, done.errors) == (0, "")
        lines = frames(done.output)
        assert lines[0].startswith("> HANDSHAKE, 58 bytes: version=1 pattern=NNPSK0(1) noise=")
        assert lines[2:-1] == [
            "> HELLO, 25 bytes: version=1 max_frame=2147483647 software=test",
            "< WELCOME, 24 bytes: version=1 max_frame=2147483647 client_id=a-1",
            "> PING, 2 bytes: body=0102",
            "> ACK, 8 bytes: number=5",
            "> CREDIT, 4 bytes: increment=65536",
            "> PAD, 7 bytes: padding=7",
            "> UNSUPPORTED, 4 bytes: of='opcode 0x20' body=616263",
            "> GOAWAY, 20 bytes: code=GOING_AWAY(1) reason='back soon' retry_after=1500",
            "> STREAM_OPEN, 16 bytes: stream=5 kind=APPLICATION(0) window=65536 metadata=6c6f67",
            "> STREAM_DATA, 13 bytes: stream=5 words",
            "> STREAM_CREDIT, 12 bytes: stream=5 increment=65536",
            "> STREAM_END, 8 bytes: stream=5",
            "> STREAM_RESET, 16 bytes: stream=5 code=16 reason=enough",
            "> REQUEST, 13 bytes: request=5 words",
            "> REPLY, 14 bytes: request=5 grüß",
            "> FAILURE, 23 bytes: request=5 code=RAISED(0) type=Type text='No: words'",
            "> CANCEL, 8 bytes: request=5",
            "> opcode 0x31, 3 bytes: body=6e6577",
            "> CREDIT, 1 bytes: malformed='it is cut short'",
            "> STREAM_END, 9 bytes: stream=5 surplus=21",
        ]
        assert "session.token=secret session.start=1 session.link=2" in lines[-1]
        assert "invitation='8 bytes, secret'" in lines[-1]
        assert b"12345678".hex() not in done.output

    def test_a_session_of_a_wrong_size_is_named_by_its_frame(self, tmp_path: Path) -> None:
        field = b"\4\0\3\0abc"
        talk = Talk().open()
        for sender, opcode in (("client", Opcode.HELLO), ("server", Opcode.WELCOME)):
            talk.say(sender, control.frame(opcode, b"sealfram\1" + field))
        done = invoked("decrypt", written(tmp_path / "capture", talk.packets))
        for name, line in zip(("HELLO", "WELCOME"), frames(done.output), strict=True):
            assert f"malformed='the session of {name} is 3 bytes, not " in line

    @pytest.mark.parametrize("ends", [(), (CLIENT6, SERVER6)])
    def test_rekeyed_records_in_any_order_and_twice(
        self, ends: tuple[Any, ...], tmp_path: Path, keys: Path
    ) -> None:
        sealed = Sealed(Talk(*ends), keys)
        sealed.introduce()
        # Frames that span records and segments, and records that share a segment.
        whole = b"".join(message(b"%d" % number) for number in range(3000))
        records = [
            *sealed.ends["client"].seal(message(bytes(150_000))),
            *(sealed.ends["client"].seal(whole[at : at + 5])[0] for at in range(0, len(whole), 5)),
        ]
        stream, rng = b"".join(records), random.Random(1)
        place = 0
        while place < len(stream):
            size = rng.randint(1, 3000)
            sealed.talk.say("client", stream[place : place + size])
            place += size
        packets = list(sealed.talk.packets)
        start, rest = packets[:6], packets[6:]
        for at in range(0, len(rest) - 4, 4):
            window = [*rest[at : at + 4], rest[at]]
            rng.shuffle(window)
            start += window
        start += rest[len(rest) // 4 * 4 - 4 :]
        fins = sealed.talk.close().packets[len(packets) :]
        capture = tmp_path / "capture"
        capture.write_bytes(pcapng_of(("raw", one) for one in start + fins))
        done = invoked("decrypt", capture, "--keylog", keys, "--json")
        assert (done.code, done.errors) == (0, "")
        found = [json.loads(line) for line in done.output.splitlines()]
        payloads = [one["fields"]["payload"] for one in found if one["frame"] == "message"]
        assert payloads[0] == bytes(150_000).hex()
        assert payloads[1:] == [(b"%d" % number).hex() for number in range(3000)]
        assert found[-1]["sender"] == "client"
        assert found[-1]["sealed"]
        assert found[0]["frame"] == "HANDSHAKE"
        assert not found[0]["sealed"]

    def test_a_refusal_in_plaintext_is_shown(self, tmp_path: Path, keys: Path) -> None:
        sealed = Sealed(Talk(), keys)
        refusal = control.frame(Opcode.CLOSE, control.Close(5).encode())
        sealed.talk.say("server", refusal)
        path = written(tmp_path / "capture", sealed.talk.close().packets)
        done = invoked("decrypt", path, "--keylog", keys)
        assert done.code == 0
        assert frames(done.output)[-1] == "< CLOSE, 3 bytes: code=REFUSED(5)"

    def test_the_same_ports_used_again(self, tmp_path: Path, keys: Path) -> None:
        packets = []
        for number in range(2):
            sealed = Sealed(Talk(first=1000 + 100_000 * number), keys)
            sealed.introduce()
            sealed.say("client", message(b"%d" % number))
            packets += sealed.talk.close().packets
        done = invoked("decrypt", written(tmp_path / "capture", packets), "--keylog", keys)
        assert done.code == 0
        assert said(done.output) == ["> message, 1 bytes: 0", "> message, 1 bytes: 1"]

    def test_a_line_that_was_cut_short_spoils_no_other(self, short: Path, keys: Path) -> None:
        text = keys.read_text()
        keys.write_text(f"# of a Tuesday\nCLIENT_RANDOM 00 00\n{text[:99]}{text}")
        done = invoked("decrypt", short, "--keylog", keys)
        assert done.code == 0
        assert said(done.output)[0] == "> message, 2 bytes: hi"

    def test_a_first_message_that_was_sent_to_two_servers(self, short: Path, keys: Path) -> None:
        line = keys.read_text().splitlines()[0].split()
        keys.write_text(f"{line[0]} {line[1]} {'00' * 32} {'11' * 32}\n{keys.read_text()}")
        done = invoked("decrypt", short, "--keylog", keys)
        assert (done.code, done.errors) == (0, "")

    def test_times_of_nanoseconds_as_wireshark_writes_them(
        self, tmp_path: Path, keys: Path
    ) -> None:
        sealed = Sealed(Talk(), keys)
        path = tmp_path / "capture"
        path.write_bytes(timed(sealed.talk.close().packets, resolution=9, time=86_461_500_000_000))
        done = invoked("decrypt", path, "--keylog", keys)
        assert (done.code, done.errors) == (0, "")
        assert "1970-01-02" in done.output
        assert "1 00:01:01.500000 > HANDSHAKE" in done.output


class TestWhatCannotBeRead:
    def test_a_connection_without_a_line(self, tmp_path: Path, keys: Path) -> None:
        sealed, other = Sealed(Talk(), keys), Sealed(Talk(("192.0.2.1", 50001)), None)
        for one in (sealed, other):
            one.introduce()
            one.say("client", message(b"hi"))
        packets = sealed.talk.close().packets + other.talk.close().packets
        done = invoked("decrypt", written(tmp_path / "capture", packets), "--keylog", keys)
        assert done.code == 1
        assert done.error == (
            "connection 2: 192.0.2.1:50001 → 192.0.2.2:502: the key log has no line for this "
            "connection"
        )
        assert said(done.output) == ["> message, 2 bytes: hi"]
        done = invoked("decrypt", written(tmp_path / "capture", other.talk.packets))
        assert done.code == 1
        assert done.error.endswith("it is sealed: give its key log with --keylog FILE")

    def test_a_capture_that_begins_in_the_middle(self, tmp_path: Path, keys: Path) -> None:
        sealed = Sealed(Talk(), keys)
        sealed.introduce()
        sealed.say("client", message(b"hi"))
        path = written(tmp_path / "capture", sealed.talk.packets[5:])
        done = invoked("decrypt", path, "--keylog", keys)
        assert (done.code, done.output) == (1, "")
        assert "begins in the middle of it" in done.error

    @pytest.mark.parametrize("closed", [True, False])
    def test_missing_segments(self, closed: bool, tmp_path: Path, keys: Path) -> None:
        sealed = Sealed(Talk(), keys)
        sealed.introduce()
        sealed.say("client", message(b"one"), message(b"two"), message(b"three"))
        sealed.say("server", message(b"four"))
        del sealed.talk.packets[7]
        talk = sealed.talk.close() if closed else sealed.talk
        path = written(tmp_path / "capture", talk.packets)
        done = invoked("decrypt", path, "--keylog", keys)
        assert done.code == 1
        assert (
            "segments are missing in the capture: what the client sent was read up" in done.errors
        )
        assert said(done.output) == ["> message, 3 bytes: one", "< message, 4 bytes: four"]

    def test_a_missing_last_segment(self, tmp_path: Path, keys: Path) -> None:
        sealed = Sealed(Talk(), keys)
        sealed.introduce()
        sealed.say("server", message(b"lost"))
        sealed.talk.close()
        del sealed.talk.packets[6]
        path = written(tmp_path / "capture", sealed.talk.packets)
        done = invoked("decrypt", path, "--keylog", keys)
        assert done.code == 1
        assert "what the server sent was read up to there" in done.error

    @pytest.mark.parametrize(
        ("opcode", "before"), [(Opcode.CLOSE, True), (Opcode.PING, True), (Opcode.PING, False)]
    )
    def test_a_control_frame_outside_the_records_is_not_believed(
        self, opcode: Opcode, before: bool, tmp_path: Path, keys: Path
    ) -> None:
        """Whoever is on the way can write one."""
        sealed = Sealed(Talk(), keys)
        if before:
            sealed.introduce()
        sealed.talk.say("server", control.frame(opcode, control.Close(3, "forged").encode()))
        path, out = written(tmp_path / "capture", sealed.talk.close().packets), tmp_path / "out"
        for to in ((), ("-w", out)):
            done = invoked("decrypt", path, "--keylog", keys, *to)
            assert done.code == 1
            assert "the server sent a control frame outside its records" in done.error
            assert "forged" not in done.output
        assert b"forged" not in out.read_bytes()

    def test_one_direction_alone(self, tmp_path: Path, keys: Path) -> None:
        sealed = Sealed(Talk(), keys)
        sealed.introduce()
        packets = [
            one for one in sealed.talk.close().packets if one.data.sport == sealed.talk.client[1]
        ]
        done = invoked("decrypt", written(tmp_path / "capture", packets), "--keylog", keys)
        assert done.code == 1
        assert "what the server sent was read up to there" in done.error

    def test_an_end_within_a_record_or_a_frame(self, tmp_path: Path, keys: Path) -> None:
        sealed = Sealed(Talk(), keys)
        sealed.introduce()
        sealed.say("server", message(b"a frame of which there is more")[:20])
        sealed.talk.say("client", sealed.ends["client"].seal(message(b"cut"))[0][:20])
        path = written(tmp_path / "capture", sealed.talk.packets)
        done = invoked("decrypt", path, "--keylog", keys)
        assert done.code == 1
        assert "the last 20 bytes of the client are no whole record" in done.errors
        assert "the last 20 bytes of the server are no whole frame" in done.errors

    def test_an_end_that_is_not_in_the_capture(self, tmp_path: Path, keys: Path) -> None:
        """A capture that was stopped between two frames looks as if all had been said."""
        sealed = Sealed(Talk(), keys)
        sealed.introduce()
        sealed.say("client", message(b"read"))
        packets = list(sealed.talk.packets)
        sealed.say("client", message(b"lost"))
        one_end = [*packets, sealed.talk.close().packets[-1]]
        for kept, ends in ((packets, ["client", "server"]), (one_end, ["client"])):
            done = invoked("decrypt", written(tmp_path / "capture", kept), "--keylog", keys)
            assert done.code == 1
            assert done.errors == "".join(
                "sealframe: connection 1: 192.0.2.1:50000 → 192.0.2.2:502: what the "
                f"{sender} sent may go on behind the end of the capture: no CLOSE, FIN or RST of "
                f"the {sender} is in it\n"
                for sender in ends
            )
            assert said(done.output) == ["> message, 4 bytes: read"]

    def test_a_connection_is_over_by_a_close_or_a_reset_too(
        self, tmp_path: Path, keys: Path
    ) -> None:
        for sealed_close in (True, False):
            sealed = Sealed(Talk(), keys)
            sealed.introduce()
            if sealed_close:
                sealed.say("client", CLOSE)
                sealed.say("server", message(b"last"), CLOSE)
            else:
                sealed.talk.packets.append(sealed.talk.segment("server", b"", RST))
            path = written(tmp_path / "capture", sealed.talk.packets)
            done = invoked("decrypt", path, "--keylog", keys)
            assert (done.code, done.errors) == (0, "")

    def test_a_record_that_was_changed(self, tmp_path: Path, keys: Path) -> None:
        sealed = Sealed(Talk(), keys)
        sealed.introduce()
        (record,) = sealed.ends["client"].seal(message(b"hi"))
        sealed.talk.say("client", record[:-1] + bytes([record[-1] ^ 1]))
        path = written(tmp_path / "capture", sealed.talk.close().packets)
        done = invoked("decrypt", path, "--keylog", keys)
        assert done.code == 1
        assert "record 1 of the client does not open" in done.error

    def test_a_line_with_other_keys(self, short: Path, keys: Path) -> None:
        line = keys.read_text().split()
        keys.write_text(f"{line[0]} {line[1]} {'00' * 32} {'11' * 32}\n")
        done = invoked("decrypt", short, "--keylog", keys)
        assert done.code == 1
        assert "record 0 of the client does not open with the keys" in done.errors
        assert "record 0 of the server does not open with the keys" in done.errors

    def test_other_protocols(self, tmp_path: Path, keys: Path, short: Path) -> None:
        http = Talk(("192.0.2.1", 50009)).open().say("client", b"GET / HTTP/1.1\r\n\r\n")
        http.say("server", b"HTTP/1.1 404 Not Found\r\n\r\n").close()
        done = invoked("decrypt", written(tmp_path / "other", http.packets), "--keylog", keys)
        assert (done.code, done.output) == (1, "")
        assert "1 other connection left out" in done.errors
        assert "there is no connection of sealframe in this capture" in done.errors

    def test_no_capture_and_no_key_log(self, tmp_path: Path, short: Path, keys: Path) -> None:
        done = invoked("decrypt", keys, "--keylog", keys)
        assert done.code == 1
        assert "is no capture of packets" in done.error
        empty = written(tmp_path / "empty", [])
        assert "not one packet" in invoked("decrypt", empty, "--keylog", keys).error
        nothing = tmp_path / "nothing"
        nothing.write_text("CLIENT_RANDOM 00 00\n")
        done = invoked("decrypt", short, "--keylog", nothing)
        assert done.code == 3
        # Who followed advice that names this very file would spoil it.
        assert f"{nothing} has no line of a key log" in done.error
        assert f"SEALFRAME_KEYLOG={nothing}" not in done.error
        damaged = tmp_path / "damaged"
        damaged.write_bytes(short.read_bytes()[:-10])
        done = invoked("decrypt", damaged, "--keylog", keys)
        assert done.code == 1
        assert "the file ends inside a packet" in done.errors
        assert invoked("decrypt", short, "--json", "-w", tmp_path / "out").code == 2

    @pytest.mark.parametrize("kind", ["pcap", "pcapng"])
    def test_damage_of_any_kind_is_told_and_no_crash(
        self, kind: str, tmp_path: Path, keys: Path
    ) -> None:
        sealed = Sealed(Talk(), keys)
        sealed.introduce()
        sealed.say("client", message(b"hi"))
        # What is in the clear may be damaged without being noticed first.
        plain = Talk(("192.0.2.1", 50001)).open().say("client", HELLO, CLOSE).close()
        packets = sealed.talk.close().packets + plain.packets
        whole = pcap(packets) if kind == "pcap" else pcapng_of(("ethernet", p) for p in packets)
        path, out, rng = tmp_path / "capture", tmp_path / "out", random.Random(2)
        codes = set()
        for number in range(50):
            damaged = bytearray(whole)
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(24, len(damaged))] = rng.randrange(256)
            path.write_bytes(damaged)
            to = ("-w", out) if number % 2 else ()
            codes.add(invoked("decrypt", path, "--keylog", keys, *to).code)
            out.unlink(missing_ok=True)
        assert codes == {0, 1}

    def test_a_time_beyond_every_calendar(self, tmp_path: Path, keys: Path) -> None:
        sealed = Sealed(Talk(), keys)
        path = tmp_path / "capture"
        # Whole seconds, and the most of them.
        path.write_bytes(timed(sealed.talk.close().packets, resolution=0, time=2**64 - 1))
        done = invoked("decrypt", path, "--keylog", keys)
        assert done.code == 0
        assert "1 23:59:59.000000 > HANDSHAKE" in done.output
        assert invoked("decrypt", path, "--keylog", keys, "-w", tmp_path / "out").code == 0


class TestFiles:
    def test_the_frames_are_written_for_this_user_alone(
        self, tmp_path: Path, short: Path, keys: Path
    ) -> None:
        out = tmp_path / "out.pcapng"
        done = invoked("decrypt", short, "--keylog", keys, "-w", out)
        assert (done.code, done.output, done.errors) == (0, "", "")
        if os.name == "posix":
            assert out.stat().st_mode & 0o777 == 0o600
        blocks = pcapng.FileScanner(io.BytesIO(out.read_bytes()))
        packets = [one for one in blocks if isinstance(one, pcapng.blocks.EnhancedPacket)]
        assert packets[0].interface.link_type == 252
        assert [one.packet_data.endswith(message(b"hi")) for one in packets].count(True) == 1
        assert packets[-1].packet_data.endswith(CLOSE)
        done = invoked("decrypt", short, "--keylog", keys, "-w", out)
        assert done.code == 1
        assert "is there already and is not overwritten" in done.error

    def test_no_file_is_left_where_there_is_nothing_to_write(self, tmp_path: Path) -> None:
        http = Talk().open().say("client", b"GET / HTTP/1.1\r\n\r\n").close()
        out = tmp_path / "out.pcapng"
        done = invoked("decrypt", written(tmp_path / "capture", http.packets), "-w", out)
        assert done.code == 1
        assert not out.exists()

    def test_a_frame_that_no_packet_can_hold_is_cut_and_told(
        self, tmp_path: Path, keys: Path
    ) -> None:
        sealed = Sealed(Talk(), keys)
        sealed.introduce()
        sealed.talk.say(
            "client",
            *(
                stream[at : at + 60_000]
                for stream in [b"".join(sealed.ends["client"].seal(message(bytes(300_000))))]
                for at in range(0, len(stream), 60_000)
            ),
        )
        out = tmp_path / "out.pcapng"
        path = written(tmp_path / "capture", sealed.talk.close().packets)
        done = invoked("decrypt", path, "--keylog", keys, "-w", out)
        assert done.code == 0
        assert done.error.startswith("1 frame larger than a packet may be")
        *_, last = pcapng.FileScanner(io.BytesIO(out.read_bytes()))
        assert last.captured_len == 262_144
        assert last.packet_len > 300_000
