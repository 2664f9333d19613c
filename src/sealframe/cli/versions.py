"""What ``sealframe --version`` prints: the version, and what decides how fast it is."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import sealframe

from .running import event_loop

if TYPE_CHECKING:
    import click


def print_versions(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print the version, and with which codec, Python, cryptography and event loop it runs."""
    if not wanted or context.resilient_parsing:
        return
    print("\n".join(versions()), flush=True)
    context.exit()


def versions() -> tuple[str, ...]:
    """Return what it prints, line by line."""
    codec = {"c": "c, compiled", "python": "python, not compiled"}[sealframe.IMPLEMENTATION]
    _, loop = event_loop()
    return (
        f"sealframe {sealframe.__version__}",
        f"codec: {codec}",
        f"Python: {platform.python_implementation()} {platform.python_version()}",
        f"cryptography: {_installed('cryptography')}",
        f"event loop: {loop if loop == 'asyncio' else f'{loop} {_installed(loop)}'}",
    )


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
