#!/bin/sh
# hl7 (python-hl7): Message.escape() writes characters that need it as hexadecimal data, \Xdddd...\,
# which is pairs of hexadecimal digits (HL7 v2.5, chapter 2, section 2.7.5 "Hexadecimal"). For those
# below 16, tab and line feed among them, it writes a space in place of the first digit, as in \X a\,
# which is no hexadecimal data to anybody else: hl7apy and bytes.fromhex() do not take it. Its own
# unescape() takes it, but reads what escape() made of a euro sign as two other characters.
#
# Seen with hl7 0.4.5 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check hl7==0.4.5
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import platform

import hl7

print(f"hl7 {importlib.metadata.version('hl7')}, CPython {platform.python_version()}")
message = hl7.parse("MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5\r")
seen = {}
for text in ("\x1f", "\t", "\n", "\u20ac"):
    escaped = message.escape(text)
    digits = escaped.removeprefix("\\X").removesuffix("\\")
    pairs = len(digits) % 2 == 0 and all(digit in "0123456789ABCDEFabcdef" for digit in digits)
    seen[text] = (escaped, pairs, message.unescape(escaped) == text)
    print(f"{text!r:7} {escaped:9} pairs of digits: {pairs}; unescaped: {message.unescape(escaped)!r}")
assert seen == {
    "\x1f": ("\\X1f\\", True, True),
    "\t": ("\\X 9\\", False, True),
    "\n": ("\\X a\\", False, True),
    "\u20ac": ("\\X20ac\\", True, False),
}, seen
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
