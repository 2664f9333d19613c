"""The JavaScript example peer, which was written from docs/PROTOCOL.md, against sealframe."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import shutil
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aio.cutting import CuttingProxy, Fault, Plan, Plans
from mitm.middle import Way as Direction

import sealframe
from sealframe import ClientOptions, CloseCode, Framing, Sessions, SharedKey
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
    # The server takes it too; as a client it asks for what the other end knows.
    key = SharedKey.generate(post_quantum=False)
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
        key = SharedKey.generate(post_quantum=False)
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
                await sealframe.connect(
                    "127.0.0.1", port, security=SharedKey.generate(post_quantum=False)
                )
            assert caught.value.code == CloseCode.REFUSED
            assert process.stdout is not None
            assert b"the handshake failed" in await process.stdout.readline()


AHEAD = 30
"""Lines that the client has before their answer."""


def cuts(down: int) -> Plans:
    """Cut each connection, a third of them while it begins, the others within so many bytes."""
    reach = {Direction.UP: 2000, Direction.DOWN: down}

    def plan(number: int) -> Plan:
        rng = random.Random(number)
        fault = rng.choice([Fault.RESET, Fault.FIN, Fault.HALF_CLOSE, Fault.STRAND])
        # Of a stranded server the client would know only once it had given it up for silence.
        way = Direction.UP if fault is Fault.STRAND else rng.choice(list(Direction))
        after = rng.randrange(400) if rng.random() < 1 / 3 else rng.randrange(reach[way])
        newer = rng.randrange(1000)
        return Plan(fault, way, after, hold=0.2, newer=newer, turns=rng.choice([0, 4]))

    return plan


async def converse(
    process: asyncio.subprocess.Process, proxy: CuttingProxy, enough: int
) -> list[int]:
    """Give the client 0, 1, 2, … until so many connections are cut; return what it prints."""
    source = process.stdin
    assert source is not None
    assert process.stdout is not None
    ahead = asyncio.Semaphore(AHEAD)

    async def write() -> None:
        lines = itertools.count()
        while proxy.cuts < enough:
            await ahead.acquire()
            source.write(b"%d\n" % next(lines))
        source.close()

    writing = asyncio.create_task(write())
    printed = b""
    while chunk := await process.stdout.read(65536):
        printed += chunk
        for _ in range(chunk.count(b"\n")):
            ahead.release()
    await writing
    assert process.stderr is not None
    assert (await process.stderr.read(), await process.wait()) == (b"", 0)
    return [int(line) for line in printed.splitlines()]


class TestNodeSession:
    """The client's session, over connections that are cut."""

    @with_control
    async def test_messages_come_once_and_in_order_both_ways(self, way: Way) -> None:
        came: list[int] = []

        async def talk(conn: sealframe.Connection) -> None:
            async def ask() -> None:
                for number in itertools.count():
                    assert await conn.request(b"%d" % number) == b"%d" % number

            asking = asyncio.create_task(ask())
            async for message in conn:
                await conn.send(b"%d" % len(came))
                came.append(int(message))
            with pytest.raises(sealframe.ConnectionClosed):
                await asking

        serving = sealframe.serve(talk, "127.0.0.1", 0, sessions=Sessions(), **way.server)
        async with serving as server, CuttingProxy(server.port, plans=cuts(2000)) as proxy:
            options = ("--session", *way.node_client)
            command = (NODE, SOURCES / "client.mjs", "127.0.0.1", proxy.port, *options)
            async with running(*command) as process:
                printed = await converse(process, proxy, 50)
        assert came == printed == list(range(len(came)))

    async def test_each_request_is_answered_once(self) -> None:
        asked: list[int] = []

        async def answer(_: sealframe.Connection, payload: bytes) -> bytes:
            asked.append(int(payload))
            # What is over 61,440 bytes comes on a stream.
            return payload.rjust(random.Random(payload).choice((1, 1, 1, 1, 100, 3000, 62_000)))

        async def idle(conn: sealframe.Connection) -> None:
            await conn.wait_closed()

        serving = sealframe.serve(idle, "127.0.0.1", 0, sessions=Sessions(), on_request=answer)
        async with serving as server, CuttingProxy(server.port, plans=cuts(100_000)) as proxy:
            options = ("--session", "--requests")
            command = (NODE, SOURCES / "client.mjs", "127.0.0.1", proxy.port, *options)
            async with running(*command) as process:
                printed = await converse(process, proxy, 15)
        assert asked == sorted(printed) == list(range(len(asked)))

    @with_control
    async def test_it_is_told_that_there_are_no_sessions(self, way: Way) -> None:
        async with sealframe.serve(echo, "127.0.0.1", 0, **way.server) as server:
            options = ("--session", *way.node_client)
            code, _, errors = await run_client(server.port, ["a"], *options)
        assert (code, errors) == (1, "the server keeps no sessions\n")

    @with_control
    async def test_a_server_that_starts_again_does_not_know_it(self, way: Way, port: int) -> None:
        options: dict[str, Any] = {"sessions": Sessions(), **way.server}
        server = await sealframe.serve(echo, "127.0.0.1", port, **options)
        command = (NODE, SOURCES / "client.mjs", "127.0.0.1", port, "--session", *way.node_client)
        async with running(*command) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"a\n")
            assert await process.stdout.readline() == b"a\n"
            await server.close()
            async with sealframe.serve(echo, "127.0.0.1", port, **options):
                assert process.stderr is not None
                assert await process.stderr.read() == b"the server refused: code 14\n"
                assert await process.wait() == 1
