"""The chat over several servers, as its compose file starts it: without containers, and with an
address on loopback in place of each."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sealframe.cluster.local_nats import keeper_command, read_url

from .programs import EXAMPLES, Program, started

COMPOSE = (EXAMPLES / "cluster" / "compose.yaml").read_text(encoding="utf-8")
HOSTS = ("nats1", "nats2", "nats3", "chat1", "chat2", "chat3")

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="all of 127.0.0.0/8 are addresses on Linux alone"
)


class Machines:
    """What the services of the file run on."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        # So that no port of another run is taken.
        first, second = divmod(os.getpid() % (126 * 256), 256)
        self.addresses = {
            host: f"127.{first + 1}.{second}.{10 + number}" for number, host in enumerate(HOSTS)
        }

    def command(self, host: str) -> list[str]:
        """Return the arguments that the file gives to a service."""
        name = host if host.startswith("nats") else "x-chat"
        found = re.search(rf"^ *{name}:.*\n(?: .*\n)*? *command: (\[.*\])$", COMPOSE, re.MULTILINE)
        assert found
        arguments: list[str] = [
            argument.replace("0.0.0.0", self.addresses[host]) for argument in json.loads(found[1])
        ]
        for other, address in self.addresses.items():
            arguments = [argument.replace(other, address) for argument in arguments]
        return arguments

    def start_nats(self, host: str) -> None:
        """Start a node of NATS, and return once it listens."""
        folder = self._folder / host
        folder.mkdir()
        log = folder / "log"
        # It is gone with this process, whatever becomes of that.
        command = keeper_command(
            *(*self.command(host), "--addr", self.addresses[host]),
            *("--log", str(log), "--ports_file_dir", str(folder)),
        )
        node = self._stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))
        self._stack.callback(node.terminate)
        give_up = time.monotonic() + 30
        while read_url(folder) is None:
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < give_up
            time.sleep(0.005)

    def start_chat(self, host: str) -> Program:
        """Start a chat server, and return once it listens."""
        server = self._stack.enter_context(started("cluster_chat_server.py", *self.command(host)))
        server.line(r"listening on .*")
        return server

    @property
    def servers(self) -> list[str]:
        """The addresses of all chat servers."""
        return [f"{self.addresses[host]}:1234" for host in HOSTS[3:]]


@contextmanager
def machines(folder: Path) -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(stack, folder)


def test_clients_go_on_while_the_servers_are_restarted(tmp_path: Path) -> None:
    with machines(tmp_path) as there:
        for host in HOSTS[:3]:
            there.start_nats(host)
        servers = {host: there.start_chat(host) for host in HOSTS[3:]}
        with (
            started("cluster_chat_client.py", "ann", *there.servers) as ann,
            started("cluster_chat_client.py", "bob", *there.servers) as bob,
        ):
            ann.line(r"\* here: .*")
            bob.line(r"\* here: .*")
            for host in HOSTS[3:]:
                os.kill(servers[host].id, signal.SIGTERM)
                servers[host].rest()
                servers[host] = there.start_chat(host)
                for speaker, listener, name in ((ann, bob, "ann"), (bob, ann, "bob")):
                    with speaking(speaker, f"after {host}"):
                        listener.line(f"{name}: after {host}")


@contextmanager
def speaking(speaker: Program, line: str) -> Iterator[None]:
    """Say a line over and over: a broadcast of the moment in which somebody moves, or has just
    come, may miss them."""
    enough = threading.Event()

    def say() -> None:
        while not enough.wait(0.05):
            speaker.type(line)

    thread = threading.Thread(target=say)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
