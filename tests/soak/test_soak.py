"""Short runs of what ``python -m soak`` runs for long."""

from __future__ import annotations

from pathlib import Path

import pytest
from aio.ends import ModeName

from .run import Run, Scenario


@pytest.fixture(params=["extended", "sealed"])
def mode(request: pytest.FixtureRequest) -> ModeName:
    """Both ways to talk that have sessions."""
    name: ModeName = request.param
    if name == "sealed":
        pytest.importorskip("cryptography", reason="cryptography is not installed")
    return name


async def test_one_connection_that_nothing_happens_to(mode: ModeName, tmp_path: Path) -> None:
    """The load itself is sound, and comes through in tiny pieces."""
    figures = await Run(Scenario(cuts=0, mode=mode, seconds=0.3), tmp_path).run()
    assert figures.clean, str(figures)
    assert {"block", "file", "message", "request", "stream"} <= figures.books.arrived.keys()


async def test_sessions_that_are_cut(mode: ModeName, tmp_path: Path) -> None:
    """Messages, requests, streams and files, both ways, and awaits that are cancelled."""
    scenario = Scenario(
        cuts=25, mode=mode, pairs=2, acknowledge="taken" if mode == "sealed" else "received"
    )
    figures = await Run(scenario, tmp_path).run()
    assert figures.clean, str(figures)
    assert figures.connections > 25
    assert {"block", "message"} <= figures.books.arrived.keys()
