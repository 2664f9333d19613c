"""share/container: its three relays over NATS run here, without containers, with an address of
loopback in place of each."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

import sealframe
from sealframe.cluster.local_nats import keeper_command, read_url

from .commands import PATIENCE, Program, outcome, running

FOLDER = Path(__file__).parents[2] / "share" / "container"
COMPOSE = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
CONTAINERFILE = (FOLDER / "Containerfile").read_text(encoding="utf-8")
RELAYS = ("relay1", "relay2", "relay3")

ANY_LOOP = True

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="all of 127.0.0.0/8 are addresses on Linux alone"
)


def addresses() -> dict[str, str]:
    """Return an address for each service; no port of another run is taken."""
    first, second = divmod(os.getpid() % (126 * 256), 256)
    names = ("nats", *RELAYS)
    return {name: f"127.{first + 1}.{second}.{20 + number}" for number, name in enumerate(names)}


def listed(name: str, text: str) -> list[str]:
    """Return a list of the compose file or of the Containerfile, the first behind some text."""
    pattern = rf"{text}.*?{name}:? (\[.*?\])$"
    found = re.search(pattern, COMPOSE + CONTAINERFILE, re.DOTALL | re.MULTILINE)
    assert found, (name, text)
    words: list[str] = json.loads(found[1])
    return words


@contextmanager
def nats(address: str, folder: Path) -> Iterator[None]:
    """Run NATS with the arguments of the compose file."""
    arguments = [address if word == "0.0.0.0" else word for word in listed("command", "  nats:")]
    log = folder / "log"
    command = keeper_command(*arguments, "--log", str(log), "--ports_file_dir", str(folder))
    # It is gone with this process, whatever becomes of that.
    with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
        try:
            yield
        finally:
            server.terminate()


@asynccontextmanager
async def relay(name: str, there: dict[str, str], folder: Path) -> AsyncIterator[Program]:
    """Run a relay with the arguments of the compose file."""
    line = json.dumps(listed("command", "x-relay:"))
    line = line.replace("0.0.0.0", there[name]).replace("//nats:", f"//{there['nats']}:")
    arguments = json.loads(line.replace("/tmp/control", str(folder / name)))
    async with running(*arguments) as program:
        await program.lines_until("Ctrl-C ends it.")
        yield program


@linux
async def test_a_message_crosses_and_its_reader_goes_on_when_its_relay_stops(
    tmp_path: Path,
) -> None:
    there = addresses()
    every = ",".join(f"{there[name]}:1234" for name in RELAYS)
    async with AsyncExitStack() as stack:
        stack.enter_context(nats(there["nats"], tmp_path))
        async with asyncio.timeout(PATIENCE):
            while read_url(tmp_path) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        relays = {
            name: await stack.enter_async_context(relay(name, there, tmp_path)) for name in RELAYS
        }
        reader = await stack.enter_async_context(running("chat", every, "--session"))
        connected = await reader.error_line()
        (its_relay,) = (name for name in RELAYS if f"connected to {there[name]}:1234" in connected)
        others = [name for name in RELAYS if name != its_relay]
        async with sealframe.connect(there[others[0]], 1234) as writer:
            await writer.send(b"one")
            assert (await reader.line()).endswith(": one")
            ended = await relays[its_relay].end_by(signal.SIGTERM)
            assert (ended.code, ended.errors) == (0, "")
            # Its session has moved.
            while "connected again" not in await reader.error_line():
                pass
            await writer.send(b"two")
            assert (await reader.line()).endswith(": two")
        # As the health check of the image and of the compose file, which are one.
        check = listed("test", "x-relay:")
        assert check == ["CMD", *listed("CMD", "HEALTHCHECK")]
        for name, code in ((others[1], 0), (its_relay, 1)):
            words = [word.replace("/tmp/control", str(tmp_path / name)) for word in check[2:]]
            assert (await outcome(*words)).code == code


def test_the_image_runs_what_the_services_run() -> None:
    assert listed("ENTRYPOINT", "FROM") == ["sealframe"]
    image, service = listed("CMD", "ENTRYPOINT"), listed("command", "x-relay:")
    assert service[: len(image)] == image
    assert "USER 65534:65534" in CONTAINERFILE
    # Each part of the source that a build needs, and no more.
    copied = re.findall(r"^COPY (?!--from)(.*) /sealframe", CONTAINERFILE, re.MULTILINE)
    sources = [name for line in copied for name in line.split()]
    assert [name for name in sources if not (FOLDER.parents[1] / name).exists()] == []
