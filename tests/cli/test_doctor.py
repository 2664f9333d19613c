"""``sealframe doctor`` as people run it: what it reads, what it says, how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import struct
from pathlib import Path

import pytest

from sealframe import Framing

from .captures.building import Talk, pcap
from .commands import invoked, outcome, running

LAYOUT = Framing(width=2, byteorder="big", offset=4, strip=0)
EXPRESSION = 'Framing(width=2, byteorder="big", offset=4, strip=0)'


def frames(count: int = 12) -> list[bytes]:
    """Return frames of a counter, a length and a body, each of another size."""
    bodies = [bytes(range(number + 3)) * (1 + number % 3) for number in range(count)]
    return [
        struct.pack(">IH", number, len(body)) + body
        for number, body in enumerate(bodies, start=1000)
    ]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "capture"
    path.write_bytes(b"".join(frames()))
    return path


class TestFiles:
    def test_the_layout_with_its_evidence(self, capture: Path) -> None:
        done = invoked("doctor", capture)
        assert (done.code, done.errors) == (0, "")
        lines = done.output.splitlines()
        size = len(capture.read_bytes())
        assert lines[0] == f"{capture}: {size} bytes"
        assert EXPRESSION in lines
        assert "  This is the layout." in lines
        assert any(line.startswith("  12 whole frames, 0 bytes left over.") for line in lines)
        assert "frame 2 at 9: 14 bytes; the length says 8" in lines
        assert (
            "00000009  00 00 03 e9[00 08]00 01 02 03 00 01 02 03        ................"[:62]
            in done.output
        )
        assert "and 8 more frames" in lines

    def test_for_programs(self, capture: Path) -> None:
        done = invoked("doctor", capture, "--json")
        assert (done.code, done.errors) == (0, "")
        answer = json.loads(done.output)
        assert answer["status"] == "high"
        (diagnosis,) = answer["diagnoses"]
        assert diagnosis["verdict"] is None
        assert diagnosis["streams"][0]["name"] == str(capture)
        first = diagnosis["candidates"][0]
        assert first["expression"] == EXPRESSION
        assert (first["confidence"], first["frames"], first["left_over"]) == ("high", 12, 0)
        starts = [sum(map(len, frames()[:number])) for number in range(12)]
        assert first["starts"] == [starts]

    def test_a_dump_that_is_pasted(self, capture: Path) -> None:
        rows = [
            f"{at:08x}  {capture.read_bytes()[at : at + 16].hex(' ')}  |...|"
            for at in range(0, len(capture.read_bytes()), 16)
        ]
        text = "I get this from the device:\n\n" + "\n".join(rows) + "\n\nWhere is the length?\n"
        done = invoked("doctor", "-", typed=text.encode())
        assert done.code == 0
        assert done.output.startswith("standard input: ")
        assert "read as a dump of" in done.output
        assert EXPRESSION in done.output

    def test_a_capture_of_packets(self, tmp_path: Path) -> None:
        talk = Talk().open().say("client", *frames()).close()
        path = tmp_path / "capture.pcap"
        path.write_bytes(pcap(talk.packets))
        done = invoked("doctor", path)
        assert done.code == 0
        assert "192.0.2.1:50000 → 192.0.2.2:502" in done.output
        assert "in 12 segments or reads, sent by the client" in done.output
        done = invoked("doctor", path, "--stream", 7)
        assert done.code == 66
        assert "there is no stream 7" in done.error

    def test_several_files_are_streams_of_one_protocol(self, capture: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.write_bytes(b"".join(frames(5)))
        done = invoked("doctor", capture, other, "--json")
        (diagnosis,) = json.loads(done.output)["diagnoses"]
        assert [stream["name"] for stream in diagnosis["streams"]] == [str(capture), str(other)]
        assert diagnosis["candidates"][0]["frames"] == 17

    def test_what_is_not_framed(self, tmp_path: Path) -> None:
        path = tmp_path / "page"
        path.write_bytes(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
        done = invoked("doctor", path)
        assert done.code == 2
        assert "HTTP" in done.output

    def test_nothing_steers_the_terminal(self, tmp_path: Path) -> None:
        name = "evil\x1b]0;title\x07"
        (tmp_path / name).write_bytes(
            b"".join(struct.pack(">H", 5 + n) + b"\x1b[2J\x9b" + b"\x07" * n for n in range(9))
        )
        # invoked() refuses any escape.
        done = invoked("doctor", tmp_path / name)
        assert "evil\\x1b]0;title\\x07" in done.output
        assert not {"\x07", "\x9b"} & set(done.output)


class TestFraming:
    def test_it_fits(self, capture: Path) -> None:
        done = invoked("doctor", capture, "--framing", EXPRESSION)
        assert done.code == 0
        assert "it fits, 12 whole frames" in done.output

    def test_it_does_not_and_why(self, capture: Path) -> None:
        wrong = "Framing(width=2, offset=4, strip=0)"
        done = invoked("doctor", capture, "--framing", wrong)
        assert done.code == 2
        assert "it does not fit" in done.output
        assert "big-endian" in done.output
        assert EXPRESSION in done.output
        done = invoked("doctor", capture, "--framing", wrong, "--json")
        answer = json.loads(done.output)
        assert (done.code, answer["status"]) == (2, "none")
        (check,) = answer["checks"]
        assert not check["fits"]
        assert "big-endian" in check["explanation"][0]

    def test_what_it_prints_can_be_pasted(self, tmp_path: Path) -> None:
        """With a function, and with what stands before the first frame."""
        lines, greeted = tmp_path / "lines", tmp_path / "greeted"
        bodies = [b"status ok", b"up", b"x" * 71, b"motor 3 stopped", b"\0\1\2"]
        lines.write_bytes(b"".join(b"SIZE %d PUT\r\n" % len(body) + body for body in bodies))
        greeted.write_bytes(b"HELLO 1\n" + b"".join(frames()))
        for path in (lines, greeted):
            said = invoked("doctor", path).output.splitlines()
            with_it = [line.split(": ", 1)[1] for line in said if line.startswith("  With it: ")]
            shown = next(line for line in said if line.startswith(("Sized(", "Framing(")))
            text = with_it[0].split(", or ")[0] if with_it else shown
            done = invoked("doctor", path, "--framing", text)
            assert (done.code, done.errors) == (0, "")
            assert "it fits" in done.output

    def test_a_name_of_the_catalogue(self, tmp_path: Path) -> None:
        path = tmp_path / "modbus"
        path.write_bytes(bytes.fromhex("000100000006010300000002" * 3))
        done = invoked("doctor", path, "--framing", "modbus-tcp")
        assert done.code == 0
        assert "it fits, 3 whole frames" in done.output

    def test_a_layout_of_functions_is_printed_by_its_name(self, tmp_path: Path) -> None:
        path = tmp_path / "git"
        lines = (
            b"command=ls-refs\n",
            b"agent=git/2.39.5",
            b"",
            b"peel\n",
            b"symrefs\n",
            b"ref-prefix H\n",
        )
        written = [b"%04x%b" % (len(one) + 4, one) if one else b"0001" for one in lines]
        path.write_bytes(b"".join(written) + b"0000")
        done = invoked("doctor", path)
        assert "layouts.GIT\n  This is the layout." in done.output
        assert invoked("doctor", path, "--framing", "layouts.GIT").code == 0

    @pytest.mark.parametrize(
        ("text", "why"), [("Framing(width=99)", "width"), ("os.abort()", "os.abort"), ("nope", "")]
    )
    def test_no_layout(self, capture: Path, text: str, why: str) -> None:
        done = invoked("doctor", capture, "--framing", text)
        assert (done.code, done.output) == (64, "")
        assert why in done.error
        assert "--framing" in done.error


class TestNumbers:
    @pytest.mark.parametrize("number", ["1195725856", "0x47455420", "1,195,725,856"])
    def test_a_known_one(self, number: str) -> None:
        done = invoked("doctor", number)
        assert (done.code, done.errors) == (0, "")
        assert '"GET "' in done.output
        assert "HTTP" in done.output

    def test_for_programs(self) -> None:
        done = invoked("doctor", "83886080", "--json")
        answer = json.loads(done.output)
        assert (done.code, answer["number"], answer["status"]) == (0, 83886080, "high")
        assert "byte order" in answer["explanation"][0]

    def test_one_that_says_nothing(self) -> None:
        done = invoked("doctor", "17")
        assert done.code == 2
        assert "Nothing is known" in done.output


class TestLive:
    async def test_a_server_is_only_listened_to(self) -> None:
        heard: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for frame in frames():
                writer.write(frame)
                await writer.drain()
            writer.write_eof()
            heard.append(await reader.read())
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            done = await outcome("doctor", f"127.0.0.1:{port}")
        assert done.code == 0
        assert "nothing is sent" in done.errors
        assert EXPRESSION in done.output
        assert heard in ([], [b""])

    async def test_it_is_stopped(self) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"".join(frames()))
            await reader.read()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with running("doctor", f"127.0.0.1:{port}") as program:
                assert "nothing is sent" in await program.error_line()
                assert (await program.error_line()).endswith(f"127.0.0.1:{port} speaks")
                done = await program.end_by(signal.SIGINT)
        assert done.code == 0
        assert EXPRESSION in done.output

    async def test_a_server_that_waits_for_its_client(self) -> None:
        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(wait, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            done = await outcome("doctor", f"127.0.0.1:{port}", "--seconds", "0.2")
        assert (done.code, done.output) == (66, "")
        assert "--proxy LISTEN" in done.errors

    def test_nobody_is_there(self) -> None:
        done = invoked("doctor", "127.0.0.1:1")
        assert (done.code, done.output) == (66, "")
        assert "cannot connect to 127.0.0.1:1" in done.errors

    async def test_a_proxy_passes_on_and_looks_at_both_ends(self) -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with running("doctor", "--proxy", "127.0.0.1:0", target, "--json") as program:
                line = await program.error_line()
                assert f"passing on to {target}" in line
                port = int(
                    line.partition("127.0.0.1:")[2]
                    .partition("comes to 127.0.0.1:")[2]
                    .partition(";")[0]
                )
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for frame in frames():
                    writer.write(frame)
                    assert await reader.readexactly(len(frame)) == frame
                writer.write_eof()
                assert await reader.read() == b""
                writer.close()
                assert "is passed on" in await program.error_line()
                assert "has ended" in await program.error_line()
                done = await program.end_by(signal.SIGINT)
        assert done.code == 0
        (diagnosis,) = json.loads(done.output)["diagnoses"]
        client, server_said = diagnosis["streams"]
        assert (client["sender"], client["segments"]) == ("client", 12)
        assert (server_said["sender"], server_said["bytes"]) == ("server", client["bytes"])
        assert diagnosis["candidates"][0]["expression"] == EXPRESSION


class TestWrongCalls:
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ([], "give a FILE"),
            (["--what"], "--what"),
            (["/none/at/all"], "is no file, no HOST:PORT and no number"),
            (["/"], "is a directory"),
            (["17", "--raw"], "--raw and --stream go with files"),
            (["17", "--framing", "INT32_BE"], "not with a number"),
            (["17", "--seconds", "1"], "--seconds goes with"),
            (["-", "--stream", "0"], "--stream"),
            (["--proxy", "127.0.0.1:0"], "--proxy"),
            (["--proxy", "127.0.0.1:0", "x"], "write HOST:PORT"),
            (["--proxy", "127.0.0.1:0", "127.0.0.1:1", "file"], "leave out the others"),
        ],
    )
    def test_end_with_a_code_of_their_own(self, arguments: list[str], text: str) -> None:
        done = invoked("doctor", *arguments)
        assert (done.code, done.output) == (64, "")
        assert text in done.error
        assert "sealframe doctor --help" in done.error

    def test_nothing_to_look_at(self, tmp_path: Path) -> None:
        done = invoked("doctor", "-", typed=b"")
        assert (done.code, done.output) == (66, "")
        assert "standard input is empty" in done.error
        (tmp_path / "empty.pcap").write_bytes(pcap([]))
        done = invoked("doctor", tmp_path / "empty.pcap")
        assert (done.code, done.output) == (66, "")
        assert "no TCP" in done.error

    def test_the_help_says_them(self) -> None:
        done = invoked("doctor", "--help")
        assert done.code == 0
        assert "64   wrong arguments" in done.output


def test_the_guide_shows_what_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "guides" / "doctor.md").read_text("utf-8")
    typed, shown = (part.partition("```")[0] for part in page.split("```text\n")[1:])
    done = invoked("doctor", "-", typed=typed.encode())
    assert done.code == 0
    assert shown
    lines = done.output.splitlines()
    assert [line for line in shown.splitlines() if line not in lines] == []
