#!/bin/sh
# asn1tools: in OER a sequence that has values after its extension marker says with a bitmap which; a
# group in double brackets is one addition, and has one bit (X.696, clause 16). asn1tools gives each
# member of a group a bit when it writes, and reads them by the group: what it has written as {d: 5} it
# reads as {e: TRUE}, and others cannot read it. Besides, INTEGER (0..10, ...) is an unconstrained one to
# OER, since it is extensible (clauses 8.2 and 10); asn1tools takes it to have no sign, and writes -1
# as nothing, not even a length. pycrate does as the standard says in both cases.
#
# Seen with asn1tools 0.169.0 and pycrate 0.8.1 on CPython 3.11; this prints what it sees, and fails
# where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check asn1tools==0.169.0 pycrate==0.8.1
cat > "$folder/program.py" <<'PROGRAM'
import contextlib
import importlib.metadata
import os
import platform
import sys

import asn1tools
from pycrate_asn1c.asnproc import PycrateGenerator, compile_text

MODULE = """
T DEFINITIONS AUTOMATIC TAGS ::= BEGIN
  Single ::= SEQUENCE { a BOOLEAN, ..., d INTEGER, e BOOLEAN }
  Grouped ::= SEQUENCE { a BOOLEAN, ..., d INTEGER, [[ e BOOLEAN, f INTEGER OPTIONAL ]] }
  Number ::= INTEGER (0..10, ...)
END
"""
with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
    compile_text(MODULE)
    PycrateGenerator(os.path.join(sys.argv[1], "generated.py"))
sys.path.insert(0, sys.argv[1])
import generated

names = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("asn1tools", "pycrate"))
print(f"{names}, CPython {platform.python_version()}")
codec = asn1tools.compile_string(MODULE, "oer")


def tried(type_name, value):
    """What asn1tools writes, what it reads of that, and what pycrate writes."""
    data = bytes(codec.encode(type_name, value))
    try:
        read = codec.decode(type_name, data)
    except asn1tools.DecodeError as error:
        read = type(error).__name__
    other = getattr(generated.T, type_name)
    other.set_val(value)
    return data.hex(" "), read, other.to_oer().hex(" ")


value = {"a": True, "d": 5}
expected = {
    ("Single", str(value)): ("80 ff 02 06 80 02 01 05", value, "80 ff 02 06 80 02 01 05"),
    ("Grouped", str(value)): ("80 ff 02 05 40 02 01 05", {"a": True, "e": True}, "80 ff 02 06 80 02 01 05"),
    ("Number", "-1"): ("", "OutOfDataError", "01 ff"),
}
for (type_name, text), wanted in expected.items():
    seen = tried(type_name, -1 if type_name == "Number" else value)
    print(f"{type_name} {text}:\n    asn1tools [{seen[0]}], and reads {seen[1]}\n    pycrate   [{seen[2]}]")
    assert seen == wanted, seen
PROGRAM
"$folder/venv/bin/python" "$folder/program.py" "$folder"
