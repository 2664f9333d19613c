"""Runs ``python -m sealframe`` as people do, in processes that never outlive their test.

What reads its arguments or a file, answers and ends needs no process to show that: `invoked`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from click.testing import CliRunner

from sealframe.cli.commands import run

PATIENCE = 30.0
"""Seconds after which a command that should have ended or spoken has failed."""

COMMAND = (sys.executable, "-W", "error", "-m", "sealframe")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    output: str
    errors: str

    @property
    def error(self) -> str:
        """The one line on stderr, without the name in front."""
        assert self.errors.startswith("sealframe: "), self.errors
        assert self.errors.count("\n") == 1, self.errors
        return self.errors.removeprefix("sealframe: ").rstrip("\n")


class Program:
    """A command that runs, its three streams pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._stderr = process.stderr

    @classmethod
    async def start(
        cls, *args: object, command: Sequence[str] = COMMAND, folder: Path | None = None
    ) -> Self:
        """Start a command, in a folder."""
        process = await asyncio.create_subprocess_exec(
            *command,
            *map(str, args),
            cwd=folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Nothing of the machine's terminal settings is to matter.
            env={**os.environ, "PYTHONUTF8": "1", "NO_COLOR": "", "FORCE_COLOR": ""},
        )
        return cls(process)

    async def line(self) -> str:
        """Return the next line of stdout."""
        return await _line(self._stdout)

    async def error_line(self) -> str:
        """Return the next line of stderr."""
        return await _line(self._stderr)

    async def lines_until(self, text: str) -> list[str]:
        """Return the lines of stdout up to the first that holds a text."""
        lines = [await self.line()]
        while text not in lines[-1]:
            lines.append(await self.line())
        return lines

    async def type(self, text: str) -> None:
        """Write to stdin."""
        self._stdin.write(text.encode())
        await self._stdin.drain()

    def close_output(self) -> None:
        """Let the command's next line meet a broken pipe."""
        transport = self.process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        transport.close()

    async def end(self, typed: bytes = b"") -> Outcome:
        """Close stdin, after some more input, and wait for the end."""
        async with asyncio.timeout(PATIENCE):
            output, errors = await self.process.communicate(typed)
        assert self.process.returncode is not None
        outcome = Outcome(self.process.returncode, output.decode(), errors.decode())
        # None of these outputs goes to a terminal.
        assert "\x1b" not in outcome.output + outcome.errors
        return outcome

    async def end_by(self, signal: int) -> Outcome:
        """Send a signal, stdin still open, and wait for the end."""
        self.process.send_signal(signal)
        async with asyncio.timeout(PATIENCE):
            output, errors = await asyncio.gather(self._stdout.read(), self._stderr.read())
            code = await self.process.wait()
        return Outcome(code, output.decode(), errors.decode())


async def _line(stream: asyncio.StreamReader) -> str:
    async with asyncio.timeout(PATIENCE):
        line = (await stream.readline()).decode()
    assert line.endswith("\n"), f"the stream ended after {line!r}"
    return line.rstrip("\n")


async def names_in(clients: Path, count: int) -> list[str]:
    """Wait until a file of clients has so many lines; return the names in them."""
    async with asyncio.timeout(PATIENCE):
        while True:
            lines = [line.split() for line in clients.read_text().splitlines()]
            names = [words[1] for words in lines if words[0] != "#"]
            if len(names) >= count:
                return names
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(
    *args: object, command: Sequence[str] = COMMAND, folder: Path | None = None
) -> AsyncIterator[Program]:
    """Run a command; it is killed if it has not ended."""
    program = await Program.start(*args, command=command, folder=folder)
    try:
        yield program
    finally:
        if program.process.returncode is None:
            program.process.kill()
        # Reads the pipes to their end; one that is not would stay open.
        await program.process.communicate()


def invoked(*args: object, typed: bytes = b"") -> Outcome:
    """Run a command to its end in this process: what it imports is there already.

    For what serves nobody, and for tests that are not async: a command has an event loop of its
    own.
    """
    plain = {"NO_COLOR": "", "FORCE_COLOR": ""}
    with CliRunner().isolation(typed, plain) as (output, errors, _):
        with pytest.raises(SystemExit) as ended:
            run([str(arg) for arg in args])
        sys.stdout.flush()
        sys.stderr.flush()
        code = ended.value.code
        assert isinstance(code, int)
        outcome = Outcome(code, output.getvalue().decode(), errors.getvalue().decode())
    # No terminal was there to be steered.
    assert "\x1b" not in outcome.output + outcome.errors
    return outcome


async def outcome(
    *args: object,
    typed: bytes = b"",
    command: Sequence[str] = COMMAND,
    folder: Path | None = None,
) -> Outcome:
    """Run a command to its end."""
    async with running(*args, command=command, folder=folder) as program:
        return await program.end(typed)


@dataclass(frozen=True)
class Relay:
    """A running ``sealframe serve``, and what its clients add to their arguments."""

    program: Program
    address: str
    options: tuple[object, ...]


@asynccontextmanager
async def relay(
    address: object, *options: object, command: Sequence[str] = COMMAND
) -> AsyncIterator[Relay]:
    """Run ``sealframe serve``."""
    async with running("serve", address, *options, command=command) as program:
        # The last word of the first line is where it listens.
        listening = (await program.lines_until("relay, "))[-1].split()[-1]
        await program.lines_until("Ctrl-C ends it.")
        yield Relay(program, listening, options)


@asynccontextmanager
async def chatting(relay: Relay) -> AsyncIterator[tuple[Program, str]]:
    """Run ``sealframe chat``, and give its id once the relay lists it."""
    async with running("chat", relay.address, *relay.options) as program:
        assert "connected to" in await program.error_line()
        joined = await relay.program.line()
        assert " joined from " in joined
        yield program, joined.split()[0]
