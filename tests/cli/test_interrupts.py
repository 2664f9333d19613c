"""Ctrl-C ends every command alike: with 130, and with no traceback."""

from __future__ import annotations

import signal
import sys

import pytest

from .commands import Program, outcome, relay, running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")

INTERRUPTED_IMPORT = """
import os, signal, sys
import sealframe.cli

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupted())
sealframe.cli.main()
"""
"""A command that gets Ctrl-C when it imports a module."""


async def is_interrupted(program: Program) -> None:
    done = await program.end_by(signal.SIGINT)
    assert (done.code, done.errors.strip()) == (130, "")


# The first is all of its modules, the second comes once the arguments are read.
@pytest.mark.parametrize("name", ["sealframe.cli.commands", "uvloop"])
async def test_while_it_starts(name: str) -> None:
    command = (sys.executable, "-W", "error", "-c", INTERRUPTED_IMPORT.format(name=name))
    done = await outcome("serve", "127.0.0.1:0", command=command)
    assert (done.code, done.output, done.errors.strip()) == (130, "", "")


@pytest.mark.parametrize("options", [["--lines"], ["hello", "--wait", 1]])
async def test_send(options: list[object]) -> None:
    async with relay("127.0.0.1:0") as server, running("send", *options, server.address) as send:
        await server.program.lines_until("joined")
        await is_interrupted(send)


async def test_send_that_reads_a_message() -> None:
    async with running("send", "127.0.0.1:1", "--file", "-") as send:
        # More than fits in a pipe: it reads.
        await send.type("x" * 1_000_000)
        await is_interrupted(send)


async def test_chat() -> None:
    async with relay("127.0.0.1:0") as server, running("chat", server.address) as chat:
        assert "connected" in await chat.error_line()
        await is_interrupted(chat)


async def test_the_demo() -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    async with running("demo") as demo:
        await demo.lines_until("hello from the north")
        await is_interrupted(demo)
