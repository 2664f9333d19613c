"""Tried without installing it: ``uvx`` and ``pipx run``, from a folder of wheels and no index."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from distributions import make_wheels, run
from filelock import FileLock

pytestmark = [
    pytest.mark.packaging,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="their folders are other ones there"),
]

ADVICE = (
    'sealframe: the commands need click and rich; from a clone run: pip install ".[cli]", or '
    'without installing it: uvx --from ".[cli]" sealframe demo, or: pipx run --spec '
    '".[cli]" sealframe demo'
)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sealframe and all that its commands need, for all workers."""
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    folder = common / "wheels"
    with FileLock(common / "wheels.lock"):
        if not folder.exists():
            # pipx has a pip of its own, and wants it of today.
            make_wheels(common / "wheels-being-made", more=["pip"]).rename(folder)
    return folder


def tried(
    how: str, spec: str | None, wheels: Path, folder: Path, command: str = "demo"
) -> subprocess.CompletedProcess[str]:
    """Run a command, with nothing of this machine's caches and settings."""
    if not shutil.which(how):
        pytest.skip(f"{how} is not here")
    if how == "uvx":
        runner = ["uvx", "--no-config", "--no-index", "--find-links", str(wheels), "--offline"]
        runner += ["--python", sys.executable, *(["--from", spec] if spec else [])]
    else:
        runner = ["pipx", "run", "--backend", "pip", "--python", sys.executable]
        runner += ["--pip-args", f"--no-index --find-links {wheels}"]
        runner += ["--spec", spec] if spec else []
    homes = ("HOME", "PIPX_HOME", "UV_CACHE_DIR", "UV_TOOL_DIR")
    return run(
        *runner,
        "sealframe",
        command,
        **{name: str(folder / name) for name in homes},
        PIP_CONFIG_FILE="/dev/null",
    )


@pytest.mark.parametrize("how", ["uvx", "pipx"])
def test_the_demo_runs(how: str, wheels: Path, tmp_path: Path) -> None:
    done = tried(how, "sealframe[cli]", wheels, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "sealed  yes" in done.stdout
    assert done.stdout.endswith("All is well.\n")


@pytest.mark.parametrize("how", ["uvx", "pipx"])
def test_by_its_bare_name_it_runs_unsealed_and_says_so(
    how: str, wheels: Path, tmp_path: Path
) -> None:
    done = tried(how, None, wheels, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "sealed  no: all of it went in the clear" in done.stdout
    _, _, rest = done.stdout.partition("All is well.\n")
    assert "\nNot shown:\n  sealing: " in rest
    assert rest.splitlines()[-2:] == [
        '  uvx --from ".[cli]" sealframe demo',
        '  pipx run --spec ".[cli]" sealframe demo',
    ]


def test_by_its_bare_name_another_command_says_how_to_have_it(wheels: Path, tmp_path: Path) -> None:
    done = tried("uvx", None, wheels, tmp_path, command="serve")
    assert done.returncode == 1, done.stdout
    assert done.stdout.splitlines()[-1] == ADVICE
