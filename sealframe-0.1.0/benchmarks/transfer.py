"""One file over loopback, from disk to disk, beside what bounds it and other ways to send it.

Each way gets the same file, in turn, round after round; the figures are medians. What arrives
is compared with what was sent, and is on the disk (fsync) before the clock stops. CPU time is
that of all processes of a way together, their start included for ``cp``, ``scp``, ``rsync``
and magic-wormhole, whose wall time has no start in it where it is long.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from suite.job import Job
from suite.pair import FailedError, run_pair
from suite.ssh import Sshd, Taken, Way, commands, cpu_of

import sealframe

HOST = "127.0.0.1"
MESSAGE = 65536
MIB = 1 << 20


# sealframe


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run under uvloop where it is installed."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        pass
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def own_cpu() -> float:
    """Return the CPU time of this process."""
    return cpu_of(resource.RUSAGE_SELF)


async def receive(directory: str, key: str) -> None:
    """Receive until stdin ends, then tell of the CPU time."""
    security = sealframe.SharedKey.load(key) if key else None
    inbox = sealframe.Inbox(directory, keep_free=0)
    async with sealframe.serve(None, HOST, 0, files=inbox, security=security) as server:
        before = own_cpu()
        print(server.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        print(json.dumps({"cpu": own_cpu() - before}), flush=True)


async def send(path: str, name: str, key: str, port: str) -> None:
    """Send a file and tell of it."""
    security = sealframe.SharedKey.load(key) if key else None
    async with sealframe.connect(HOST, int(port), security=security, extended=not key) as conn:
        before, began = own_cpu(), time.perf_counter()
        await conn.send_file(path, name=name)
        wall = time.perf_counter() - began
        print(json.dumps({"wall": wall, "cpu": own_cpu() - before}), flush=True)


def profiled(main: Coroutine[Any, Any, None], role: str) -> None:
    """Run one end, and write the profile of its event loop where it is wanted."""
    where = os.environ.get("FILES_PROFILE")
    if not where:
        run(main)
        return
    with cProfile.Profile() as profile:
        run(main)
    profile.dump_stats(str(Path(where, f"{role}.prof")))


def by_sealframe(key: Path | None) -> Way:
    """Send it with ``send_file``, plain or sealed."""

    def way(source: Path, target: Path) -> Taken:
        sealing = str(key or "")
        with child("receive", str(target.parent), sealing) as receiver:
            port = line(receiver)
            with child("send", str(source), target.name, sealing, port) as sender:
                sent = json.loads(line(sender))
            assert receiver.stdin is not None
            receiver.stdin.close()
            received = json.loads(line(receiver))
        return Taken(sent["wall"], sent["cpu"] + received["cpu"])

    return way


def by_messages(*, sealed: bool) -> Way:
    """Send as many bytes in messages of 64 KiB, from memory to nowhere."""

    def way(source: Path, target: Path) -> Taken:
        count = max(1, source.stat().st_size // MESSAGE)
        warm_up = min(count, 500)
        job = Job("one_way", "sealframe_", size=MESSAGE, way="sealed" if sealed else "plain")
        job.count, job.warm_up = count, warm_up
        server, client = run_pair(job)
        # The bytes that were sent, in place of those of the file.
        scale = source.stat().st_size / (count * MESSAGE)
        shutil.copyfile(source, target)
        return Taken(server["wall"] * scale, (server["cpu"] + client["cpu"]) * scale)

    return way


# Other ways


def by_copy(source: Path, target: Path) -> Taken:
    """Copy it, have it on the disk, and hash it: what any transfer with a digest does."""
    return commands(
        ["cp", str(source), str(target)], ["sync", str(target)], ["sha256sum", str(target)]
    )


def by_wormhole(python: str) -> Way:
    """Send it by magic-wormhole's transit, straight from end to end."""
    script = str(Path(__file__).parent / "suite" / "wormhole_.py")

    def way(source: Path, target: Path) -> Taken:
        sending = [python, script, "send", str(source)]
        receiving = [python, script, "receive", str(target), str(source.stat().st_size)]
        with process(sending) as sender, process(receiving) as receiver:
            assert receiver.stdin is not None
            receiver.stdin.write(line(sender) + "\n")
            receiver.stdin.close()
            sent, received = json.loads(line(sender)), json.loads(line(receiver))
        return Taken(sent["wall"], sent["cpu"] + received["cpu"])

    return way


# Processes


@contextmanager
def process(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command that is waited for, or killed if something goes wrong here."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        except BaseException:
            running.kill()
            raise


def child(*arguments: str) -> Any:
    """Run one end of sealframe's."""
    return process([sys.executable, __file__, *arguments])


def line(running: subprocess.Popen[str]) -> str:
    """Return what a process says next.

    :raises FailedError: it has ended
    """
    assert running.stdout is not None
    text = running.stdout.readline().strip()
    if not text:
        raise FailedError(f"{running.args!r} has failed")
    return text


# All of them


def ways(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> dict[str, Way]:
    """Return what can be measured here; say of the rest why not."""
    key = folder / "key"
    sealframe.SharedKey.generate().save(key)
    found: dict[str, Way] = {
        "send_file, plain": by_sealframe(None),
        "send_file, sealed": by_sealframe(key),
        "64 KiB messages, plain": by_messages(sealed=False),
        "64 KiB messages, sealed": by_messages(sealed=True),
        "cp, sync, sha256sum": by_copy,
    }
    sshd = shutil.which(arguments.sshd) or shutil.which("/usr/sbin/sshd")
    if sshd is None or shutil.which("scp") is None:
        print("scp and rsync are left out: there is no sshd, or no scp")
    else:
        try:
            ssh = Sshd(folder, sshd)
        except (FailedError, subprocess.SubprocessError, OSError) as error:
            print(f"scp and rsync are left out: {error}")
        else:
            stack.callback(ssh.close)
            found["scp, sync"] = ssh.client.scp
            rsync = shutil.which(arguments.rsync)
            if rsync is None:
                print("rsync is left out: it is not installed")
            else:
                found["rsync over ssh"] = ssh.client.rsync(rsync)
    probe = [arguments.wormhole, "-c", "import wormhole.transit"]
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        print("magic-wormhole is left out: it is not installed")
    else:
        found["magic-wormhole transit"] = by_wormhole(arguments.wormhole)
    return found


def digest(path: Path) -> str:
    """Return a file's hash."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def measure(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
    """Measure all ways in turn, and print a table."""
    source = folder / "file"
    with source.open("wb") as file:
        for _ in range(arguments.mib):
            file.write(os.urandom(MIB))
        os.fsync(file.fileno())
    expected = digest(source)
    all_ways = ways(arguments, folder, stack)
    results: dict[str, list[Taken]] = {name: [] for name in all_ways}
    for _ in range(arguments.rounds):
        for name, way in all_ways.items():
            target = folder / "received" / "file"
            shutil.rmtree(target.parent, ignore_errors=True)
            target.parent.mkdir()
            taken = way(source, target)
            if digest(target) != expected:
                raise SystemExit(f"{name}: the file was changed on its way")
            results[name].append(taken)
    shutil.rmtree(folder / "received")
    amount = arguments.mib * MIB / 1e6
    rates = {
        name: amount / statistics.median(taken.wall for taken in runs)
        for name, runs in results.items()
    }
    print(f"{'':26}{'MB/s':>8}{'lowest':>8}{'highest':>8}{'s of CPU':>10}{'of messages':>13}")
    for name, runs in results.items():
        walls = [taken.wall for taken in runs]
        cpu = statistics.median(taken.cpu for taken in runs)
        kind = "plain" if name.endswith("plain") else "sealed"
        ratio = rates[name] / rates[f"64 KiB messages, {kind}"]
        # Only what goes over the same kind of link is comparable.
        of_messages = f"{ratio:.2f}" if name.startswith("send_file") else ""
        print(
            f"{name:26}{rates[name]:8.0f}{amount / max(walls):8.0f}{amount / min(walls):8.0f}"
            f"{cpu:10.2f}{of_messages:>13}",
            flush=True,
        )


def main() -> None:
    """Measure, or be one end of a transfer."""
    ends: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"receive": receive, "send": send}
    if len(sys.argv) > 1 and sys.argv[1] in ends:
        role, *rest = sys.argv[1:]
        profiled(ends[role](*rest), role)
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="MiB of the file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", help="where the files are, in place of a temporary folder")
    parser.add_argument("--sshd", default="sshd")
    parser.add_argument("--rsync", default="rsync")
    parser.add_argument(
        "--wormhole", metavar="PYTHON", default=sys.executable, help="that has magic-wormhole"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder, ExitStack() as stack:
        measure(arguments, Path(folder), stack)


if __name__ == "__main__":
    main()
