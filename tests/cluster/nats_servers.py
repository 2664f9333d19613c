"""Real NATS servers, that a test may kill, stop, restart and send away their clients.

Each is a child of sealframe's own keeper: none is left behind, also where the tests are killed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ports import reserved_port

from sealframe.cluster.local_nats import keeper_command, read_url


class NatsServer:
    """One nats-server on a port that stays its own, until :meth:`end`.

    :param config: lines of its configuration file, beside the port
    """

    def __init__(self, port: int, folder: Path, config: str = "") -> None:
        self.port = port
        self.url = f"nats://127.0.0.1:{port}"
        self.folder = folder
        self.config = config
        self._keeper: subprocess.Popen[bytes] | None = None

    def running(self) -> bool:
        """Return whether the process is there, also a stopped one."""
        return self._keeper is not None and self._keeper.poll() is None

    @property
    def pid(self) -> int:
        """Of the server itself, not of its keeper."""
        return int((self.folder / "pid").read_text())

    @property
    def log(self) -> str:
        """What it wrote since it was started first."""
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it, and return once it listens."""
        assert not self.running()
        for old in (*self.folder.glob("*.ports"), *self.folder.glob("pid")):
            old.unlink()
        file = self._write_config()
        command = keeper_command(
            *("-c", str(file), "-l", str(self.folder / "log")),
            *("-P", str(self.folder / "pid"), "--ports_file_dir", str(self.folder)),
        )
        # A configuration that it does not take is told there.
        with (self.folder / "log").open("ab") as log:
            self._keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log)
        while read_url(self.folder) is None:
            if not self.running():
                raise RuntimeError(f"nats-server did not start:\n{self.log}")
            time.sleep(0.005)

    def kill(self) -> None:
        """End it as ``kill -9`` does, stopped or not, and return once it is gone."""
        self._signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """Let it hang: it keeps its connections, and does nothing more."""
        self._signal(signal.SIGSTOP)
        # Each of its threads stops for itself. Where there is no /proc, that is not waited for.
        threads = Path(f"/proc/{self.pid}/task")
        while any(b") T " not in (one / "stat").read_bytes() for one in threads.glob("*")):
            time.sleep(0.001)

    def go_on(self) -> None:
        """End :meth:`stop`."""
        self._signal(signal.SIGCONT)

    def lame_duck(self) -> None:
        """Let it send its clients away, and end once they are gone."""
        self._signal(signal.SIGUSR2)

    def restart(self) -> None:
        """Kill it, if it runs, and start it again on the same port, with the same files."""
        self.end()
        self.start()

    def restore(self) -> None:
        """Make good whatever a test did to it."""
        if self.running() and self._accepts():
            return
        self.restart()

    def end(self) -> None:
        """Kill it, however it is."""
        if self._keeper is not None:
            self._keeper.terminate()
            self._reap()

    def reload(self, config: str) -> None:
        """Let it take another configuration: who is not let in any more is thrown out."""
        self.config = config
        self._write_config()
        self._signal(signal.SIGHUP)

    def _write_config(self) -> Path:
        file = self.folder / "nats.conf"
        file.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            # The shortest that it takes: clients are sent away from grace on.
            'lame_duck_duration: "30s"\nlame_duck_grace_period: "50ms"\n' + self.config
        )
        return file

    def _signal(self, number: signal.Signals) -> None:
        assert self.running()
        os.kill(self.pid, number)

    def _reap(self) -> None:
        assert self._keeper is not None
        self._keeper.wait()
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()

    def _accepts(self) -> bool:
        """Return whether it greets a client: not if it was stopped, or is a lame duck."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                return sock.recv(5) == b"INFO "
        except OSError:
            return False


@contextmanager
def one_server(folder: Path, config: str = "") -> Iterator[NatsServer]:
    """A server alone.

    :param config: lines of its configuration file
    """
    with reserved_port() as port:
        server = NatsServer(port, folder, config)
        try:
            server.start()
            yield server
        finally:
            server.end()


@contextmanager
def three_nodes(folder: Path) -> Iterator[Sequence[NatsServer]]:
    """Three nodes of one NATS cluster, each with JetStream."""
    with ExitStack() as stack:
        ports = [stack.enter_context(reserved_port()) for _ in range(3)]
        routes = [stack.enter_context(reserved_port()) for _ in range(3)]
        named = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        nodes = []
        for number, (port, route) in enumerate(zip(ports, routes, strict=True)):
            own = folder / f"n{number}"
            own.mkdir()
            nodes.append(
                NatsServer(
                    port,
                    own,
                    f'server_name: "n{number}"\n'
                    f'jetstream {{ store_dir: "{own / "jetstream"}" }}\n'
                    f'cluster {{ name: "tests", listen: "127.0.0.1:{route}"\n'
                    f"routes: [{named}] }}\n",
                )
            )
        try:
            for node in nodes:
                node.start()
            yield nodes
        finally:
            for node in nodes:
                node.end()
