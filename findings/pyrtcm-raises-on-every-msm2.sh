#!/bin/sh
# pyrtcm: no message of kind MSM2 can be read, of any satellite system, in a library that is there to
# read them. Its README ("Current Status") refers to RTCM_MSGIDS for the types that are implemented, and
# that has seven such, 1072 as "GPS MSM2"; MSM1 and MSM3 of the same satellite are read. In the table of
# MSM2's fields the half-cycle ambiguity indicator (DF420) stands in a set, where all other fields stand
# in dictionaries. So RTCMMessage raises RTCMTypeError for each of them, and RTCMReader, which by
# default logs errors and reads on, leaves them out: a station that sends MSM2 seems to send nothing.
#
# Seen with pyrtcm 1.2.1 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pyrtcm==1.2.1
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import io
import logging
import sys

from pyrtcm import RTCM_MSGIDS, RTCMMessage, RTCMReader, calc_crc24q

logging.disable()
print(f"pyrtcm {importlib.metadata.version('pyrtcm')}, CPython {sys.version.split()[0]}")

# What follows the head of each kind, for one satellite with one signal: values and their bits.
ROUGH, CODE, PHASE, LOCK, HALF = (512, 10), (12345, 15), (2**22 - 7, 22), (3, 4), (0, 1)
FIELDS = {
    1: [ROUGH, CODE],
    2: [ROUGH, PHASE, LOCK, HALF],
    3: [ROUGH, CODE, PHASE, LOCK, HALF],
}


def message(number: int, kind: int) -> bytes:
    """Return the payload of a message: head, masks of satellites, signals and cells, fields."""
    head = [(number, 12), (7, 12), (345_600_000, 30), (0, 1), (0, 3), (0, 7), (0, 2), (0, 2)]
    head += [(0, 1), (0, 3), (1 << 63, 64), (1 << 30, 32), (1, 1)]
    bits = "".join(f"{value:0{width}b}" for value, width in [*head, *FIELDS[kind]])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def framed(payload: bytes) -> bytes:
    """Return the frame: 0xD3, length, payload, CRC."""
    frame = b"\xd3" + len(payload).to_bytes(2, "big") + payload
    return frame + calc_crc24q(frame).to_bytes(3, "big")


seen = {}
for system in (1070, 1080, 1090, 1100, 1110, 1120, 1130):
    for kind in FIELDS:
        number = system + kind
        try:
            seen[number] = RTCMMessage(payload=message(number, kind)).NCell
        except Exception as error:
            seen[number] = f"{type(error).__name__}: {error}"
        print(f"{number} ({RTCM_MSGIDS[str(number)]}): {seen[number]}")

stream = b"".join(framed(message(1070 + kind, kind)) for kind in FIELDS)
read = [parsed.identity for _, parsed in RTCMReader(io.BytesIO(stream))]
print(f"of a stream of 1071, 1072 and 1073 the reader gives {read}")

if any((number % 10 == 2) != str(told).startswith("RTCMTypeError") for number, told in seen.items()):
    sys.exit("what is read is not what was seen before")
if read != ["1071", "1073"]:
    sys.exit("what the reader gives is not what was seen before")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
