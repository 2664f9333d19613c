"""Cython's coverage plugin, for interpreters that start elsewhere than in the project's folder.

An extension names its sources relative to the folder in which it was compiled. Where another is
the working directory, such a name leads nowhere, and asked for an included file (.pxi) that is not
there, Cython's plugin raises TypeError: coverage writes that to the standard error output of the
program that is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from Cython.Coverage import Plugin

SOURCES = (".pyx", ".pxi")


class ExtensionPlugin(Plugin):  # type: ignore[misc]  # Cython ships no types
    """Leaves alone what is not there, and all Python: it would look for C beside each module."""

    def file_tracer(self, filename: str) -> Any:
        """Return what traces `filename`, or None if it is no source of an extension."""
        if not filename.endswith(SOURCES) or not Path(filename).exists():
            return None
        return super().file_tracer(filename)
