"""``--framing``: the commands as peers of programs that know nothing of sealframe."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from .commands import PATIENCE, invoked, outcome, relay

MODBUS = 'Framing(offset=4, width=2, byteorder="big", strip=0, minimum=8, maximum=260)'


async def test_a_relay_passes_messages_on_as_they_are() -> None:
    async with asyncio.timeout(PATIENCE), relay("127.0.0.1:0", "--framing", "INT32_BE") as server:
        host, _, port = server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\0\0\0\x02hi")
        assert (await server.program.lines_until("hi"))[-1].endswith(": hi")
        sent = await outcome("send", "grüß dich", server.address, "--framing", "INT32_BE")
        assert (sent.code, sent.errors) == (0, "")
        assert await reader.readexactly(4) == b"\0\0\0\x0b"
        assert await reader.readexactly(11) == "grüß dich".encode()
        writer.close()
        await writer.wait_closed()


async def test_lines_are_sent_one_at_a_time() -> None:
    """The peer answers the first of each read alone."""
    reads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            reads.append(data)
            writer.write(b"+" + data.partition(b"\n")[0] + b"\n")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with (
        asyncio.timeout(PATIENCE),
        await asyncio.start_server(answer, "127.0.0.1", 0) as peer,
    ):
        port = peer.sockets[0].getsockname()[1]
        sent = await outcome(
            "send",
            "--lines",
            "--wait",
            3,
            "--framing",
            r'Delimited(b"\n")',
            "--no-pipelining",
            f"127.0.0.1:{port}",
            typed=b"one\ntwo\nthree\n",
        )
    assert (sent.code, sent.output, sent.errors) == (0, "+one\n+two\n+three\n", "")
    assert reads == [b"one\n", b"two\n", b"three\n"]


async def test_what_the_layout_refuses_is_one_line() -> None:
    async with relay("127.0.0.1:0", "--framing", MODBUS) as server:
        sent = await outcome("send", "short", server.address, "--framing", MODBUS)
    assert sent.code == 1
    assert sent.error == "a message of 5 bytes is below the minimum of 8 bytes"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["send", "x", ":1", "--framing", "INT31_BE"], "'INT31_BE' is not known"),
        (["send", "x", ":1", "--framing", "Framing(width=0)"], "width must be 1 to 8 bytes"),
        (["chat", ":1", "--framing", "open('x')"], "'open' cannot be called here"),
        (["send", "x", ":1", "--no-pipelining"], "--no-pipelining needs --framing"),
        (
            ["send", "x", ":1", "--framing", "INT32_BE", "--session"],
            "--framing and --session cannot work together",
        ),
        (
            ["send", "x", ":1", "--framing", "INT32_BE", "--outbox", "o"],
            "--framing and --outbox cannot work together",
        ),
        (
            ["chat", ":1", "--framing", "INT32_BE", "--passphrase"],
            "--framing and --passphrase cannot work together",
        ),
        (
            ["serve", ":0", "--framing", "INT32_BE", "--sessions", "5"],
            "--framing and --sessions cannot work together",
        ),
        (
            ["serve", ":0", "--framing", "INT32_BE", "--key", "k"],
            "--framing and --key cannot work together",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nonsense_is_refused(arguments: list[str], error: str) -> None:
    done = invoked(*arguments)
    assert done.code == 2
    assert error in done.error
