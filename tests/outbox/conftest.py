"""An outbox in a folder of its own; both event loops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from loops import pytest_asyncio_loop_factories

from sealframe.outbox import Outbox
from sealframe.outbox.store import OutboxStore

__all__ = ["pytest_asyncio_loop_factories"]

Open = Callable[..., Awaitable[OutboxStore]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
async def open_store(path: Path) -> AsyncIterator[Open]:
    """Opens the file; what is open at the end is closed."""
    stores: list[OutboxStore] = []

    async def open_one(**options: Any) -> OutboxStore:
        store = await OutboxStore.open(Outbox(path, **options))
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()
