"""Runs pytest in processes that begin with what it imports: most of what a small run takes.

Each line of stdin is a run, as JSON: ``arguments`` of pytest, the ``environment``, the ``path``
that comes first where modules are looked for, the file for the ``output``, and ``seconds`` after
which it is ended. The line that answers it is its exit code, minus the number of a signal that
ended it.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import cryptography.hazmat.primitives.asymmetric.x25519
import cryptography.hazmat.primitives.ciphers.aead
import hypothesis.stateful
import pytest
import pytest_asyncio
from hypothesis import Phase, settings

IMPORTED = (cryptography, hypothesis, pytest_asyncio)
"""Nothing of sealframe is among them, nor of the tests."""

# Their own assertions are not what is tested.
IGNORED = ("-W", "ignore::pytest.PytestAssertRewriteWarning")


def run(job: dict[str, Any]) -> int:
    """Run pytest as a process of its own would; return its exit code."""
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(output)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(job["environment"])
    # In place of this folder, which python has put there.
    sys.path[0] = str(Path.cwd())
    sys.path.insert(0, job["path"])
    signal.alarm(job["seconds"])
    return int(pytest.main([*IGNORED, *job["arguments"]]))


def warm_up() -> None:
    """Let pytest import its plugins and what they import: a third of what a small run takes."""
    with tempfile.TemporaryDirectory() as nothing, contextlib.redirect_stdout(io.StringIO()):
        # Which the project's own settings say, that this run has none of.
        scope = ["-o", "asyncio_default_fixture_loop_scope=function"]
        code = pytest.main(["--rootdir", nothing, "-c", os.devnull, *scope, *IGNORED, nothing])
    assert code == pytest.ExitCode.NO_TESTS_COLLECTED, code
    # Else each child looks through all of it, and gets copies of the pages.
    gc.collect()
    gc.freeze()


def main() -> None:
    """Serve until stdin ends."""
    # That a test fails is enough: the shortest example on which it does is not looked for. The
    # profile of the tests' conftest is made of this one.
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    settings.register_profile("first failure", phases=phases)
    settings.load_profile("first failure")
    warm_up()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            code = 1
            try:
                code = run(json.loads(line))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                # Not this loop, and nothing that the parent has registered for its own end.
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
