#!/bin/sh
# python-snap7: a TIME of an S7 controller is 32 bits of milliseconds, up to T#24D_20H_31M_23S_647MS, as
# the documentation of util.get_time() and util.set_time() says. get_time() reads all of them; set_time()
# holds each part of what it is given to the greatest value of that part alone once there are 24 days:
# 24 days, 1 hour and 45 minutes is "out of range", since 45 is more than 31.
#
# Seen with python-snap7 3.3.0 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check python-snap7==3.3.0
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import platform

from snap7.util import get_time, set_time

DAY = 86_400_000
GREATEST = 2**31 - 1


def refused(milliseconds):
    """Whether set_time() refuses what get_time() reads."""
    memory = bytearray(milliseconds.to_bytes(4, "big", signed=True))
    text = get_time(memory, 0)
    written = bytearray(4)
    try:
        set_time(written, 0, text)
    except ValueError as error:
        return text, str(error)
    assert written == memory, (text, written)
    return text, None


print(f"python-snap7 {importlib.metadata.version('python-snap7')}, CPython {platform.python_version()}")
for milliseconds in (GREATEST, 23 * DAY + 6_300_000, 24 * DAY + 6_300_000, -24 * DAY - 6_300_000):
    print("{}: {}".format(*refused(milliseconds)))
for day in (22, 23, 24):
    minutes = range(day * DAY, min((day + 1) * DAY, GREATEST), 60_000)
    count = sum(refused(minute)[1] is not None for minute in minutes)
    print(f"day {day}: {count} of {len(minutes)} whole minutes are refused")
    assert bool(count) == (day == 24), (day, count)
assert refused(GREATEST)[1] is None
assert "out of range" in refused(24 * DAY + 6_300_000)[1]
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
