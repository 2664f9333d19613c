"""``share/wireshark/sealframe.lua``, by the real tshark: what it shows of our bytes."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

import sealframe
from sealframe import Connection
from sealframe.wire import (
    CloseCode,
    FailureCode,
    Opcode,
    Pattern,
    ResetCode,
    StreamKind,
    Tlv,
    control,
)

from .captures.building import SERVER, Talk, pcap
from .captures.recording import recorder
from .commands import invoked
from .test_decrypt import CLOSE, HELLO, WELCOME, Sealed, message, upper

pytest.importorskip("cryptography", reason="cryptography is not installed")

SCRIPT = Path(__file__).parents[2] / "share" / "wireshark" / "sealframe.lua"
TSHARK = shutil.which("tshark")
PORT = f"sealframe.ports:{SERVER[1]}"
PATIENCE = 20.0

needs_tshark = pytest.mark.skipif(TSHARK is None, reason="there is no tshark here")


def tshark(path: Path, *options: str, prefs: Iterable[str] = (PORT,)) -> str:
    """Return what tshark prints of a capture, with the dissector."""
    assert TSHARK is not None
    set_prefs = [word for pref in prefs for word in ("-o", pref)]
    done = subprocess.run(
        [TSHARK, "-X", f"lua_script:{SCRIPT}", "-r", path, *set_prefs, *options],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    # A script that fails says so, and tshark goes on.
    assert "Lua" not in done.stderr, done.stderr
    assert "Lua Error" not in done.stdout, done.stdout
    return done.stdout


def shown(path: Path, *names: str, prefs: Iterable[str] = (PORT,)) -> list[list[str]]:
    """Return fields of each packet that the dissector took."""
    columns = [word for name in names for word in ("-e", name)]
    output = tshark(path, "-Y", "sealframe", "-T", "fields", *columns, prefs=prefs)
    return [line.split("\t") for line in output.splitlines()]


def infos(path: Path, prefs: Iterable[str] = (PORT,)) -> list[str]:
    """Return the frames by the names that they have in the list of packets."""
    return [
        name for (line,) in shown(path, "_ws.col.Info", prefs=prefs) for name in line.split("; ")
    ]


def written(tmp_path: Path, talk: Talk, *, cut: int | None = None) -> Path:
    path = tmp_path / "capture.pcap"
    path.write_bytes(pcap(talk.packets, cut=cut))
    return path


def said_in_pieces(talk: Talk, sender: str, data: bytes, size: int) -> None:
    talk.say(sender, *(data[at : at + size] for at in range(0, len(data), size)))


@pytest.fixture
def plain() -> Talk:
    talk = Talk().open().say("client", HELLO).say("server", WELCOME)
    return talk.say("client", message(b"hi") + message(b"") + CLOSE)


NAMES: dict[str, type[IntEnum]] = {
    "OPCODES": Opcode,
    "PATTERNS": Pattern,
    "CLOSE_CODES": CloseCode,
    "STREAM_KINDS": StreamKind,
    "RESET_CODES": ResetCode,
    "FAILURE_CODES": FailureCode,
    "TLVS": Tlv,
}


@pytest.mark.parametrize("table", NAMES)
def test_every_number_of_the_protocol_has_its_name(table: str) -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    found = re.search(rf"^local {table} = \{{(.*?)\}}$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    numbers: dict[int, str] = {}
    # A table of Lua counts from 1 where no number stands before the first.
    following = 1
    for number, name in re.findall(r'(?:\[(\w+)\] = )?"(\w+)"', found[1]):
        at = int(number, 0) if number else following
        numbers[at] = name
        following = at + 1
    assert numbers.items() >= {int(one): one.name for one in NAMES[table]}.items()


@needs_tshark
class TestTheDissector:
    async def test_a_real_plain_connection(self, tmp_path: Path) -> None:
        async def serve(conn: Connection) -> None:
            await conn.send(await conn.recv())
            await conn.request(b"a question")
            await upper(conn)

        async def answer(conn: Connection, request: bytes) -> bytes:
            return b"an answer"

        async with (
            asyncio.timeout(PATIENCE),
            sealframe.serve(serve, "127.0.0.1", 0) as server,
            recorder() as recording,
        ):
            recording.target = server.port
            async with sealframe.connect(
                "127.0.0.1", recording.port, extended=True, on_request=answer
            ) as conn:
                await conn.send(bytes(100_000))
                assert await conn.recv() == bytes(100_000)
                await conn.ping()
        path = written(tmp_path, recording.connections[0].talk(server=SERVER))
        found = await asyncio.to_thread(infos, path)
        assert found[:2] == ["HELLO", "WELCOME"]
        expected = {
            *("REQUEST 0, 10 bytes", "REPLY 0, 9 bytes", "PING", "PONG", "CLOSE NORMAL"),
            "message of 100000 bytes",
        }
        assert expected <= set(found), found

    def test_frames_over_segments_of_any_size(self, tmp_path: Path) -> None:
        frames = [HELLO, *(message(bytes(size)) for size in range(40)), CLOSE]
        talk = Talk().open()
        said_in_pieces(talk, "client", b"".join(frames), 7)
        found = infos(written(tmp_path, talk))
        expected = [f"message of {size} bytes" for size in range(40)]
        assert found == ["HELLO", *expected, "CLOSE TOO_LARGE"]

    @pytest.mark.parametrize(
        ("prefs", "count"),
        [
            ((), 0),
            (("sealframe.ports:1-501,503-600",), 0),
            (("sealframe.ports:1,502",), 5),
            (("sealframe.heuristic:TRUE",), 5),
        ],
    )
    def test_nothing_is_taken_unless_it_is_asked_for(
        self, prefs: tuple[str, ...], count: int, tmp_path: Path, plain: Talk
    ) -> None:
        assert len(infos(written(tmp_path, plain), prefs=prefs)) == count

    def test_sealed_connections_are_opaque_and_labelled(self, tmp_path: Path) -> None:
        sealed = Sealed(Talk(), None)
        sealed.introduce()
        stream = sealed.ends["client"].seal(message(bytes(100_000)))
        said_in_pieces(sealed.talk, "client", b"".join(stream), 1460)
        sealed.talk.say("client", message(b"short"))
        path = written(tmp_path, sealed.talk)
        found = shown(
            path, "_ws.col.Info", "_ws.expert.message", "sealframe.pattern", "sealframe.noise"
        )
        assert found[0][2] == "1"
        assert len(found[0][3]) == 96
        assert [name for name, *_ in found] == [
            "HANDSHAKE NNPSK0",
            "HANDSHAKE",
            f"record of {len(HELLO) + 16} bytes",
            f"record of {len(WELCOME) + 16} bytes",
            "record of 34501 bytes",
            "record of 65535 bytes",
            "record of 5 bytes",
        ]
        errors = [error for _, error, *_ in found]
        assert errors[-1] == "A record has 17 to 65,535 bytes"
        assert not any(errors[:-1])

    def test_what_is_wrong_is_told(self, tmp_path: Path) -> None:
        wrong = [
            (control.frame(Opcode.CREDIT, b"\1"), "CREDIT: it is cut short"),
            (control.frame(Opcode.STREAM_END, bytes(9)), "STREAM_END has more bytes than it may"),
            (control.frame(0x31, b"new"), "The opcode is not known"),
            (control.frame(Opcode.HELLO, b"sealfraM\1"), "HELLO: the magic is missing"),
            (control.frame(Opcode.HELLO, HELLO[5:-1]), "HELLO: it is cut short"),
            (control.frame(Opcode.PING, bytes(9)), "A PING of over 8 bytes"),
            (
                control.frame(Opcode.CLOSE, b"\0\0\0\1\0\0\0\1\0\0\0"),
                "Fields stand in ascending order",
            ),
            (
                control.frame(Opcode.CLOSE, b"\0\0\0\1\xff\0\0"),
                "A critical field that is not known",
            ),
            (control.frame(Opcode.CLOSE, b"\0\0\0\1\0\1\0\7"), "MAX_FRAME of 1 bytes"),
            (CLOSE, "Closes with TOO_LARGE"),
            ((2**31 + 65_537).to_bytes(4, "little") + b"x", "a control frame of 65537 bytes"),
        ]
        talk = Talk().open()
        for frame, _ in wrong:
            talk.say("client", frame)
        found = [text for (text,) in shown(written(tmp_path, talk), "_ws.expert.message")]
        assert len(found) == len(wrong)
        for text, (_, expected) in zip(found, wrong, strict=True):
            assert expected in text

    def test_a_capture_that_cut_its_packets(self, tmp_path: Path) -> None:
        talk = Talk().open().say("client", message(bytes(500)), message(b"hi"))
        path = written(tmp_path, talk, cut=150)
        first, second = shown(path, "_ws.col.Info", "_ws.expert.message")
        assert first[0] == "message of 500 bytes"
        assert "of its 500 bytes were captured" in first[1]
        assert second == ["message of 2 bytes", ""]

    def test_a_record_of_nothing(self, tmp_path: Path) -> None:
        sealed = Sealed(Talk(), None)
        sealed.talk.say("client", bytes(4))
        name, error = shown(written(tmp_path, sealed.talk), "_ws.col.Info", "_ws.expert.message")[
            -1
        ]
        assert name == "record of 0 bytes"
        assert "A record has 17 to 65,535 bytes" in error

    def test_a_record_that_is_cut_behind_its_head(self, tmp_path: Path) -> None:
        sealed = Sealed(Talk(), None)
        client = sealed.ends["client"]
        # As large as the first HANDSHAKE, which is to be there whole.
        sealed.talk.say("client", b"".join([*client.seal(bytes(43)), *client.seal(HELLO)]))
        # Ethernet, IP and TCP take 54 bytes.
        path = written(tmp_path, sealed.talk, cut=54 + 63 + 4)
        assert "0 of its " in shown(path, "_ws.expert.message")[-1][0]

    def test_no_label_has_what_steers_a_terminal(self, tmp_path: Path) -> None:
        hello = control.Hello(software="a\x1b[31mb\x9bc").encode()
        talk = Talk().open().say("client", control.frame(Opcode.HELLO, hello))
        output = tshark(written(tmp_path, talk), "-V")
        assert "SOFTWARE, a.[31mb.c" in output
        assert not {"\x1b", "\x9b"} & set(output)

    def test_what_is_too_large_is_not_waited_for(self, tmp_path: Path) -> None:
        talk = Talk().open().say("client", b"GET / HTTP/1.1\r\n", message(b"hi"))
        assert infos(written(tmp_path, talk)) == [
            "a message of 542393671 bytes, or no frame",
            "message of 2 bytes",
        ]

    def test_what_was_decrypted_is_shown_with_all_its_fields(self, tmp_path: Path) -> None:
        keys, out = tmp_path / "keys", tmp_path / "out.pcapng"
        number = (5).to_bytes(8, "little")
        session = control.SessionHello(b"t" * 16, 1, 2, 3, 4, 4, 5, 1024).encode()
        hello = control.Hello(software="grün", session=session, max_streams=128).encode()
        sealed = Sealed(Talk(), keys)
        sealed.say("client", control.frame(Opcode.HELLO, hello))
        sealed.say("server", WELCOME)
        bodies = [
            (Opcode.STREAM_OPEN, number + b"\3\0\0\1\0log"),
            (Opcode.STREAM_DATA, number + b"words"),
            (Opcode.STREAM_CREDIT, number + b"\0\0\1\0"),
            (Opcode.STREAM_END, number),
            (Opcode.STREAM_RESET, number + b"\1\0enough"),
            (Opcode.REQUEST, number + b"what?"),
            (Opcode.FAILURE, number + b"\2\4TypeNo"),
            (Opcode.CANCEL, number),
            (Opcode.ACK, number),
            (Opcode.CREDIT, b"\0\0\1\0"),
            (Opcode.UNSUPPORTED, b"\x31new"),
            (Opcode.GOAWAY, control.Close(1, "back soon", retry_after=1500).encode()),
        ]
        sealed.say("client", b"".join(control.frame(*body) for body in bodies))
        sealed.say("client", message(b"hi"), CLOSE)
        path = written(tmp_path, sealed.talk.close())
        assert invoked("decrypt", path, "--keylog", keys, "-w", out).code == 0
        packets = json.loads(tshark(out, "-T", "json", "--no-duplicate-keys", prefs=()))
        frames: list[dict[str, Any]] = [one["_source"]["layers"]["sealframe"] for one in packets]
        assert infos(out, prefs=()) == [
            "HANDSHAKE NNPSK0",
            "HANDSHAKE",
            "HELLO",
            "WELCOME",
            "STREAM_OPEN 5, FILE",
            "STREAM_DATA 5, 5 bytes",
            "STREAM_CREDIT 5, 65536",
            "STREAM_END 5",
            "STREAM_RESET 5, UNSUPPORTED",
            "REQUEST 5, 5 bytes",
            "FAILURE 5, CANCELLED",
            "CANCEL 5",
            "ACK 5",
            "CREDIT 65536",
            "UNSUPPORTED 0x31",
            "GOAWAY GOING_AWAY",
            "message of 2 bytes",
            "CLOSE TOO_LARGE",
        ]
        hello_fields = frames[2]["sealframe"]
        assert [one["sealframe.tlv.type"] for one in hello_fields] == ["1", "4", "5", "10"]
        assert hello_fields[1]["sealframe.session.link"] == "2"
        assert hello_fields[1]["sealframe.session.acknowledged"] == "4"
        assert hello_fields[1]["sealframe.session.ack_by"] == "1024"
        assert hello_fields[2]["sealframe.tlv.text"] == "grün"
        assert hello_fields[3]["sealframe.tlv.number"] == "128"
        by_name = {
            Opcode(int(one["sealframe.opcode"], 16)).name: one
            for one in frames
            if "sealframe.opcode" in one
        }
        for name, wanted in {
            "STREAM_OPEN": {"stream": "5", "kind": "3", "window": "65536", "metadata": "6c:6f:67"},
            "STREAM_DATA": {"data": "77:6f:72:64:73"},
            "STREAM_RESET": {"reset_code": "1", "reason": "enough"},
            "REQUEST": {"request": "5", "payload": "77:68:61:74:3f"},
            "FAILURE": {"failure_code": "2", "error_type": "Type", "error_text": "No"},
            "GOAWAY": {"code": "1", "reason": "back soon"},
            "CLOSE": {"code": "3", "reason": "enough"},
        }.items():
            found = {key: by_name[name][f"sealframe.{key}"] for key in wanted}
            assert found == wanted, name
        assert frames[-2]["sealframe.message"] == "68:69"
