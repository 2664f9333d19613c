"""What README.md shows is true: its programs run, its table names every default."""

from __future__ import annotations

import dataclasses
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from sealframe import ClientOptions, ServerOptions

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def example(name: str) -> str:
    """Return the program of that name."""
    start = re.escape(f"<!-- example: {name} -->\n```python\n")
    found = re.search(rf"^{start}(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_echo_programs_run(tmp_path: Path) -> None:
    """The server and the client of the README, as they stand, on a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("server.py", "client.py"):
        program = example(name)
        assert "1234" in program
        (tmp_path / name).write_text(program.replace("1234", str(port)), encoding="utf-8")
    server = subprocess.Popen([sys.executable, "server.py"], cwd=tmp_path)
    try:
        wait_until_listening(port, server)
        done = subprocess.run(
            [sys.executable, "-X", "utf8", "client.py"],
            cwd=tmp_path,
            capture_output=True,
            timeout=30,
            check=True,
            encoding="utf-8",
        )
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert done.stdout == "grüß dich\n"


def wait_until_listening(port: int, server: subprocess.Popen[bytes]) -> None:
    """Return once the server accepts a connection."""
    deadline = time.monotonic() + 30
    while True:
        assert server.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


def test_the_table_of_limits_names_every_default() -> None:
    """Each option stands in the table once, with its default."""
    section = README.split("## Limits and defaults")[1].split("\n## ")[0]
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, re.MULTILINE))
    defaults = {
        field.name: str(field.default)
        for options in (ServerOptions, ClientOptions)
        for field in dataclasses.fields(options)
    }
    assert table == defaults
