"""asyncpg and pg8000 with PostgreSQL 15 of Debian 12.

``apt-get install postgresql-15; pip install asyncpg==0.32.0 pg8000==1.31.6``; run as root, it makes
a database in a temporary folder.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import struct
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import asyncpg
import pg8000.dbapi

from .recording import Tap, free_port, package, save, stream

BINARIES = Path("/usr/lib/postgresql/15/bin")


def size_of(data: bytes) -> int:
    """Only the first message of a client has no type, and its length begins with 0."""
    place = 0 if data[0] == 0 else 1
    return place + int(struct.unpack_from(">I", data, place)[0])


async def by_asyncpg(port: int) -> None:
    """Prepared statements, COPY in both directions, an error."""
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user="postgres", database="postgres", ssl=False
    )
    await connection.execute("CREATE TABLE parts (id int, name text)")
    rows = [(n, f"part {n}") for n in range(20)]
    await connection.copy_records_to_table("parts", records=rows)
    await connection.fetch("SELECT * FROM parts WHERE id < $1", 5)
    with suppress(asyncpg.DivisionByZeroError):
        await connection.execute("SELECT 1 / 0")
    await connection.close()


def by_pg8000(port: int) -> None:
    """Statements of another driver, with a password and an empty query."""
    connection = pg8000.dbapi.connect(
        host="127.0.0.1",
        port=port,
        user="clerk",
        password="rosebud",
        database="postgres",
        ssl_context=False,
    )
    cursor = connection.cursor()
    cursor.execute("SELECT repeat('x', 300), %s, NULL", (7,))
    cursor.fetchall()
    cursor.execute("")
    connection.close()


def as_postgres(*command: object) -> str:
    """Run a command as the user that PostgreSQL demands."""
    done = subprocess.run(
        ["runuser", "-u", "postgres", "--", *map(str, command)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def main() -> None:
    """Run a server and record both drivers."""
    folder = Path(tempfile.mkdtemp())
    shutil.chown(folder, "postgres")
    data, port = folder / "data", free_port()
    as_postgres(BINARIES / "initdb", "-D", data, "-A", "trust")
    rule = "host all clerk 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
    (data / "pg_hba.conf").write_text(f"local all all trust\n{rule}", encoding="ascii")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder}"
    log = folder / "log"
    as_postgres(BINARIES / "pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")
    try:
        found = as_postgres(BINARIES / "postgres", "--version")
        number = re.search(r"[\d.]+", found)
        assert number
        server = f"PostgreSQL {number[0]}"
        create = "CREATE USER clerk PASSWORD 'rosebud'"
        as_postgres("psql", "-h", folder, "-p", port, "-c", create)
        tap = Tap(("127.0.0.1", port))
        asyncio.run(by_asyncpg(tap.port))
        by_pg8000(tap.port)
    finally:
        as_postgres(BINARIES / "pg_ctl", "-D", data, "-w", "-m", "fast", "stop")
        shutil.rmtree(folder)
    first, second = tap.connections
    save(
        "postgresql",
        "postgresql",
        __file__,
        [
            stream(first.client, package("asyncpg"), size_of),
            stream(first.server, server, size_of),
            stream(second.client, package("pg8000"), size_of),
            stream(second.server, server, size_of),
        ],
    )


main()
