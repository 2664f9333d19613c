"""What both programs are told, and how they begin and end."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from loops import FACTORIES

from sealframe import SharedKey


@dataclass(frozen=True)
class Part:
    """One start of a program, as its only argument."""

    directory: str
    """Where its files are, those of earlier starts among them."""
    seed: str
    """Of all that it draws by lot."""
    port: int = 0
    """The client's way to the server."""
    key: str | None = None
    """The shared key as text, where the two talk sealed."""

    def command(self, program: str) -> list[str]:
        """Return how to start it."""
        module = f"{__package__}.{program}"
        return [sys.executable, "-W", "error", "-m", module, json.dumps(asdict(self))]

    @property
    def folder(self) -> Path:
        """The directory."""
        return Path(self.directory)

    @property
    def security(self) -> SharedKey | None:
        """The key."""
        return None if self.key is None else SharedKey.from_text(self.key)


def run(main: Callable[[Part, random.Random, asyncio.Event], Awaitable[None]]) -> None:
    """Run a program: its event loop is drawn by lot, too. The event is set at the end of its
    input."""
    part = Part(**json.loads(sys.argv[1]))
    rng = random.Random(part.seed)
    loop_factory = FACTORIES[rng.choice(sorted(FACTORIES))]

    async def until_the_end() -> None:
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()

        def stop() -> None:
            loop.remove_reader(sys.stdin.fileno())
            stopping.set()

        # Nothing is ever written to it.
        loop.add_reader(sys.stdin.fileno(), stop)
        await main(part, rng, stopping)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(until_the_end())
