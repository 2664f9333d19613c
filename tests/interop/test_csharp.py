"""The C# example peers against sealframe, in both directions, and against broken packets."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sealframe

from .programs import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from sealframe import Connection

MCS = shutil.which("mcs")
MONO = shutil.which("mono")
SOURCES = Path(__file__).parents[2] / "examples" / "csharp"
MAX_LENGTH = 16 * 1024 * 1024

DONE = 0
NO_CONNECTION = 1
USAGE = 2
BAD_PACKET = 3
TOO_FEW = 4

pytestmark = pytest.mark.skipif(
    MCS is None or MONO is None, reason="mcs and mono are not installed"
)

TEXTS = ["plain", "", "Grüße aus Køge", "жук и 漢字", "four bytes each: 🐞🦋", "", "end"]
LARGE = "äöü€" * 60_000
BURST = [f"{n} ✓" for n in range(5000)]


@dataclass
class Programs:
    server: Path
    client: Path


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    folder = tmp_path_factory.mktemp("csharp")
    for name in ("Server", "Client"):
        subprocess.run(
            [
                str(MCS),
                "-warnaserror",
                f"-out:{folder / name}.exe",
                SOURCES / f"{name}.cs",
                SOURCES / "Packet.cs",
            ],
            check=True,
            timeout=100,
        )
    return Programs(folder / "Server.exe", folder / "Client.exe")


@dataclass
class Result:
    code: int | None
    printed: list[str]
    errors: str


def lines_of(output: bytes) -> list[str]:
    lines = output.decode().split("\n")
    assert lines.pop() == ""
    return lines


class Server:
    """A running C# server."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = 0

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().removesuffix("\n")

    async def end(self) -> Result:
        """Wait for its end; the result holds what ``line`` has not read."""
        output, errors = await self.process.communicate()
        return Result(self.process.returncode, lines_of(output), errors.decode())


@asynccontextmanager
async def csharp_server(programs: Programs, *, clients: int) -> AsyncIterator[Server]:
    """Start a server that ends after this many clients."""
    async with running(MONO, programs.server, "127.0.0.1", 0, clients) as process:
        server = Server(process)
        first = await server.line()
        assert first.startswith("listening on 127.0.0.1:")
        server.port = int(first.rpartition(":")[2])
        yield server


def csharp_client(
    programs: Programs, port: int, *arguments: object
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """Start a client whose input stays open."""
    return running(MONO, programs.client, "127.0.0.1", port, *arguments)


async def run_client(programs: Programs, port: int, lines: list[str], *arguments: object) -> Result:
    """Run a client to its end with these lines as its input."""
    async with csharp_client(programs, port, *arguments) as process:
        text = "".join(f"{line}\n" for line in lines)
        output, errors = await process.communicate(text.encode())
        return Result(process.returncode, lines_of(output), errors.decode())


class Echo:
    """A handler that echoes, and keeps what it got from each of its clients."""

    def __init__(self) -> None:
        self.received: list[list[bytes]] = []

    async def __call__(self, conn: Connection) -> None:
        mine: list[bytes] = []
        self.received.append(mine)
        async for message in conn:
            mine.append(message)
            await conn.send(message)


async def exchange(conn: Connection, messages: list[str]) -> list[str]:
    """Send them all while reading as many."""

    async def send_all() -> None:
        for message in messages:
            await conn.send(message.encode())

    async with asyncio.TaskGroup() as group:
        group.create_task(send_all())
        return [(await conn.recv()).decode() for _ in messages]


# The sealframe server, the C# client


@pytest.mark.parametrize("lines", [TEXTS, [LARGE], BURST, []], ids=["text", "large", "burst", "no"])
async def test_client_gets_back_what_it_sent(programs: Programs, lines: list[str]) -> None:
    echo = Echo()
    async with sealframe.serve(echo, "127.0.0.1", 0) as server:
        result = await run_client(programs, server.port, lines)
    assert result == Result(DONE, lines, "")
    assert echo.received == [[line.encode() for line in lines]]


async def test_half_closed_client_still_reads(programs: Programs) -> None:
    async def count_then_answer(conn: Connection) -> None:
        lengths = [len(message) async for message in conn]
        for length in lengths:
            await conn.send(str(length).encode())

    async with sealframe.serve(count_then_answer, "127.0.0.1", 0) as server:
        result = await run_client(programs, server.port, ["é", "", "€€"])
    assert result == Result(DONE, ["2", "0", "6"], "")


async def test_client_ends_after_the_expected_packets(programs: Programs) -> None:
    left = asyncio.Event()

    async def send_three(conn: Connection) -> None:
        for number in range(3):
            await conn.send(b"%d" % number)
        assert [message async for message in conn] == []
        left.set()

    async with (
        sealframe.serve(send_three, "127.0.0.1", 0) as server,
        csharp_client(programs, server.port, 3) as client,
    ):
        await left.wait()
        assert client.stdout is not None
        assert await client.stdout.read() == b"0\n1\n2\n"
        assert await client.wait() == DONE


async def test_client_says_when_the_server_closed_too_early(programs: Programs) -> None:
    async def send_one(conn: Connection) -> None:
        await conn.send(b"only")

    async with sealframe.serve(send_one, "127.0.0.1", 0) as server:
        result = await run_client(programs, server.port, [], 2)
    assert result.code == TOO_FEW
    assert result.printed == ["only"]
    assert result.errors == "the server closed after 1 of 2 packets\n"


async def test_three_clients_at_once(programs: Programs) -> None:
    echo = Echo()
    inputs = [[f"client {n}, line {i}: ü" for i in range(200)] for n in range(3)]
    async with sealframe.serve(echo, "127.0.0.1", 0) as server:
        results = await asyncio.gather(
            *(run_client(programs, server.port, lines) for lines in inputs)
        )
    assert [result.printed for result in results] == inputs
    expected = sorted([line.encode() for line in lines] for lines in inputs)
    assert sorted(echo.received) == expected


async def test_client_tries_until_there_is_a_server(programs: Programs) -> None:
    echo = Echo()
    with socket.socket() as reserved:
        # Bound but not listening: the port is ours and refuses.
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        async with csharp_client(programs, port, 0, 60) as client:
            assert client.stderr is not None
            assert await client.stderr.readline() == b"waiting for 127.0.0.1 port %d\n" % port
            async with sealframe.serve(echo, sock=reserved.dup()):
                output, _ = await client.communicate("späte Antwort\n".encode())
    assert output.decode() == "späte Antwort\n"
    assert client.returncode == DONE


# The C# server, the sealframe client


@pytest.mark.parametrize("messages", [TEXTS, [LARGE], BURST], ids=["text", "large", "burst"])
async def test_server_echoes_with_the_number(programs: Programs, messages: list[str]) -> None:
    async with csharp_server(programs, clients=1) as server:
        async with sealframe.connect("127.0.0.1", server.port) as conn:
            answers = await exchange(conn, messages)
        result = await server.end()
    assert answers == [f"1: {message}" for message in messages]
    assert result == Result(DONE, ["client 1 connected", "client 1 left"], "")


async def test_server_finishes_for_a_half_closed_client(programs: Programs) -> None:
    messages = [f"{n}" for n in range(500)]
    async with csharp_server(programs, clients=1) as server:
        conn = await sealframe.connect("127.0.0.1", server.port)
        for message in messages:
            await conn.send(message.encode())
        await conn.close()
        answers = [message.decode() async for message in conn]
        result = await server.end()
    assert answers == [f"1: {message}" for message in messages]
    assert result == Result(DONE, ["client 1 connected", "client 1 left"], "")


async def test_server_numbers_clients_and_relays_nothing(programs: Programs) -> None:
    async with csharp_server(programs, clients=3) as server:
        connections: list[Connection] = []
        for number in (1, 2, 3):
            connections.append(await sealframe.connect("127.0.0.1", server.port))
            assert await server.line() == f"client {number} connected"
        first, second, third = connections
        assert await exchange(second, ["a", "b"]) == ["2: a", "2: b"]
        await second.close()
        assert await server.line() == "client 2 left"
        assert await exchange(third, ["c"]) == ["3: c"]
        assert await exchange(first, ["d"]) == ["1: d"]
        for conn in (third, first):
            await conn.close()
            assert [message async for message in conn] == []
        result = await server.end()
    assert result.code == DONE
    assert sorted(result.printed) == ["client 1 left", "client 3 left"]


# What the C# side does with broken packets, sent by bare sockets

BROKEN = [
    (struct.pack("<i", -1), "the length -1 is negative"),
    (struct.pack("<i", -(2**31)), "the length -2147483648 is negative"),
    (struct.pack("<i", MAX_LENGTH + 1), f"the length {MAX_LENGTH + 1} is over the limit of "),
    (b"\x05\x00", "the stream ended after 2 of 4 bytes of a length"),
    (struct.pack("<i", 5) + b"abc", "the stream ended after 3 of 5 bytes of data"),
]


@pytest.mark.parametrize(("broken", "text"), BROKEN, ids=[text for _, text in BROKEN])
async def test_client_refuses_a_broken_packet(programs: Programs, broken: bytes, text: str) -> None:
    async def send_broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(struct.pack("<i", 4) + b"good" + broken)
        writer.write_eof()
        # Until the client is gone, so that nothing of ours is lost to a reset.
        await reader.read()
        writer.close()

    server = await asyncio.start_server(send_broken, "127.0.0.1", 0)
    async with server:
        result = await run_client(programs, server.sockets[0].getsockname()[1], [])
    assert result.code == BAD_PACKET
    assert result.printed == ["good"]
    assert result.errors.startswith(f"packet refused: {text}")


@pytest.mark.parametrize(("broken", "text"), BROKEN, ids=[text for _, text in BROKEN])
async def test_server_refuses_a_broken_packet(programs: Programs, broken: bytes, text: str) -> None:
    async with csharp_server(programs, clients=2) as server:
        other = await sealframe.connect("127.0.0.1", server.port)
        assert await server.line() == "client 1 connected"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(struct.pack("<i", 4) + b"good" + broken)
        writer.write_eof()
        assert await reader.read() == struct.pack("<i", 7) + b"2: good"
        writer.close()
        await writer.wait_closed()
        assert await server.line() == "client 2 connected"
        assert (await server.line()).startswith(f"client 2 refused: {text}")
        assert await exchange(other, ["still here"]) == ["1: still here"]
        await other.close()
        result = await server.end()
    assert result == Result(BAD_PACKET, ["client 1 left"], "")


async def test_client_reads_a_packet_that_comes_byte_by_byte(programs: Programs) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = "für dich".encode()
        for byte in struct.pack("<i", len(data)) + data + struct.pack("<i", 0):
            writer.write(bytes([byte]))
            await writer.drain()
        writer.write_eof()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    async with server:
        result = await run_client(programs, server.sockets[0].getsockname()[1], [])
    assert result == Result(DONE, ["für dich", ""], "")


async def test_server_notices_a_reset(programs: Programs) -> None:
    async with csharp_server(programs, clients=1) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            assert await server.line() == "client 1 connected"
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        result = await server.end()
    assert result.code == DONE
    assert len(result.printed) == 1
    assert result.printed[0].startswith("client 1 lost: ")


async def test_client_refuses_a_line_over_the_limit(programs: Programs) -> None:
    async with sealframe.serve(Echo(), "127.0.0.1", 0) as server:
        result = await run_client(programs, server.port, ["x" * (MAX_LENGTH + 1)])
    assert result.code == BAD_PACKET
    assert result.printed == []
    assert result.errors.startswith(f"packet refused: a packet of {MAX_LENGTH + 1} bytes is over")


async def test_client_gives_up_after_its_time(programs: Programs) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        result = await run_client(programs, port, [], 0, 0)
    assert result.code == NO_CONNECTION
    assert result.errors.startswith(f"cannot connect to 127.0.0.1 port {port}: ")


async def test_server_says_when_the_port_is_taken(programs: Programs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with running(MONO, programs.server, "127.0.0.1", port) as process:
            _, errors = await process.communicate()
    assert process.returncode == NO_CONNECTION
    assert errors.decode().startswith(f"cannot listen on 127.0.0.1:{port}: ")


@pytest.mark.parametrize("arguments", [[], ["127.0.0.1"], ["127.0.0.1", "-1"], ["a", "b", "c"]])
async def test_wrong_arguments_get_the_usage(programs: Programs, arguments: list[str]) -> None:
    for program in (programs.server, programs.client):
        async with running(MONO, program, *arguments) as process:
            output, errors = await process.communicate()
        assert process.returncode == USAGE
        assert output == b""
        assert errors.decode().startswith(f"usage: {program.name} ")
