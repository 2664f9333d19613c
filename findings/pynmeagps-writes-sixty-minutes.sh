#!/bin/sh
# pynmeagps: NMEA 0183 has latitudes as ddmm.mmmmm, whole degrees and then minutes, which go up to 59.
# pynmeagps cuts a latitude into degrees first, and rounds the minutes then: 50.99999999 degrees, which is
# a millimetre short of 51, become 50 degrees and 60 minutes, "5060.00000", in a sentence that
# NMEAMessage(lat=..., lon=...) makes. 51.0 itself is "5100.00000".
#
# Seen with pynmeagps 1.1.8 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pynmeagps==1.1.8
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import platform

from pynmeagps import GET, NMEAMessage

print(f"pynmeagps {importlib.metadata.version('pynmeagps')}, CPython {platform.python_version()}")
for latitude, wanted in ((51.0, "5100.00000"), (50.99999999, "5060.00000"), (50.5, "5030.00000")):
    sentence = NMEAMessage("GN", "GLL", GET, lat=latitude, lon=0.0).serialize().decode()
    written = sentence.split(",")[1]
    print(f"{latitude!r} degrees: {written} in {sentence.strip()}")
    assert written == wanted, written
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
