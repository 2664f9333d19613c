"""A sealframe server and the SocketHandler of Python's own logging."""

from __future__ import annotations

import asyncio
import io
import logging
import logging.handlers
import pickle
from typing import Any

import sealframe
from sealframe import Connection
from sealframe.framing.layouts import PYTHON_LOGGING

ANY_LOOP = True
TEXTS = ["", "turned 7 times", "long " * 20_000]


class PlainUnpickler(pickle.Unpickler):
    """Finds no globals, as the entry of the catalogue advises."""

    def find_class(self, module: str, name: str, /) -> Any:
        """Refuse."""
        raise pickle.UnpicklingError(f"{module}.{name} is none of a record's attributes")


def log(port: int) -> None:
    """Log all texts."""
    logger = logging.getLogger("interop.attic")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = logging.handlers.SocketHandler("127.0.0.1", port)
    logger.addHandler(handler)
    for text in TEXTS:
        logger.info("%s", text)
    logger.removeHandler(handler)
    handler.close()


async def test_records_come_whole() -> None:
    records: list[logging.LogRecord] = []
    complete = asyncio.Event()

    async def handler(conn: Connection) -> None:
        async for message in conn:
            attributes = PlainUnpickler(io.BytesIO(message)).load()
            records.append(logging.makeLogRecord(attributes))
            if len(records) == len(TEXTS):
                complete.set()

    async with sealframe.serve(handler, "127.0.0.1", 0, framing=PYTHON_LOGGING) as server:
        assert server.port is not None
        await asyncio.to_thread(log, server.port)
        async with asyncio.timeout(10):
            await complete.wait()
    assert [record.getMessage() for record in records] == TEXTS
    assert {record.name for record in records} == {"interop.attic"}
