"""Requests to a dashboard, byte for byte, and the events that it sends."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aio.ends import PATIENCE

from sealframe.dashboard import Dashboard


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


def port_of(page: Dashboard | str) -> int:
    """Return the port of a dashboard, or of its URL."""
    url = page if isinstance(page, str) else page.url
    return int(url.partition("#")[0].rstrip("/").rpartition(":")[2])


@asynccontextmanager
async def asking(
    page: Dashboard | str, path: str, *headers: str, method: str = "GET", host: str = "127.0.0.1"
) -> AsyncIterator[asyncio.StreamReader]:
    """Send a request, byte for byte as it is here; give what comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(page))
    try:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(PATIENCE):
            yield reader
    finally:
        writer.transport.abort()


async def head(reader: asyncio.StreamReader) -> Answer:
    raw = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = raw.strip().split("\r\n")
    return Answer(int(first.split()[1]), dict(line.split(": ", 1) for line in lines), "")


async def ask(page: Dashboard | str, path: str, *headers: str, **request: str) -> Answer:
    async with asking(page, path, *headers, **request) as reader:
        answer = await head(reader)
        return answer._replace(body=(await reader.read()).decode())


async def events(reader: asyncio.StreamReader, count: int) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    text = ""
    while len(found) < count:
        text += (await reader.readuntil(b"\n\n")).decode()
        found = [
            (name, json.loads(data)) for name, data in re.findall(r"event: (\w+)\ndata: (.*)", text)
        ]
    return found
