"""The units in share/systemd, with systemd's own tools, and what serve tells a service manager."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from pathlib import Path

import documents
import pytest

import sealframe
from sealframe import SharedKey, sync

from .commands import PATIENCE, invoked

UNITS = Path(__file__).parents[2] / "share" / "systemd"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd runs on Linux")

MOST_EXPOSED = 15
"""What ``systemd-analyze security`` may find at most, in tenths: it gives 1.2, and 9.6 without."""


def setting(unit: str, name: str) -> str:
    """Return what a unit says."""
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNITS / unit)
    (value,) = (parser[section][name] for section in parser.sections() if name in parser[section])
    return value


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze over the units, with a program that is here in place of sealframe."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    for path in UNITS.iterdir():
        text = path.read_text().replace("=sealframe serve", f"={sys.executable} serve")
        (folder / path.name).write_text(text)
    return subprocess.run(
        ["systemd-analyze", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_units_are_right(tmp_path: Path) -> None:
    done = analyze(tmp_path, "verify", "--man=no", "./sealframe.socket", "./sealframe.service")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_service_is_sandboxed(tmp_path: Path) -> None:
    threshold = f"--threshold={MOST_EXPOSED}"
    done = analyze(tmp_path, "security", "--offline=true", threshold, "./sealframe.service")
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout


@contextmanager
def told(folder: Path) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(PATIENCE)
        yield manager


def test_the_service_is_started_by_a_client_tells_that_it_listens_and_ends_in_order(
    tmp_path: Path, port: int
) -> None:
    """Its own command line; what systemd writes for %d and %t are folders of this test."""
    if not shutil.which("systemd-socket-activate"):
        pytest.skip("systemd-socket-activate is not here")
    assert setting("sealframe.socket", "ListenStream") == "1234"
    key = SharedKey.generate()
    key.save(tmp_path / "key")
    (tmp_path / "sealframe").mkdir()
    line = setting("sealframe.service", "ExecStart")
    words = shlex.split(re.sub("%[dt]", str(tmp_path), line))
    assert words[0] == "sealframe"
    listening = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}"]
    environment = {
        "PYTHONPATH": str(Path(sealframe.__file__).parents[1]),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }
    handed = [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
    with told(tmp_path) as manager:
        service = subprocess.Popen(
            [*listening, *handed, sys.executable, "-W", "error", "-m", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            documents.wait_until_listening(port, service)
            with sync.connect("127.0.0.1", port, security=key, timeout=PATIENCE) as conn:
                assert manager.recv(100) == b"READY=1"
                conn.send(b"hello")
                # As the manual has it: the main process gets the signal.
                service.send_signal(signal.SIGTERM)
                assert manager.recv(100) == b"STOPPING=1"
                with pytest.raises(sealframe.ConnectionClosedOK):
                    conn.recv(timeout=PATIENCE)
            output, errors = service.communicate(timeout=PATIENCE)
        finally:
            service.kill()
            service.communicate()
    assert service.returncode == 0, errors
    assert f"relay, sealed, on 127.0.0.1:{port}" in output


def test_where_nobody_listens_for_its_words_it_says_so_and_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from sealframe.cli.notifying import READY, notify

    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify(READY)
    expected = f"sealframe: cannot tell {tmp_path}/gone READY=1: No such file or directory\n"
    assert capfd.readouterr().err == expected
    # One in the abstract namespace.
    name = f"sealframe-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify(READY)
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["serve", "systemd:"], 1, "systemd has passed no socket: start the socket's unit"),
        (["serve", "systemd:relay"], 1, "systemd has passed no socket with the name relay: "),
        (["receive", ".", "systemd:"], 1, "systemd has passed no socket: "),
        (["serve", "systemd:", "--workers", "2"], 2, "--workers share a port that they open"),
        (["send", "x", "systemd:"], 2, "systemd: is for servers"),
    ],
    ids=["serve", "name", "receive", "workers", "client"],
)
def test_sockets_that_are_not_there(
    arguments: list[str], code: int, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LISTEN_PID", raising=False)
    done = invoked(*arguments)
    assert (done.code, done.output) == (code, "")
    assert error in done.error
