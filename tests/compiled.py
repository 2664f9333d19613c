"""The compiled backends, where they are built."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]


def compiled(name: str) -> ModuleType:
    """Return an extension; skip the test where it is not built, unless it was demanded."""
    try:
        return importlib.import_module(f"sealframe.{name}")
    except ImportError:
        if os.environ.get("SEALFRAME_EXTENSION") == "yes":
            raise
        pytest.skip(f"the extension sealframe.{name} is not built")


def changed(source: Path) -> float:
    """Return when a source, or a part that it includes, was changed last."""
    parts = re.findall(r'^include "(.+)"$', source.read_text(encoding="utf-8"), re.MULTILINE)
    files: list[Path] = [source, *(source.parent / part for part in parts)]
    return max(path.stat().st_mtime for path in files)


def outdated(root: Path) -> list[Path]:
    """Return the extensions that are built in place below a root and older than their source."""
    sources = {source.stem: changed(source) for source in (root / "ext").glob("*.pyx")}
    return [
        built
        for name, since in sorted(sources.items())
        for built in root.glob(f"src/sealframe/*/{name}{EXTENSION_SUFFIXES[0]}")
        if built.stat().st_mtime < since
    ]


def check_built() -> None:
    """Fail if what is tested is built in place, and its source has changed since.

    :raises pytest.UsageError: it says what to do
    """
    spec = importlib.util.find_spec("sealframe")
    if spec is None or spec.origin is None or ROOT / "src" not in Path(spec.origin).parents:
        return
    if old := outdated(ROOT):
        raise pytest.UsageError(
            f"older than its source in ext/: {', '.join(path.name for path in old)}; build again "
            "(SEALFRAME_EXTENSION=yes python setup.py build_ext --inplace) or delete all of them"
        )
