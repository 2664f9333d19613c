"""Which codec is taken, and the queues with it: nothing falls back where it was told not to."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

REPORT = """
import sealframe.framing as framing
print(framing.IMPLEMENTATION, framing.Decoder.__module__, framing.Encoder.__module__)
print(type(framing.Framing(trailer=b"!").decoder()).__module__)
import sealframe.aio.queues as queues
print(queues.InQueue.__module__, queues.OutQueue.__module__)
import sealframe.aio.fast_path as fast_path
print(fast_path.ReadPath.__module__, fast_path.SendPath.__module__)
print(framing.PACKET.decoder().feed(framing.PACKET.encode(b"works")))
"""


def without(module: str) -> str:
    """Return what an import finds where an extension was not built."""
    return f"import sys; sys.modules[{module!r}] = None\n"


NO_CODEC = without("sealframe.framing._codec")
NO_QUEUES = without("sealframe.aio._queues")


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if "SEALFRAME" not in name}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=env | variables,
    )


def report(code: str, **variables: str) -> list[str]:
    done = run(code, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


PURE = [
    "python sealframe.framing._codec_py sealframe.framing._codec_py",
    "sealframe.framing._varied_py",
    "sealframe.aio._queues_py sealframe.aio._queues_py",
    "sealframe.aio._fast_path_py sealframe.aio._fast_path_py",
    "[b'works']",
]


def test_the_extensions_are_taken_where_they_are_there(c_backend: ModuleType) -> None:
    expected = [
        "c sealframe.framing._codec sealframe.framing._codec",
        "sealframe.framing._varied",
        "sealframe.aio._queues sealframe.aio._queues",
        "sealframe.aio._fast_path sealframe.aio._fast_path",
        "[b'works']",
    ]
    assert report(REPORT) == expected
    assert report(REPORT, SEALFRAME_EXTENSION="yes") == expected
    assert report(REPORT, SEALFRAME_NO_EXTENSIONS="0") == expected


def test_the_extensions_can_be_refused() -> None:
    assert report(REPORT, SEALFRAME_NO_EXTENSIONS="1") == PURE
    assert report(NO_QUEUES + REPORT, SEALFRAME_NO_EXTENSIONS="1") == PURE


def test_without_the_compiled_codec_python_does_all() -> None:
    """The queues too, even if theirs is there."""
    assert report(NO_CODEC + REPORT) == PURE
    assert report(NO_CODEC + NO_QUEUES + REPORT) == PURE


def test_a_demanded_extension_that_is_missing_is_an_error() -> None:
    done = run(NO_CODEC + REPORT, SEALFRAME_EXTENSION="yes")
    assert done.returncode == 1
    assert "ImportError" in done.stderr or "ModuleNotFoundError" in done.stderr
    assert "sealframe.framing._codec" in done.stderr


def test_a_codec_without_its_queues_is_an_error(c_backend: ModuleType) -> None:
    """No build leaves one of them: what is there is a remnant, and would hide as slowness."""
    for missing in ("framing._varied", "aio._queues", "aio._fast_path", "noise._record_cipher"):
        for variables in ({}, {"SEALFRAME_EXTENSION": "yes"}):
            done = run(without(f"sealframe.{missing}") + "import sealframe", **variables)
            assert done.returncode == 1
            assert "ImportError" in done.stderr or "ModuleNotFoundError" in done.stderr
            assert f"sealframe.{missing}" in done.stderr


IN_A_PROGRAM = "import warnings; warnings.simplefilter('error'); import sealframe, sealframe.sync\n"


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="compiled for CPython alone")
def test_what_is_missing_is_said_once_on_stderr_and_no_warning() -> None:
    done = run(NO_CODEC + IN_A_PROGRAM)
    assert done.returncode == 0, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("sealframe runs in pure Python, which is slower: ")
    assert "{}.{};".format(*sys.version_info) in line


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="compiled for CPython alone")
def test_what_is_missing_is_a_record_of_the_log_of_sealframe() -> None:
    log = "import logging; logging.basicConfig(format='%(name)s %(levelname)s %(message).30s')\n"
    done = run(NO_CODEC + log + IN_A_PROGRAM)
    assert done.stderr == "sealframe WARNING sealframe runs in pure Python,\n"


def test_who_asks_for_pure_python_is_told_nothing() -> None:
    assert run(NO_CODEC + IN_A_PROGRAM, SEALFRAME_NO_EXTENSIONS="1").stderr == ""
