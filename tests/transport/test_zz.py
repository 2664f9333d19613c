from __future__ import annotations
import asyncio
import pytest
from .ends import *
async def test_pair(no_leaks: None, mode: Mode, family: Family) -> None:
    async with open_pair(mode, family) as (client, accepted, server):
        await client.send(b"a")
        assert await accepted.recv() == b"a"
        print(asyncio.get_running_loop())
