"""Programs in other languages, run as child processes that never outlive their test."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TIME_LIMIT = 90.0


@asynccontextmanager
async def running(
    *command: object, folder: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command whose three streams are pipes; it is killed if it has not ended."""
    async with asyncio.timeout(TIME_LIMIT):
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            cwd=folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            # Reads the pipes to their end; one that is not would stay open.
            await process.communicate()
