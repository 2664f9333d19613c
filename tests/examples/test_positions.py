"""The server of the meters is killed at random, and its database has each reading once."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from pathlib import Path

from .programs import serving, started

READINGS = 600
KILLS = 4
PATIENCE = 30.0


def stored(path: Path) -> list[str]:
    """Return what the database has."""
    with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE)) as database:
        return [row[0] for row in database.execute("SELECT reading FROM readings ORDER BY id")]


def wait_for(path: Path, count: int) -> None:
    """Wait until the database has so many readings."""
    end = time.monotonic() + PATIENCE
    while len(stored(path)) < count:
        assert time.monotonic() < end, f"no {count} readings came"
        time.sleep(0.01)


def test_a_server_that_is_killed_stores_each_reading_once(tmp_path: Path, port: int) -> None:
    seed = random.randrange(2**32)
    choose = random.Random(seed)
    print("seed", seed)
    path = tmp_path / "readings.db"
    with contextlib.ExitStack() as stack:
        server, _ = stack.enter_context(serving("meter_server.py", path, port=port))
        meter = stack.enter_context(started("meter.py", "127.0.0.1", port, READINGS, 0.002))
        for after in sorted(choose.sample(range(1, READINGS - 50), KILLS)):
            wait_for(path, after)
            server.kill()
            server, _ = stack.enter_context(serving("meter_server.py", path, port=port))
        assert meter.rest() == "all are stored\n"
    assert stored(path) == [f"reading {number}" for number in range(1, READINGS + 1)]
