"""``serve --status`` and ``serve --metrics``."""

from __future__ import annotations

import asyncio
import io
import re
import signal
import sys
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aio.ends import Mode
from aio.links import open_session
from aio.scripted import until
from rich.console import Console

import sealframe
from sealframe import ClientIdentity, PrivateKey
from sealframe.cli.output import Output
from sealframe.cli.status import Board

from .commands import PATIENCE, outcome, running
from .terminal import Terminal, on_terminal
from .test_errors import without

needs_terminal = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no pseudo-terminals"
)


async def listening(shown: Terminal) -> int:
    """Return the port of a relay, once it runs."""
    await shown.until(r"Ctrl-C ends it\.")
    match = re.search(r"relay, \w+, on 127\.0\.0\.1:(\d+)", shown.text)
    assert match is not None
    return int(match[1])


@needs_terminal
async def test_who_is_there_and_what_they_do() -> None:
    async with on_terminal("serve", "127.0.0.1:0", "--status", columns=120) as shown:
        port = await listening(shown)
        await shown.until(
            r"client.*name.*address.*in/s.*in B/s.*out/s.*out B/s.*queue.*RTT.*for.*seal"
        )
        await shown.until(r"0 clients")
        async with (
            sealframe.connect("127.0.0.1", port, extended=True) as one,
            sealframe.connect("127.0.0.1", port) as two,
        ):
            await shown.until(r"2 clients")
            await one.send(b"\x1b[31mnobody is to see this")
            await two.recv()
            # Both ways, in the same second: the one sent, the other got it.
            await shown.until(rf"{one.id} .*127\.0\.0\.1:\d+ +[01]\.\d +[1-9]\d* B +0 ")
            # The round trip of a PING, where the client knows of it.
            await shown.until(rf"{one.id} [^\n]* \d+\.\d\d ms +0:00:\d\d")
            assert re.search(r"127\.0\.0\.1:\d+ [^\n]* - +0:00:\d\d", shown.text)
            assert "nobody is to see this" not in shown.text
            assert "joined" not in shown.text
            # What goes wrong stands above the table.
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await shown.until(r"sealframe: .*HTTP client")
            writer.close()
            await writer.wait_closed()
        shown.text = ""
        await shown.until(r"0 clients")
        shown.process.send_signal(signal.SIGINT)
        assert await shown.process.wait() == 130
        # The cursor is there again.
        await shown.until(r"\x1b\[\?25h")


@needs_terminal
async def test_the_terminal_is_resized() -> None:
    async with on_terminal("serve", "127.0.0.1:0", "--status", columns=120, lines=25) as shown:
        port = await listening(shown)
        async with sealframe.connect("127.0.0.1", port):
            await shown.until(r"\D1 client\x1b")
            shown.resize(90, 20)
            # What stood there has scrolled away, and the table begins at the top.
            top = re.escape("\x1b[20;1H" + "\r\n" * 20 + "\x1b[H")
            await shown.until(top + r".*\D1 client\x1b.*\D1 client\x1b")
            after = shown.text[shown.text.index("\x1b[20;1H") :]
            lines = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", after).splitlines()
            assert max(map(len, lines)) <= 90
            # Once is enough.
            assert shown.text.count("\x1b[20;1H") == 1
        shown.process.send_signal(signal.SIGTERM)
        assert await shown.process.wait() == 0


@needs_terminal
async def test_more_clients_than_lines() -> None:
    async with (
        on_terminal("serve", "127.0.0.1:0", "--status", columns=120, lines=9) as shown,
        AsyncExitStack() as stack,
    ):
        port = await listening(shown)
        conns = [
            await stack.enter_async_context(sealframe.connect("127.0.0.1", port, extended=True))
            for _ in range(5)
        ]
        await shown.until(r"5 clients.*3 more than fit")
        # The busiest of them stand there.
        shown.text = ""
        for conn in conns[-2:]:
            # The others get nothing of it, as they would of a message.
            await asyncio.gather(*(conn.ping() for _ in range(1000)))
            await shown.until(rf"{conn.id} [^\n]*\d KiB")
        shown.process.send_signal(signal.SIGTERM)
        await stack.aclose()
        assert await shown.process.wait() == 0


@needs_terminal
async def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    server_key, client_key = PrivateKey.generate(), PrivateKey.generate()
    server_key.save(tmp_path / "server.key")
    clients = tmp_path / "clients.txt"
    clients.write_text(f"{client_key.public_key} [red]:bug:[/nope]\n")
    clients.chmod(0o600)
    sealing = ("--identity", tmp_path / "server.key", "--clients", clients)
    async with on_terminal("serve", "127.0.0.1:0", "--status", *sealing, columns=120) as shown:
        port = await listening(shown)
        security = ClientIdentity(client_key, server=server_key.public_key)
        async with sealframe.connect("127.0.0.1", port, security=security):
            await shown.until(r" \[red\]:bug:\[/nope\] +127")
        shown.process.send_signal(signal.SIGTERM)
        assert await shown.process.wait() == 0


async def test_the_status_needs_a_terminal() -> None:
    done = await outcome("serve", "127.0.0.1:0", "--status")
    assert (done.code, done.output) == (2, "")
    assert "--status needs a terminal" in done.error


async def test_a_client_whose_session_has_no_link() -> None:
    async with open_session(Mode("extended")) as pair:
        board = Board(pair.server, Output())

        def shown() -> str:
            console = Console(width=120, record=True, file=io.StringIO())
            console.print(board.table())
            return console.export_text()

        await pair.accepted.ping()
        assert re.search(rf"{pair.accepted.id} .* ms +0:00:0", shown())
        pair.lose_link()
        await until(lambda: not pair.accepted.connected)
        assert re.search(rf"{pair.accepted.id} .* detached +0:00:0", shown())


class TestMetrics:
    async def test_prometheus_reads_them(self) -> None:
        pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
        async with (
            asyncio.timeout(PATIENCE),
            running("serve", "127.0.0.1:0", "--metrics", "127.0.0.1:0") as program,
        ):
            port = int((await program.line()).rpartition(":")[2])
            url = (await program.lines_until("metrics at "))[-1].split()[-1]
            async with sealframe.connect("127.0.0.1", port) as conn:
                await conn.send(b"hello")
                await program.lines_until(": hello")

                def scrape() -> str:
                    with urllib.request.urlopen(url) as page:
                        text: bytes = page.read()
                    return text.decode()

                text = await asyncio.to_thread(scrape)
            assert "sealframe_clients 1.0" in text
            assert "sealframe_messages_received_total 1.0" in text
            await program.lines_until("left")
            done = await program.end_by(signal.SIGTERM)
            assert (done.code, done.errors) == (0, "")

    @pytest.mark.parametrize(
        ("where", "code", "text"),
        [
            ("./socket", 2, "write HOST:PORT"),
            ("127.0.0.1:x", 2, "is not a port"),
            ("192.0.2.77:0", 1, "cannot serve metrics on 192.0.2.77:0"),
        ],
    )
    async def test_no_such_address(self, where: str, code: int, text: str) -> None:
        pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
        done = await outcome("serve", "127.0.0.1:0", "--metrics", where)
        assert (done.code, done.output) == (code, "")
        assert text in done.error

    async def test_without_the_extra(self) -> None:
        command = without("prometheus_client")
        done = await outcome("serve", "127.0.0.1:0", "--metrics", "127.0.0.1:0", command=command)
        assert (done.code, done.output) == (1, "")
        assert done.error.endswith('run: pip install "sealframe[metrics]"')
