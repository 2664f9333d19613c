#!/bin/sh
# smpplib: a long message goes out as several short ones, each to be read alone and then joined. In the
# GSM 7-bit alphabet a euro sign, a bracket or a brace is an escape and a second code, and such a pair
# must not be split between two messages (3GPP TS 23.040, section 9.2.3.24.1). make_parts() cuts after
# 153 codes whatever they are: here one part ends in the escape and the next begins with the letter "e",
# which is what a euro sign is without its escape.
#
# Seen with smpplib 2.2.4 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check smpplib==2.2.4
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import platform

from smpplib import gsm

HEADER = 6  # of a part of a concatenated message: its own length, and an element of 5 bytes


def codes(text):
    parts, _, _ = gsm.make_parts(text)
    return [part[HEADER:] for part in parts]


print(f"smpplib {importlib.metadata.version('smpplib')}, CPython {platform.python_version()}")
seen = {}
for before in (151, 152, 153):
    first, second = codes("x" * before + "\u20ac" + "x" * 20)
    seen[before] = (len(first), first[-2:], second[:2])
    print(f"euro after {before}: first part {len(first)} codes, to {first[-2:]}; second from {second[:2]}")
assert seen == {
    151: (153, b"\x1be", b"xx"),
    152: (153, b"x\x1b", b"ex"),
    153: (153, b"xx", b"\x1be"),
}, seen
print("as described: with 152 before it, the escape and its code are in different messages")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
