"""Sockets that a service manager has opened: systemd's own tools, and its environment."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import documents
import pytest

import sealframe
from sealframe import ConfigurationError, activated_sockets, sync

ANY_LOOP = True

PAGE = documents.read("docs/guides/deployment.md")

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="descriptors are inherited in POSIX"
)

WITH_SOCKET = "Requires=app.socket"
"""The line that the page adds to the service."""

NAMES = """
import sealframe
for name in (None, "app", "other", "", "nobody"):
    ports = [sock.getsockname()[1] for sock in sealframe.activated_sockets(name)]
    print(name, ports)
"""


BEFORE = """
import os
for descriptor, given in enumerate({given}, 3):
    os.dup2(given, descriptor)
os.environ["LISTEN_PID"] = str(os.getpid())
"""


def run(
    program: str, *socks: socket.socket, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program with these as descriptors 3 and up, as systemd would."""
    given = [sock.fileno() for sock in socks]
    return subprocess.run(
        [sys.executable, "-c", BEFORE.format(given=given) + program],
        env={**os.environ, "LISTEN_FDS": str(len(socks)), **environment},
        pass_fds=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_sockets_have_names() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
        done = run(NAMES, one, two, LISTEN_FDNAMES="app:other")
        assert done.stdout.splitlines() == [
            f"None {ports}",
            f"app [{ports[0]}]",
            f"other [{ports[1]}]",
            " []",
            "nobody []",
        ]
        # An old systemd gives no names.
        done = run(NAMES, one, two)
        assert done.stdout.splitlines()[:2] == [f"None {ports}", "app []"]


def test_what_is_no_socket_is_refused() -> None:
    program = "import os; os.dup2(0, 3); import sealframe; sealframe.activated_sockets()"
    done = run(program, LISTEN_FDS="1")
    assert "ConfigurationError: descriptor 3 of LISTEN_FDS is no socket" in done.stderr


@pytest.mark.parametrize("pid", [None, "1"], ids=["not at all", "those of its parent"])
def test_nothing_was_passed(monkeypatch: pytest.MonkeyPatch, pid: str | None) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.delenv("LISTEN_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("LISTEN_PID", pid)
    assert activated_sockets() == []
    with pytest.raises(ConfigurationError, match="nothing would be listened on"):
        sealframe.serve(None, sock=activated_sockets(), on_request=lambda *_: b"")


def test_a_wrong_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "all")
    with pytest.raises(ConfigurationError, match="LISTEN_FDS is 'all'"):
        activated_sockets()


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd is not there")
def test_the_service_of_the_guide_is_started_by_its_first_client(tmp_path: Path, port: int) -> None:
    (tmp_path / "server.py").write_text(documents.program_with(PAGE, "activated_sockets"))
    command = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "--fdname=app"]
    # It hands its own environment on only where it is told to.
    command += ["-E", f"PYTHONPATH={Path(sealframe.__file__).parents[1]}"]
    service = subprocess.Popen([*command, sys.executable, str(tmp_path / "server.py")])
    try:
        documents.wait_until_listening(port, service)
        with sync.connect("127.0.0.1", port, timeout=30) as conn:
            conn.send(b"hello")
            assert conn.recv(timeout=30) == b"hello"
            service.terminate()
            with pytest.raises(sealframe.ConnectionClosedOK):
                conn.recv(timeout=30)
        assert service.wait(30) == 0
    finally:
        service.kill()
        service.wait()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not there")
def test_the_units_of_the_guide_are_right(tmp_path: Path) -> None:
    for name, unit in documents.blocks(PAGE, "ini").items():
        here = unit.replace("/srv/app/.venv/bin/python", sys.executable)
        if name == "app.service":
            here = here.replace("[Unit]\n", f"[Unit]\n{WITH_SOCKET}\n")
            assert here.count("\n") == unit.count("\n") + 1
        (tmp_path / name).write_text(here)
    assert f"```ini\n{WITH_SOCKET}\n```" in PAGE
    units = [str(tmp_path / "app.socket"), str(tmp_path / "app.service")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
