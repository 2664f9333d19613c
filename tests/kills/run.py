"""One run: both programs are killed at random, and their connections cut."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from aio.cutting import CuttingProxy, drawn

from sealframe import SharedKey

from .part import Part
from .readings import Note, Notes, check
from .server import stored

PATIENCE: Final = 60.0
"""Seconds for which a program may take to begin, and both together to end."""
_LIFETIME: Final = 0.3
"""Seconds for which a program lives once it is there, on average."""
_EARLY_SHARE: Final = 0.2
"""Of all kills, those that do not wait until the program is there."""
_EARLY: Final = 0.5
"""Seconds after the start within which they come."""
_OUTPUT_END: Final = 2000
_TESTS: Final = Path(__file__).parents[1]


@dataclass(frozen=True)
class Scenario:
    """What is run."""

    seed: int = 1
    kills: int = 8
    """How many, half of them of the client."""
    mode: Literal["extended", "sealed"] = "extended"


@dataclass
class Figures:
    """What came of it."""

    seed: int
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    """Of each program."""
    early: int = 0
    """How many of them hit a program that was not there yet."""
    connections: int = 0
    cuts: int = 0
    accepted: int = 0
    in_doubt: int = 0
    """Readings that were begun when the client was killed."""
    stored: int = 0
    found: list[str] = field(default_factory=list)
    """What is not as it should be."""

    @property
    def clean(self) -> bool:
        """Whether all is as it should be."""
        return not self.found

    def __str__(self) -> str:
        killed = ", ".join(f"{name} {times:,}" for name, times in sorted(self.kills.items()))
        killed += f" ({self.early:,} at their start)"
        links = f"{self.connections:,} connections, {self.cuts:,} cut"
        readings = f"accepted {self.accepted:,}, in doubt {self.in_doubt:,}, stored {self.stored:,}"
        return "\n".join(
            [
                f"seed {self.seed}: {self.seconds:.1f} s, killed: {killed}; {links}",
                f"{readings}; wrong: {len(self.found):,}",
                *self.found[:10],
            ]
        )


class _Failed(Exception):  # noqa: N818 - it is what a run finds
    """A program did not do as it should."""


class _Process:
    """One start of a program; it never outlives the block."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, part: Part, program: str) -> AsyncIterator[_Process]:
        """Start one, until the end of the block."""
        with (part.folder / f"{program}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *part.command(program),
                cwd=_TESTS,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        try:
            yield cls(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def line(self) -> str:
        """Return the next line that it prints.

        :raises _Failed: it ends before
        """
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise _Failed(f"it has ended with {await self._process.wait()}")
        return line.decode().strip()

    async def kill(self) -> None:
        """Send SIGKILL.

        :raises _Failed: it has ended before
        """
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        status = await self._process.wait()
        if status != -9:
            raise _Failed(f"it has ended with {status}")

    async def end(self, last_line: str = "") -> None:
        """End its input, and wait for it.

        :param last_line: what it says then
        :raises _Failed: it said something else, or did not end in order
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            rest = await self._process.stdout.read()
            status = await self._process.wait()
        if status or rest.decode().strip() != last_line:
            raise _Failed(f"it has ended with {status} and {rest!r}")


class Run:
    """A client, a server, and the proxy between them.

    :param directory: for their files
    """

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self._scenario = scenario
        self._directory = directory
        self._figures = Figures(scenario.seed)
        self._last = asyncio.Barrier(2)
        """Once both programs are there for the last time."""
        self._key = SharedKey.generate().to_text() if scenario.mode == "sealed" else None

    async def run(self) -> Figures:
        """Run it, and return what came of it: no finding is raised."""
        figures, directory = self._figures, self._directory
        began = time.perf_counter()
        try:
            await self._run()
        except* (_Failed, TimeoutError) as errors:
            figures.found += [repr(error) for error in errors.exceptions]
        figures.seconds = time.perf_counter() - began
        notes = Notes.read(directory / "notes")
        begun, accepted = (sum(map(len, notes[note].values())) for note in Note)
        messages = []
        try:
            messages = stored(directory / "readings.db")
        except sqlite3.Error as error:
            figures.found.append(repr(error))
        figures.accepted, figures.in_doubt = accepted, begun - accepted
        figures.stored = len(messages)
        figures.found += check(notes, messages)
        for log in directory.glob("*.log"):
            text = log.read_text()
            if "Traceback" in text or figures.found:
                figures.found.append(f"{log.name}: {text[-_OUTPUT_END:]}")
        return figures

    async def _run(self) -> None:
        figures, seed = self._figures, self._scenario.seed
        async with CuttingProxy(None, plans=drawn(seed, reach=20_000)) as proxy:

            def listens(line: str) -> None:
                proxy.target = int(line.split()[1])

            def is_gone() -> None:
                proxy.target = None

            async def end_client(client: _Process) -> None:
                proxy.calm()
                await client.end("all are stored")
                all_stored.set()

            async def end_server(server: _Process) -> None:
                await all_stored.wait()
                await server.end()

            all_stored = asyncio.Event()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._kill("server", 0, end_server, listens, is_gone))
                    tasks.create_task(self._kill("client", proxy.port, end_client))
            finally:
                figures.connections, figures.cuts = proxy.connections, proxy.cuts

    async def _kill(
        self,
        program: str,
        port: int,
        end: Callable[[_Process], Awaitable[None]],
        is_there: Callable[[str], None] = lambda _: None,
        is_gone: Callable[[], None] = lambda: None,
    ) -> None:
        """Start a program, again and again, and kill it; end it once the other is killed no more.

        :param is_there: gets the line with which it says so
        """
        scenario, figures = self._scenario, self._figures
        rng = random.Random(f"{scenario.seed} {program}")
        kills = scenario.kills // 2
        for number in range(kills + 1):
            seed = f"{scenario.seed} {program} {number}"
            part = Part(str(self._directory), seed, port, self._key)
            async with _Process.start(part, program) as process:
                early, lifetime = rng.random() < _EARLY_SHARE, rng.expovariate(1 / _LIFETIME)
                if number == kills:
                    is_there(await process.line())
                    await self._last.wait()
                    await end(process)
                    return
                if early:
                    figures.early += 1
                    await asyncio.sleep(rng.random() * _EARLY)
                else:
                    is_there(await process.line())
                    await asyncio.sleep(lifetime)
                await process.kill()
            figures.kills[program] += 1
            is_gone()
