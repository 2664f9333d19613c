"""Run one program and print what it found, as JSON: ``python -m compare.one PEER PROGRAM``."""

from __future__ import annotations

import ast
import asyncio
import filecmp
import importlib
import json
import logging
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

from .lab import HTTP, UPGRADE, Fact, others, raw_exchange


def lines_of(peer: str, name: str) -> int:
    """Return how many lines of a program are neither empty nor comment.

    :param peer: its name
    :param name: that of the program's function
    """
    text = Path(__file__).with_name(f"with_{peer}.py").read_text(encoding="utf-8")
    [function] = [
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.AsyncFunctionDef) and node.name == name
    ]
    lines = text.splitlines()[function.lineno - 1 : function.end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


async def foreign(peer: Any) -> Fact:
    """A program that knows nothing but ``{int32 little-endian length}{data}``."""
    packet = struct.pack("<i", 5) + b"hello"
    async with peer.echo() as (port, _):
        return {"answered": await raw_exchange(port, packet) == packet}


async def scanner(peer: Any) -> Fact:
    """A scanner asks for a page; afterwards the port serves as before."""
    async with peer.echo() as (port, _):
        answer = await raw_exchange(port, HTTP)
        goes_on = await peer.ask(port) == b"hello"
        beside = others()
        # The server is to notice that they have gone.
        await asyncio.sleep(0.2)
    status = answer.split(b" ")[1].decode() if answer.startswith(b"HTTP/1.1 ") else ""
    return {"goes_on": goes_on, "status": status, "beside": beside}


async def browser(peer: Any) -> Fact:
    """A browser opens a WebSocket (RFC 6455, section 4.1)."""
    async with peer.echo() as (_, port):
        answer = await raw_exchange(port, UPGRADE)
    return {"answered": answer.startswith(b"HTTP/1.1 101")}


async def file(peer: Any) -> Fact:
    """A file of 8 MiB is compared by the receiver, by its digest."""
    with tempfile.TemporaryDirectory() as name:
        source, folder = Path(name, "photo.jpg"), Path(name, "arrived")
        folder.mkdir()
        source.write_bytes(bytes(range(256)) * 32768)
        await peer.file(source, folder)
        same = filecmp.cmp(source, folder / "photo.jpg", shallow=False)
    return {"whole": same}


async def python_object(peer: Any) -> Fact:
    """An object of Python's own, handed over as it is."""
    value = {"when": (1, 2j), "tags": {"a", "b"}}
    try:
        return {"arrived": await peer.python_object(value) == value}
    except Exception:
        return {"arrived": False}


COMMON = {
    "foreign": foreign,
    "scanner": scanner,
    "browser": browser,
    "file": file,
    "python_object": python_object,
}


async def run(peer_name: str, program: str) -> Fact:
    """Run a program of a peer."""
    peer = importlib.import_module(f"compare.with_{peer_name}")
    fact: Fact
    if program in COMMON:
        fact = await COMMON[program](peer)
    else:
        fact = await getattr(peer, program)()
    if program in ("requests", "file"):
        fact["lines"] = lines_of(peer_name, program)
    return fact


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.WARNING)
    print(json.dumps(asyncio.run(run(*sys.argv[1:]))))
