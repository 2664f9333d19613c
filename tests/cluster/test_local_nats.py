"""A NATS server for a try-out: it listens on loopback, and is gone with whoever started it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sealframe import ClusterError, ConfigurationError, MissingExtraError
from sealframe.cluster import local_nats
from sealframe.cluster.local_nats import LocalNats

from .links import ears


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_it_is_there_for_the_block() -> None:
    nats = LocalNats()
    for _ in range(2):
        async with nats:
            assert nats.url.startswith("nats://127.0.0.1:")
            port = port_of(nats.url)
            async with ears(nats.url, "a", "b") as (a, b):
                a.link.publish(b.subject, b"hello")
                await b.until(lambda b=b: bool(b.messages))  # type: ignore[misc]
        assert nats.url == ""
        assert not listens(port)


async def test_its_folder_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with LocalNats(jetstream=True):
        assert list(tmp_path.glob("*/jetstream"))
    assert list(tmp_path.iterdir()) == []


async def test_a_port_of_its_own(port: int) -> None:
    async with LocalNats(port=port) as nats:
        assert nats.url == f"nats://127.0.0.1:{port}"
        with pytest.raises(ClusterError, match=r"did not start: .*address already in use"):
            await LocalNats(port=port).__aenter__()


async def test_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with LocalNats(token="a1b2c3") as nats:
        # What this process would leave behind if it were killed now.
        left = [file.read_bytes() for file in tmp_path.glob("*/*")]
        assert left
        assert not any(b"a1b2c3" in data for data in left)
        assert nats.url.startswith("nats://a1b2c3@127.0.0.1:")
        async with ears(nats.url, "a"):
            pass
        with pytest.raises(ClusterError, match="does not let this server in"):
            async with ears(nats.url.replace("a1b2c3@", ""), "a"):
                pass
    with pytest.raises(ConfigurationError, match="letters and digits"):
        LocalNats(token='"')


async def test_without_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match=r'pip install "sealframe\[cluster\]"'):
        await LocalNats().__aenter__()


async def test_one_on_the_path_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    found = local_nats.find_nats_server()
    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    monkeypatch.setenv("PATH", str(found.parent))
    assert local_nats.find_nats_server() == found


async def test_a_cancelled_start_leaves_nothing() -> None:
    for steps in range(0, 12, 3):
        nats = LocalNats()
        starting = asyncio.create_task(nats.__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        assert nats.url == ""
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_start_that_is_cancelled_late_leaves_no_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The keeper may have begun one, while this process had no turn."""
    pids = tmp_path / "pids"
    pids.touch()
    program = tmp_path / "nats-server"
    program.write_text(f"#!/bin/sh\necho $$ >> {pids}\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(local_nats, "find_nats_server", lambda: program)
    for steps in range(12):
        starting = asyncio.create_task(LocalNats().__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0)
        time.sleep(0.15)  # noqa: ASYNC251 - as long as a busy machine may keep it waiting
        starting.cancel()
        await asyncio.wait([starting])
    begun = [int(pid) for pid in pids.read_text().split()]
    assert begun
    for pid in begun:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


PROGRAM = """
import asyncio, sys
from sealframe.cluster.local_nats import LocalNats

async def main():
    async with LocalNats() as nats:
        print(nats.url, flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_its_program(number: signal.Signals) -> None:
    """However that ends; the operating system tells the keeper."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        assert program.stdout is not None
        port = port_of(program.stdout.readline().strip())
        assert listens(port)
        os.kill(program.pid, number)
        program.wait()
    gone = threading.Event()
    while listens(port):
        gone.wait(0.01)


FORKING = """
import asyncio, os, signal, socket
from sealframe.cluster.local_nats import LocalNats

async def main():
    async with LocalNats() as nats:
        port = int(nats.url.rpartition(":")[2])
        pid = os.fork()
        if pid == 0:
            signal.pause()
    with socket.socket() as sock:
        print(sock.connect_ex(("127.0.0.1", port)) != 0)
    os.kill(pid, signal.SIGKILL)

asyncio.run(main())
"""


def test_a_child_that_was_forked_does_not_keep_it() -> None:
    """It has the other end of the keeper's pipe, too."""
    # Python 3.12 warns of forks beside threads, as that one which waits for the keeper.
    command = [sys.executable, "-W", "ignore", "-c", FORKING]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n"
