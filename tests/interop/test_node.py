"""The JavaScript example peer, which was written from docs/PROTOCOL.md, against sealframe."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sealframe
from sealframe import ClientOptions, CloseCode, Framing, SharedKey
from sealframe.wire import Control, Opcode, control
from sealframe.wire.control import Close, Hello

from .programs import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NODE = shutil.which("node")
SOURCES = Path(__file__).parents[2] / "examples" / "node"
OLDEST = (18, 8)

VECTORS = json.loads((SOURCES.parents[1] / "docs" / "vectors.json").read_text(encoding="utf-8"))
SHARED_KEY = bytes.fromhex(VECTORS["shared key"])
REFUSALS = [
    case
    for case in VECTORS["failures"]
    if (case["end"], case["pattern"], len(case["reads"])) == ("server", 1, 1)
]
"""Handshakes that fail with the first frame."""

CLOSE = control.frame(Opcode.CLOSE, Close().encode())

LINES = ["plain", "", "Grüße aus Køge", "x" * 200_000, *(f"{n} ✓" for n in range(2000)), "", "end"]
REKEY = 4200
"""Messages, one record each: more than one key's worth."""


def why_not() -> str:
    """Return why these tests cannot run, empty if they can."""
    if NODE is None:
        return "node is not installed"
    found = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=False)
    version = tuple(int(part) for part in found.stdout.strip().lstrip("v").split(".")[:2])
    return "" if version >= OLDEST else f"node {found.stdout.strip()} is too old"


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it is there")


@dataclass
class Way:
    """How both ends talk."""

    client: dict[str, Any]
    """For sealframe's end."""
    server: dict[str, Any]
    node_client: list[str]
    node_server: list[str]


@pytest.fixture(params=["packets", "extended", "sealed"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    if request.param == "packets":
        return Way({}, {}, [], [])
    if request.param == "extended":
        return Way({"extended": True}, {}, ["--extended"], [])
    key = SharedKey.generate()
    path = tmp_path / "shared.key"
    key.save(path)
    sealing: dict[str, Any] = {"security": key, "context": "node"}
    options = ["--key", str(path), "--context", "node"]
    return Way(sealing, sealing, options, options)


with_control = pytest.mark.parametrize("way", ["extended", "sealed"], indirect=True)


@asynccontextmanager
async def node_server(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run the server; it is killed at the end."""
    async with running(NODE, SOURCES / "server.mjs", "127.0.0.1", 0, *options) as process:
        assert process.stdout is not None
        first = (await process.stdout.readline()).decode()
        assert first.startswith("listening on port ")
        yield process, int(first.split()[-1])


async def answers_to(port: int, data: bytes) -> list[Control]:
    """Return the control frames that come until the end of the stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    frames = Framing(control=True).decoder().feed(await reader.read())
    writer.close()
    await writer.wait_closed()
    return [frame for frame in frames if isinstance(frame, Control)]


async def run_client(port: int, lines: list[str], *options: str) -> tuple[int | None, str, str]:
    """Run the client to its end with these lines as its input."""
    async with running(NODE, SOURCES / "client.mjs", "127.0.0.1", port, *options) as process:
        output, errors = await process.communicate("".join(f"{x}\n" for x in lines).encode())
        return process.returncode, output.decode(), errors.decode()


async def echo(conn: sealframe.Connection) -> None:
    async for message in conn:
        await conn.send(message)


class TestNodeClient:
    async def test_it_gets_back_what_it_sends(self, way: Way) -> None:
        async with sealframe.serve(echo, "127.0.0.1", 0, **way.server) as server:
            done = await run_client(server.port, LINES, *way.node_client)
        assert done == (0, "".join(f"{line}\n" for line in LINES), "")

    @with_control
    async def test_it_is_told_why_the_server_closes(self, way: Way) -> None:
        async def refuse(conn: sealframe.Connection) -> None:
            await conn.recv()
            await conn.close(CloseCode.KICKED, "enough")

        async with sealframe.serve(refuse, "127.0.0.1", 0, **way.server) as server:
            code, _, errors = await run_client(server.port, ["a", "b"], *way.node_client)
        assert (code, errors) == (1, "the peer closed: code 11 enough\n")

    async def test_it_is_told_that_the_server_is_sealed(self) -> None:
        key = SharedKey.generate()
        async with sealframe.serve(echo, "127.0.0.1", 0, security=key) as server:
            for options in ([], ["--extended"]):
                code, _, errors = await run_client(server.port, ["a"], *options)
                assert (code, errors) == (1, "the server refused: code 16\n")


class TestNodeServer:
    async def test_it_sends_back_what_comes(self, way: Way) -> None:
        async with node_server(*way.node_server) as (process, port):
            async with sealframe.connect("127.0.0.1", port, **way.client) as conn:
                for line in LINES:
                    await conn.send(line.encode())
                for line in LINES:
                    assert await conn.recv() == line.encode()
                assert await conn.close()
            assert process.stdout is not None
            assert await process.stdout.readline() == b"node-1: closed\n"

    async def test_keys_change_in_both_directions(self, tmp_path: Path) -> None:
        key = SharedKey.generate()
        key.save(tmp_path / "key")
        async with (
            node_server("--key", str(tmp_path / "key")) as (_, port),
            sealframe.connect("127.0.0.1", port, security=key) as conn,
        ):
            for number in range(REKEY):
                await conn.send(b"%d" % number)
                assert await conn.recv() == b"%d" % number

    @with_control
    async def test_it_answers_ping(self, way: Way) -> None:
        async with node_server(*way.node_server) as (_, port):
            options = ClientOptions(keepalive_interval=0.05)
            async with sealframe.connect("127.0.0.1", port, **way.client, options=options) as conn:
                assert await conn.ping() >= 0

    async def test_it_answers_what_is_wrong_as_the_vectors_say(self, tmp_path: Path) -> None:
        SharedKey(SHARED_KEY).save(tmp_path / "key")
        options = ("--key", str(tmp_path / "key"), "--context", "demo")
        answers = {}
        async with node_server(*options) as (_, port):
            for case in REFUSALS:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(bytes.fromhex(case["reads"][0]))
                answers[case["name"]] = [(await reader.read()).hex()]
                writer.close()
                await writer.wait_closed()
        assert answers == {case["name"]: case["writes"] or [""] for case in REFUSALS}

    async def test_each_wrong_turn_is_answered_with_its_code(self) -> None:
        hello = control.frame(Opcode.HELLO, Hello().encode())
        turns = {
            "version 2": (control.frame(Opcode.HELLO, b"sealfram\x02"), CloseCode.VERSION),
            "HELLO again": (hello * 2, CloseCode.PROTOCOL),
            "PING of 9": (hello + control.frame(Opcode.PING, bytes(9)), CloseCode.PROTOCOL),
            "REQUEST": (hello + control.frame(Opcode.REQUEST, bytes(9)), CloseCode.PROTOCOL),
            "must be understood": (hello + control.frame(0x5F), CloseCode.PROTOCOL),
            "no opcode": (hello + b"\0\0\0\x80", CloseCode.PROTOCOL),
            "too large": (hello + b"\xff\xff\xff\x7f", CloseCode.TOO_LARGE),
            "large control": (hello + b"\x01\0\x01\x80", CloseCode.TOO_LARGE),
            "behind CLOSE": (hello + CLOSE + control.frame(Opcode.PAD), CloseCode.NORMAL),
            "no magic": (control.frame(Opcode.HELLO, b"sealfran\x01"), None),
            "PING first": (control.frame(Opcode.PING), None),
        }
        async with node_server() as (_, port):
            for name, (data, code) in turns.items():
                close = [frame for frame in await answers_to(port, data) if frame.opcode == 0x44]
                codes = [Close.decode(frame.body).code for frame in close]
                assert codes == ([] if code is None else [code]), name
            unknown = hello + control.frame(0x18, b"what?") * 2 + control.frame(0x98) + CLOSE
            frames = await answers_to(port, unknown)
            opcodes = [frame.opcode for frame in frames]
            assert opcodes == [Opcode.WELCOME, Opcode.UNSUPPORTED, Opcode.CLOSE]
            assert frames[1].body == b"\x18what?"
            assert Close.decode(frames[2].body).frames_received == 0

    async def test_another_key_is_refused(self, tmp_path: Path) -> None:
        SharedKey.generate().save(tmp_path / "key")
        async with node_server("--key", str(tmp_path / "key")) as (process, port):
            with pytest.raises(sealframe.HandshakeError) as caught:
                await sealframe.connect("127.0.0.1", port, security=SharedKey.generate())
            assert caught.value.code == CloseCode.REFUSED
            assert process.stdout is not None
            assert b"the handshake failed" in await process.stdout.readline()
