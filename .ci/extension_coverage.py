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


class ExtensionPlugin(Plugin):  # type: ignore[misc]  # Cython ships no types
    """Leaves alone what is not there."""

    def file_tracer(self, filename: str) -> Any:
        """Return what traces `filename`, or None if it is no source of an extension."""
        return super().file_tracer(filename) if Path(filename).exists() else None


def coverage_init(registry: Any, _options: dict[str, Any]) -> None:
    """Give coverage the plugin: it calls this."""
    plugin = ExtensionPlugin()
    registry.add_configurer(plugin)
    registry.add_file_tracer(plugin)
