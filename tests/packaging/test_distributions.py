"""What a user installs: the sdist, the wheels built from it, and the fallback.

The builds use the tools of this environment (``--no-build-isolation``), and the wheels
are installed without an index, so that nothing is fetched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from distributions import QUICKLY, copy_project, run
from filelock import FileLock

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]

MODULES = ["_codec", "_fast_path", "_queues", "_record_cipher", "_varied"]
"""What is compiled, or nothing of it."""

PLAIN_ECHO = """\
import asyncio, sys
from importlib.metadata import version
import sealframe

async def echo(conn):
    async for message in conn:
        await conn.send(message)

async def main():
    async with sealframe.serve(echo, "127.0.0.1", 0) as server:
        async with sealframe.connect("127.0.0.1", server.port) as conn:
            await conn.send(b"hello")
            assert await conn.recv() == b"hello"

asyncio.run(main())
try:
    import cryptography
except ImportError:
    assert version("sealframe") == sealframe.__version__
    print(sealframe.IMPLEMENTATION, sealframe.__file__)
else:
    sys.exit("cryptography is here: this environment is not empty")
"""


def build_wheel(
    source: Path, target: Path, **environment: str
) -> tuple[subprocess.CompletedProcess[str], list[Path]]:
    """Let pip build a wheel, as ``pip install .`` does; return its output and the wheels."""
    done = run(
        *(sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", target, source),
        **environment,
    )
    return done, sorted(target.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("sdist")
    script = (
        "import sys; from setuptools.build_meta import build_sdist; print(build_sdist(sys.argv[1]))"
    )
    project = copy_project(tmp_path_factory.mktemp("project") / "copy")
    done = subprocess.run(
        [sys.executable, "-c", script, str(target)],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    (archive,) = target.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def earlier(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sources with what a complete build left there, for all workers; copy it."""
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    built = common / "earlier"
    with FileLock(common / "earlier.lock"):
        if not built.exists():
            folder = tmp_path_factory.mktemp("earlier")
            source = unpack(sdist, folder / "source")
            done, wheels = build_wheel(source, folder / "dist", **QUICKLY)
            assert done.returncode == 0, done.stdout
            assert [compiled_modules(wheel) for wheel in wheels] == [MODULES]
            source.rename(built)
    return built


def install_and_talk(wheel: Path, folder: Path) -> str:
    """Install a wheel in an empty environment; there, exchange a message.

    PATH leads to that environment only, so there is no compiler to be found. Returns
    which implementation ran there.
    """
    # To put a pip into each environment takes longer than all else that is done with it.
    venv.create(folder, with_pip=False)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / "python"
    installed = run(
        *(sys.executable, "-m", "pip", "--python", python),
        *("install", "--no-index", "--no-deps", "--no-compile", wheel),
        PATH=str(binaries),
    )
    assert installed.returncode == 0, installed.stdout
    talked = run(python, "-I", "-c", PLAIN_ECHO, PATH=str(binaries))
    assert talked.returncode == 0, talked.stdout
    # Where it is pure Python, a line before says so.
    implementation, where = talked.stdout.splitlines()[-1].split(maxsplit=1)
    assert Path(where.strip()).is_relative_to(folder)
    return implementation


def compiled_modules(wheel: Path) -> list[str]:
    """Return the names of the extensions in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = map(PurePosixPath, archive.namelist())
        return sorted(name.name.split(".")[0] for name in names if name.suffix in {".so", ".pyd"})


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack the sdist; return its one folder."""
    with tarfile.open(sdist) as archive:
        # As the filter's name it is only taken from Python 3.11.4 on.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(folder)
    (unpacked,) = folder.iterdir()
    return unpacked


def break_extension(source: Path, name: str) -> None:
    """Make an extension one that no C compiler takes."""
    path = source / "ext" / f"{name}.pyx"
    broken = 'cdef extern from *:\n    """\n    #error broken on purpose\n    """\n'
    path.write_text(path.read_text(encoding="utf-8") + broken, encoding="utf-8")
    later = time.time() + 5  # than what an earlier build made
    os.utime(path, (later, later))


def test_the_sdist_holds_what_a_build_and_the_tests_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "setup.py",
        "tox.ini",
        "ext/_codec.pyx",
        "ext/_queues.pyx",
        "ext/_fast_path.pyx",
        "ext/_record_cipher.pyx",
        "ext/_varied.pyx",
        "ext/_stream.pxi",
        "src/sealframe/framing/_codec.pyi",
        "src/sealframe/framing/_codec_py.py",
        "src/sealframe/framing/_varied.pyi",
        "src/sealframe/framing/_varied_py.py",
        "src/sealframe/aio/_queues.pyi",
        "src/sealframe/aio/_fast_path.pyi",
        "src/sealframe/aio/_fast_path_py.py",
        "src/sealframe/aio/_queues_py.py",
        "tests/aio/queues/test_backends.py",
        "benchmarks/results.json",
        "docs/_templates/page.html",
        "docs/_templates/sidebar/versions.html",
        "docs/conf.py",
        "docs/guides/index.md",
        "docs/reference/index.rst",
        "docs/PROTOCOL.md",
        "examples/README.md",
        "examples/echo_server.py",
        "examples/csharp/Server.cs",
        "examples/node/server.mjs",
        "share/wireshark/sealframe.lua",
        "src/sealframe/cli/__init__.py",
        "src/sealframe/dashboard/page/index.html",
        "src/sealframe/py.typed",
        "tests/packaging/test_distributions.py",
    } <= names
    built = [name for name in names if name.endswith((".so", ".pyd", ".c", ".pyc"))]
    assert sorted(built) == [
        "benchmarks/instructions.c",
        "benchmarks/suite/bytes_loop.c",
        "benchmarks/suite/links/link.c",
    ]


def test_a_wheel_from_the_sdist_runs_in_c_where_there_is_no_compiler(
    sdist: Path, tmp_path: Path
) -> None:
    done, wheels = build_wheel(sdist, tmp_path / "dist", SEALFRAME_EXTENSION="yes")
    assert done.returncode == 0, done.stdout
    (wheel,) = wheels
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert f"-{version}-{version}-" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"sealframe/py.typed", "sealframe/framing/_codec.pyi", "sealframe/cli/__init__.py"} < {
        *names
    }
    assert [name for name in names if name.endswith(".data/data/share/wireshark/sealframe.lua")]
    assert compiled_modules(wheel) == MODULES
    assert not [name for name in names if name.startswith(("tests/", "ext/"))]
    assert not [name for name in names if name.endswith((".pyx", ".pxi", ".c"))]
    assert install_and_talk(wheel, tmp_path / "venv") == "c"


def test_without_the_extension_the_wheel_is_for_every_platform(sdist: Path, tmp_path: Path) -> None:
    done, wheels = build_wheel(sdist, tmp_path / "dist", SEALFRAME_EXTENSION="no")
    assert done.returncode == 0, done.stdout
    (wheel,) = wheels
    assert wheel.name.endswith("-py3-none-any.whl")
    assert install_and_talk(wheel, tmp_path / "venv") == "python"


@pytest.mark.skipif(os.name == "nt", reason="CC does not choose the compiler on Windows")
def test_without_a_compiler_a_build_warns_and_goes_on(sdist: Path, tmp_path: Path) -> None:
    done, wheels = build_wheel(sdist, tmp_path / "dist", CC="/nonexistent/cc")
    assert done.returncode == 0, done.stdout
    assert "WARNING: sealframe.framing._codec was not compiled" in done.stdout
    (wheel,) = wheels
    assert wheel.name.endswith("-py3-none-any.whl")
    assert install_and_talk(wheel, tmp_path / "venv") == "python"


@pytest.mark.skipif(os.name == "nt", reason="CC does not choose the compiler on Windows")
def test_an_extension_that_is_demanded_and_not_compiled_fails_the_build(
    sdist: Path, tmp_path: Path
) -> None:
    done, wheels = build_wheel(
        sdist, tmp_path / "dist", CC="/nonexistent/cc", SEALFRAME_EXTENSION="yes"
    )
    assert done.returncode != 0
    assert "/nonexistent/cc" in done.stdout
    assert wheels == []


# Of a first build only the one in the middle: some are there already then, others come after it.
@pytest.mark.parametrize(
    ("name", "rest"),
    [
        pytest.param("aio._queues", False, id="aio._queues-first"),
        pytest.param("framing._codec", True, id="framing._codec-again"),
        pytest.param("framing._varied", True, id="framing._varied-again"),
        pytest.param("aio._queues", True, id="aio._queues-again"),
        pytest.param("aio._fast_path", True, id="aio._fast_path-again"),
        pytest.param("noise._record_cipher", True, id="noise._record_cipher-again"),
    ],
)
def test_where_one_extension_does_not_compile_there_is_neither(
    request: pytest.FixtureRequest, sdist: Path, tmp_path: Path, name: str, rest: bool
) -> None:
    """Not even where an earlier build left both."""
    if rest:
        source = tmp_path / "source"
        shutil.copytree(request.getfixturevalue("earlier"), source)
    else:
        source = unpack(sdist, tmp_path / "source")
    break_extension(source, name.rpartition(".")[2])
    done, wheels = build_wheel(source, tmp_path / "dist", **QUICKLY)
    assert done.returncode == 0, done.stdout
    assert "broken on purpose" in done.stdout
    assert f"WARNING: sealframe.{name} was not compiled" in done.stdout
    assert done.stdout.count("was not compiled") == 1
    (wheel,) = wheels
    assert wheel.name.endswith("-py3-none-any.whl")
    assert compiled_modules(wheel) == []
    if not rest:
        assert install_and_talk(wheel, tmp_path / "venv") == "python"


@pytest.mark.parametrize("name", MODULES)
def test_each_extension_is_demanded(earlier: Path, tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    shutil.copytree(earlier, source)
    break_extension(source, name)
    done, wheels = build_wheel(source, tmp_path / "dist", SEALFRAME_EXTENSION="yes", **QUICKLY)
    assert done.returncode != 0
    assert "broken on purpose" in done.stdout
    assert wheels == []


def test_an_unknown_mode_is_refused(sdist: Path, tmp_path: Path) -> None:
    done, wheels = build_wheel(sdist, tmp_path / "dist", SEALFRAME_EXTENSION="maybe")
    assert done.returncode != 0
    assert "SEALFRAME_EXTENSION='maybe' is not possible; it can be auto, yes, no" in done.stdout
    assert wheels == []
