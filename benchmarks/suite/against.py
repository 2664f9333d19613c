"""Another commit of sealframe, built beside this one, so that both are measured in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import sealframe

ROOT: Final = Path(__file__).parents[2]

_PROBE: Final = """\
import inspect, json, sealframe
serve, connect = inspect.signature(sealframe.serve), inspect.signature(sealframe.connect)
found = {
    "extended": "extended" in connect.parameters,
    "classic": "post_quantum" in inspect.signature(sealframe.SharedKey).parameters,
    "request": hasattr(sealframe.Connection, "request"),
    "on_message": "on_message" in serve.parameters and "on_message" in connect.parameters,
    "file": hasattr(sealframe, "Inbox"),
}
print(json.dumps([sealframe.__file__, [name for name, is_there in found.items() if is_there]]))
"""


class NoSuchCommitError(Exception):
    """The history that is here does not have it, or there is no history."""


@dataclass(frozen=True)
class Build:
    """A sealframe that can be measured: this one, or another commit's."""

    commit: str
    """In short; nothing for the one that is imported here."""
    source: Path | None
    """What goes first into ``PYTHONPATH``."""
    file: str
    """What ``import sealframe`` must find."""
    features: frozenset[str]
    """Of ``extended``, ``request``, ``on_message`` and ``file``, what it has."""


@cache
def current() -> Build:
    """Return the one that is imported here."""
    return _probed("", None)


@contextmanager
def built(commit: str) -> Iterator[Build]:
    """Build another commit in a temporary folder, with its extensions.

    :raises NoSuchCommitError: it is not in the history
    :raises subprocess.CalledProcessError: it does not build
    """
    name = short_name(commit)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        archive = folder / "tree.tar"
        with archive.open("wb") as file:
            subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=file, check=True)
        with tarfile.open(archive) as tree:
            tree.extractall(folder, filter="data")
        archive.unlink()
        subprocess.run(
            [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
            cwd=folder,
            env={**os.environ, "SEALFRAME_EXTENSION": "yes"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        yield _probed(name, folder / "src")


def short_name(commit: str) -> str:
    """Return seven digits for any name of a commit.

    :raises NoSuchCommitError: it is not in the history
    """
    command = ["git", "rev-parse", "--short=7", "--verify", "--quiet", f"{commit}^{{commit}}"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NoSuchCommitError(f"git cannot be run: {error}") from None
    if done.returncode:
        # Nothing is said of a commit that is missing, but what is wrong with the repository is.
        reason = done.stderr.strip().partition("\n")[0]
        raise NoSuchCommitError(reason or f"the history that is here has no {commit}")
    return done.stdout.strip()


def _probed(commit: str, source: Path | None) -> Build:
    environment = dict(os.environ)
    environment.pop("SEALFRAME_NO_EXTENSIONS", None)
    if source is None:
        # As it was imported here, wherever the probe would find it.
        environment["PYTHONPATH"] = str(Path(sealframe.__file__).parents[1])
    else:
        environment["PYTHONPATH"] = str(source)
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    file, features = json.loads(done.stdout)
    wanted = sealframe.__file__ if source is None else str(source / "sealframe" / "__init__.py")
    if file != wanted:
        raise RuntimeError(f"the probe of {commit or 'this sealframe'} found {file}, not {wanted}")
    return Build(commit, source, file, frozenset(features))
