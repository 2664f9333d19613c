from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parent / "sealed_peer").glob("*.go"))
LIBRARIES = Path("/usr/share/gocode")
"""Where Debian's packages put Go libraries; there is no download."""


@pytest.fixture(scope="session")
def go_peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled program in sealed_peer/."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    if not (LIBRARIES / "src/github.com/flynn/noise").is_dir():
        pytest.skip("the Go library flynn/noise is not installed (golang-github-flynn-noise-dev)")
    import fcntl  # Not on Windows, where this line is not reached.

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Each worker has a folder of its own, all in one of this run.
        folder = folder.parent
    program = folder / "sealed_peer"
    with (folder / "sealed_peer.lock").open("w") as lock:
        # The first worker compiles, the others wait and use what it made.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            settings = {"GO111MODULE": "off", "GOPATH": str(LIBRARIES), "CGO_ENABLED": "0"}
            environment = {**os.environ, **settings, "GOFLAGS": "", "GOPROXY": "off"}
            environment.setdefault("HOME", str(folder))
            made = subprocess.run(
                [go, "build", "-o", program, *SOURCES],
                env=environment,
                capture_output=True,
                text=True,
                timeout=100,
                check=False,
            )
            assert made.returncode == 0, made.stderr
    return program
