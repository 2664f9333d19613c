#!/bin/sh
# aiosqlite: it is said to replicate the sqlite3 module, with asynchronous versions of all methods of its
# connections and cursors (its documentation, first page). A loop over a cursor that ends before the
# rows do takes rows with it: "async for" fetches 64 at once, and those that it has not handed out are
# gone. What follows, be it fetchone(), fetchall() or another "async for", goes on with row 65, and
# nothing says so. With sqlite3 it is row 2, for all of them read from one place.
#
# Seen with aiosqlite 0.22.1 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check aiosqlite==0.22.1
cat > "$folder/program.py" <<'PROGRAM'
import asyncio
import importlib.metadata
import platform
import sqlite3

import aiosqlite

ROWS = 100
QUERY = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) SELECT i FROM n"


def with_sqlite3():
    connection = sqlite3.connect(":memory:")
    cursor = connection.execute(QUERY)
    for (first,) in cursor:
        break
    (second,) = cursor.fetchone()
    rest = len(cursor.fetchall())
    connection.close()
    return first, second, rest


async def with_aiosqlite():
    async with aiosqlite.connect(":memory:") as connection, connection.execute(QUERY) as cursor:
        async for (first,) in cursor:
            break
        (second,) = await cursor.fetchone()
        rest = len(await cursor.fetchall())
    return first, second, rest


print(f"aiosqlite {importlib.metadata.version('aiosqlite')}, CPython {platform.python_version()}; a query of {ROWS} rows")
seen = {"sqlite3": with_sqlite3(), "aiosqlite": asyncio.run(with_aiosqlite())}
for name, (first, second, rest) in seen.items():
    print(f"{name:9} the loop saw {first} and left; fetchone() has {second}; fetchall() has {rest} rows more")
assert seen["sqlite3"] == (1, 2, ROWS - 2), seen
assert seen["aiosqlite"] == (1, 65, ROWS - 65), seen
print("as described: rows 2 to 64 are lost to aiosqlite")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
