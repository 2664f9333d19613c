"""Every async test of the client runs under asyncio and under uvloop."""

from __future__ import annotations

from aio.conftest import (
    control_mode,
    family,
    mode,
    no_leaks,
    pytest_asyncio_loop_factories,
    role,
    sealed,
)

__all__ = [
    "control_mode",
    "family",
    "mode",
    "no_leaks",
    "pytest_asyncio_loop_factories",
    "role",
    "sealed",
]
