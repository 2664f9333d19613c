"""PyMySQL with mysql-mimic: ``pip install PyMySQL==1.2.4 mysql-mimic==3.0.5``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pymysql
from mysql_mimic import MysqlServer, Session

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """A length of 3 bytes, and a sequence number that it does not count."""
    return 4 + int.from_bytes(data[:3], "little")


class Table(Session):  # type: ignore[misc,unused-ignore]
    """Answers each query with the same rows."""

    async def query(
        self, expression: Any, sql: str, attrs: dict[str, str]
    ) -> tuple[Sequence[tuple[object, ...]], list[str]]:
        """Return rows, and the names of the columns."""
        del expression, sql, attrs
        return [(1, "bolt"), (2, "n" * 300), (3, None)], ["id", "name"]


def client(port: int) -> None:
    """A few commands."""
    connection = pymysql.connect(host="127.0.0.1", port=port, user="reader", database="stock")
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, name FROM parts")
        cursor.fetchall()
        cursor.execute("SELECT id, name FROM parts WHERE name = %s", ("x" * 400,))
        cursor.fetchall()
    connection.ping()
    connection.close()


async def main() -> None:
    """Serve and record."""
    port = free_port()
    server = MysqlServer(session_factory=Table)
    await server.start_server(host="127.0.0.1", port=port)
    tap = Tap(("127.0.0.1", port))
    await asyncio.to_thread(client, tap.port)
    server.close()
    await server.wait_closed()
    [connection] = tap.connections
    save(
        "mysql",
        "mysql",
        __file__,
        [
            stream(connection.client, package("PyMySQL"), size_of),
            stream(connection.server, package("mysql-mimic"), size_of),
        ],
    )


asyncio.run(main())
