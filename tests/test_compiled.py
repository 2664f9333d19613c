"""The tests do not run with an extension that was built from an older source."""

from __future__ import annotations

import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from compiled import outdated


def test_what_is_older_than_its_source(tmp_path: Path) -> None:
    folder = tmp_path / "src" / "sealframe" / "aio"
    for path in (folder, tmp_path / "ext"):
        path.mkdir(parents=True)
    source = tmp_path / "ext" / "_queues.pyx"
    built = folder / f"_queues{EXTENSION_SUFFIXES[0]}"
    # Of another Python, and of no source that there is.
    for path in (source, built, folder / "_queues.other.so", folder / f"_a{EXTENSION_SUFFIXES[0]}"):
        path.touch()
    os.utime(source, (1000, 1000))
    os.utime(built, (1001, 1001))
    assert outdated(tmp_path) == []
    os.utime(source, (1002, 1002))
    assert outdated(tmp_path) == [built]
    part = tmp_path / "ext" / "_part.pxi"
    part.touch()
    source.write_text('cimport cython\n\ninclude "_part.pxi"\n', encoding="utf-8")
    for changed, old in ((1002, [built]), (1000, [])):
        os.utime(source, (1000, 1000))
        os.utime(part, (changed, changed))
        assert outdated(tmp_path) == old
