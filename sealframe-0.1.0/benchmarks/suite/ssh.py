"""Commands that copy a file, with an sshd of their own where they need one."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from .job import HOST
from .pair import FailedError


@dataclass(frozen=True)
class Taken:
    """What one run took, in seconds."""

    wall: float
    cpu: float


Way: TypeAlias = Callable[[Path, Path], Taken]
"""Brings a file to a path that is not there yet."""


def cpu_of(who: int) -> float:
    """Return the CPU time of this process, or of its children."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def commands(*all_of_them: list[str], daemon: int = 0) -> Taken:
    """Run commands, one after the other.

    :param daemon: id of a process whose CPU time, that of its children included, counts too
    """
    before, began = cpu_of(resource.RUSAGE_CHILDREN) + daemon_cpu(daemon), time.perf_counter()
    for command in all_of_them:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    return Taken(wall, cpu_of(resource.RUSAGE_CHILDREN) + daemon_cpu(daemon) - before)


def daemon_cpu(process: int) -> float:
    """Return the CPU time of another process and of its children that have ended."""
    if not process:
        return 0.0
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


class SshClient:
    """Knows how to reach an :class:`Sshd`.

    :param folder: that of the sshd
    :param daemon: its process, where its CPU time is to count
    """

    def __init__(self, folder: Path, port: int, daemon: int = 0) -> None:
        self._port, self._daemon = port, daemon
        self._options = [
            *("-i", str(folder / "user"), "-o", "StrictHostKeyChecking=no"),
            *("-o", f"UserKnownHostsFile={folder}/known", "-o", "LogLevel=ERROR"),
            *("-o", "BatchMode=yes", "-o", "ConnectTimeout=5"),
        ]

    def is_let_in(self) -> bool:
        """Try it."""
        command = ["ssh", *self._options, "-p", str(self._port), HOST, "true"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def scp(self, source: Path, target: Path) -> Taken:
        """Send it with scp, which hashes nothing, and have it on the disk."""
        return commands(
            ["scp", "-q", *self._options, "-P", str(self._port), str(source), f"{HOST}:{target}"],
            ["sync", str(target)],
            daemon=self._daemon,
        )

    def rsync(self, rsync: str) -> Way:
        """Send it with rsync over ssh."""

        def way(source: Path, target: Path) -> Taken:
            shell = " ".join(["ssh", *self._options, "-p", str(self._port)])
            return commands(
                [
                    *(rsync, "-W", "--fsync", f"--rsync-path={rsync}", "-e", shell),
                    *(str(source), f"{HOST}:{target}"),
                ],
                daemon=self._daemon,
            )

        return way


class Sshd:
    """An sshd with keys of its own, on a free port, which lets its client in.

    :raises FailedError: it does not
    """

    def __init__(self, folder: Path, sshd: str) -> None:
        for name in ("host", "user"):
            generate = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(generate, check=True)
        self.port = free_port()
        config = folder / "sshd_config"
        config.write_text(
            f"ListenAddress {HOST}:{self.port}\nHostKey {folder}/host\nPidFile {folder}/pid\n"
            f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\n"
            "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
        )
        if os.geteuid() == 0:
            # What a system's own service would have made.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        log = folder / "log"
        self._process = subprocess.Popen([sshd, "-D", "-f", str(config), "-E", str(log)])
        self.client = SshClient(folder, self.port, self._process.pid)
        for _ in range(20):
            if self.client.is_let_in():
                return
            time.sleep(0.1)
        self.close()
        raise FailedError(f"sshd lets nobody in: {log.read_text()[-300:]}")

    def cpu(self) -> float:
        """Return the CPU time that it has used until now, and all that it has started."""
        return daemon_cpu(self._process.pid)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port
