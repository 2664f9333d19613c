"""``serve``, ``chat`` and ``send`` together: a relay and its clients."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import sealframe
from sealframe import Connection, SharedKey

from .commands import PATIENCE, Relay, chatting, outcome, relay, running

needs_signals = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no such signals to send"
)


@pytest.fixture(params=["plain", "sealed"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Relay]:
    """A relay on a free port, plain and sealed."""
    options: list[object] = []
    if request.param == "sealed":
        options = ["--key", request.getfixturevalue("key_file")]
    async with relay("127.0.0.1:0", *options) as running_relay:
        yield running_relay


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract sockets")
async def test_an_abstract_unix_socket() -> None:
    async with relay(f"@sealframe-{os.getpid()}") as server:
        assert server.address == f"@sealframe-{os.getpid()}"
        async with chatting(server) as (one, id_one), chatting(server) as (two, _):
            await one.type("hello\n")
            assert await two.line() == f"{id_one}: hello"


async def test_what_one_says_all_others_get(server: Relay) -> None:
    async with chatting(server) as (one, id_one), chatting(server) as (two, id_two):
        await one.type("hello\n\ngrüß dich 🐞\r\n")
        assert await two.line() == f"{id_one}: hello"
        assert await two.line() == f"{id_one}: grüß dich 🐞"
        await two.type("and back")
        done = await two.end()
        assert (done.code, done.output, done.errors) == (0, "", "")
        # Its own lines did not come back to it: this is the first that came.
        assert await one.line() == f"{id_two}: and back"
        assert await server.program.lines_until("left") == [
            f"{id_one}: hello",
            f"{id_one}: grüß dich 🐞",
            f"{id_two}: and back",
            f"{id_two} left",
        ]


async def test_send_one_message(server: Relay) -> None:
    async with chatting(server) as (chat, _):
        done = await outcome("send", "hello", server.address, *server.options)
        assert (done.code, done.output, done.errors) == (0, "", "")
        assert (await chat.line()).endswith(": hello")


async def test_send_a_file_and_lines(server: Relay, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(data)
    key = SharedKey.load(str(server.options[1])) if server.options else None
    host, _, port = server.address.rpartition(":")
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.connect(host, int(port), security=key) as conn,
    ):
        await server.program.lines_until("joined")
        done = await outcome("send", server.address, "--file", tmp_path / "file", *server.options)
        assert (done.code, done.output, done.errors) == (0, "", "")
        who, _, came = (await conn.recv()).partition(b": ")
        assert hashlib.sha256(came).digest() == hashlib.sha256(data).digest()
        assert f"{who.decode()} left" in (await server.program.lines_until("left"))[-1]

        lines = [b"%d" % number for number in range(3000)]
        done = await outcome(
            "send", server.address, "--lines", *server.options, typed=b"\r\n".join(lines)
        )
        assert (done.code, done.output, done.errors) == (0, "", "")
        came_lines = [await conn.recv() for _ in lines]
    who = came_lines[0].partition(b": ")[0]
    assert came_lines == [who + b": " + line for line in lines]


async def test_a_file_from_stdin(server: Relay) -> None:
    async with chatting(server) as (chat, _):
        done = await outcome("send", server.address, "--file", "-", *server.options, typed=b"a\nb")
        assert done.code == 0
        assert (await chat.line()).endswith(": a\\nb")


async def test_what_peers_say_cannot_steer_a_terminal(server: Relay) -> None:
    async with chatting(server) as (chat, _):
        message = "\x1b[31m[red]\x07\u202e\\ :smile:"
        await outcome("send", message, server.address, *server.options)
        shown = "\\x1b[31m[red]\\x07\\u202e\\ :smile:"
        assert (await chat.line()).endswith(f": {shown}")
        assert (await server.program.lines_until("red"))[-1].endswith(f": {shown}")


async def test_a_message_too_large_to_be_passed_on(key_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(16 * 1024 * 1024))
    async with relay("127.0.0.1:0", "--key", key_file) as server:
        done = await outcome("send", server.address, "--file", tmp_path / "file", "--key", key_file)
        assert done.code == 1
        assert "too large" in done.error
        assert "too large" in await server.program.error_line()


async def test_a_file_over_the_limit(server: Relay, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(16 * 1024 * 1024 + 1))
    done = await outcome("send", server.address, "--file", tmp_path / "file", *server.options)
    assert done.code == 1
    assert done.error == "a message of 16777217 bytes is over the limit of 16777216 bytes"


async def test_wait_prints_so_many_replies() -> None:
    async def echo(conn: Connection) -> None:
        async for message in conn:
            await conn.send_many([message, b"\x1b", message])

    async with sealframe.serve(echo, "127.0.0.1", 0) as server:
        done = await outcome("send", "hi", f":{server.port}", "--wait", 2)
        assert (done.code, done.output, done.errors) == (0, "hi\n\\x1b\n", "")


async def test_replies_nobody_waits_for_do_not_hold_up_what_is_sent() -> None:
    """Each end has 4 MB to send to the other, and the server reads only while it can send."""

    async def echo(conn: Connection) -> None:
        async for message in conn:
            await conn.send(message)

    async with sealframe.serve(echo, "127.0.0.1", 0) as server:
        lines = (b"x" * 1000 + b"\n") * 4000
        done = await outcome("send", f":{server.port}", "--lines", typed=lines)
        assert (done.code, done.output, done.errors) == (0, "", "")


async def test_a_server_that_leaves_before_the_replies() -> None:
    async def leave(conn: Connection) -> None:
        await conn.recv()

    async with sealframe.serve(leave, "127.0.0.1", 0) as server:
        done = await outcome("send", "hi", f":{server.port}", "--wait", 1)
        assert done.code == 1
        assert "closed the connection after 1 messages" in done.error


async def test_a_server_that_fails(key_file: Path) -> None:
    async def fail(conn: Connection) -> None:
        await conn.recv()
        await conn.close(sealframe.CloseCode.KICKED, "go away")

    key = SharedKey.load(key_file)
    async with sealframe.serve(fail, "127.0.0.1", 0, security=key) as server:
        done = await outcome("send", "hi", f":{server.port}", "--wait", 1, "--key", key_file)
        assert done.code == 1
        assert "go away" in done.error


@needs_signals
async def test_chat_comes_back_by_itself(key_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with relay(path, "--key", key_file) as server, chatting(server) as (chat, _):
        assert server.address == str(path)
        assert (await server.program.end_by(signal.SIGTERM)).code == 0
        assert "(connecting again)" in await chat.error_line()
        await chat.type("typed while away\n")
        async with relay(path, "--key", key_file) as again:
            joined = await again.program.line()
            assert "joined from a Unix socket" in joined
            id = joined.split()[0]
            assert await again.program.line() == f"{id}: typed while away"
            done = await chat.end(b"bye\n")
            assert (done.code, done.output) == (0, "")
            assert done.errors.endswith(f"sealframe: connected to {path}, sealed, as {id}\n")
            assert await again.program.line() == f"{id}: bye"


async def test_chat_ends_when_it_is_told_that_it_is_over(key_file: Path) -> None:
    async def kick(conn: Connection) -> None:
        await conn.close(sealframe.CloseCode.KICKED, "go away")

    key = SharedKey.load(key_file)
    async with (
        sealframe.serve(kick, "127.0.0.1", 0, security=key) as server,
        running("chat", f":{server.port}", "--key", key_file) as chat,
    ):
        assert "connected to" in await chat.error_line()
        assert "go away" in await chat.error_line()
        async with asyncio.timeout(PATIENCE):
            assert await chat.process.wait() == 1


async def test_chat_with_nothing_to_say(server: Relay) -> None:
    done = await outcome("chat", server.address, *server.options)
    assert (done.code, done.output) == (0, "")


async def test_everywhere_names_the_addresses_and_warns_without_a_key(key_file: Path) -> None:
    async with running("serve", "0.0.0.0:0") as program:
        lines = await program.lines_until("Ctrl-C ends it.")
        port = lines[0].rpartition(":")[2]
        assert lines[0] == f"relay, plain, on 0.0.0.0:{port}"
        assert lines[-2] == f"  reached at 127.0.0.1:{port}"
        assert "warning" in await program.error_line()
    async with running("serve", "0.0.0.0:0", "--key", key_file) as program:
        await program.lines_until("Ctrl-C ends it.")
        program.process.terminate()
        done = await program.end()
        assert done.errors == ""


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_end_all_commands_cleanly(server: Relay, number: int) -> None:
    code = 130 if number == signal.SIGINT else 143
    async with chatting(server) as (chat, id):
        done = await chat.end_by(number)
        assert (done.code, done.output, done.errors) == (code, "", "")
        assert await server.program.line() == f"{id} left"
    async with running("send", server.address, "--lines", *server.options) as send:
        await send.type("one\n")
        await server.program.lines_until(": one")
        done = await send.end_by(number)
        assert (done.code, done.output, done.errors) == (code, "", "")
    assert (await server.program.line()).endswith(" left")
    async with chatting(server) as (chat, id):
        done = await server.program.end_by(number)
        code = 130 if number == signal.SIGINT else 0
        assert (done.code, done.output, done.errors) == (code, f"{id} left\n", "")


@needs_signals
async def test_send_notices_that_the_server_leaves(server: Relay) -> None:
    async with running("send", server.address, "--lines", *server.options) as send:
        await send.type("one\n")
        await server.program.lines_until(": one")
        await server.program.end_by(signal.SIGTERM)
        assert "after 1 messages" in await send.error_line()
        async with asyncio.timeout(PATIENCE):
            assert await send.process.wait() == 1


async def test_output_that_nobody_reads_ends_the_server(server: Relay) -> None:
    server.program.close_output()
    await outcome("send", "hello", server.address, *server.options)
    async with asyncio.timeout(PATIENCE):
        await server.program.process.wait()
    done = await server.program.end()
    assert (done.code, done.errors) == (1, "")
