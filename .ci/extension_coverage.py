"""Says to coverage which lines of the extensions ran: its plugin, by pyproject.toml.

A program that a test starts measures Python alone. To find the lines of the extensions its
interpreter would read all of their C files, a fifth of what starting it takes; tests in their own
process run them too.
"""

from __future__ import annotations

import os
from typing import Any

from coverage import CoveragePlugin


class PythonAlone(CoveragePlugin):
    """Leaves out the sources of the extensions."""

    def configure(self, config: Any) -> None:
        """Change how coverage measures: it calls this before it begins."""
        config.set_option("run:omit", [*config.get_option("run:omit"), "*/ext/*"])


def coverage_init(registry: Any, _options: dict[str, Any]) -> None:
    """Give coverage what it needs: it calls this."""
    # pytest sets it while a test runs, and its workers start before there is one.
    if "PYTEST_CURRENT_TEST" in os.environ:
        registry.add_configurer(PythonAlone())
        return
    # To import it is half of what coverage imports, and programs do without.
    from extension_tracer import ExtensionPlugin

    plugin = ExtensionPlugin()
    registry.add_configurer(plugin)
    registry.add_file_tracer(plugin)
