#!/bin/sh
# avro: a decimal is written as the integer that, times ten to the power of minus the schema's scale, is
# the number (Avro 1.12, "Logical Types", "Decimal"); with a scale of 2, 1.2 is 120. avro writes the
# digits that Decimal has, as they are, and so 12: it and everybody else read 0.12. Decimal("1E+2") comes
# back as 0.01, and Decimal("-0.00") as -0.02. No error says so, though avro does refuse a number
# with more digits than the scale. fastavro writes each as the specification says.
#
# Seen with avro 1.12.2 and fastavro 1.13.1 on CPython 3.11; this prints what it sees, and fails where
# that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check avro==1.12.2 fastavro==1.13.1
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import io
import json
import platform
from decimal import Decimal

import avro.errors
import avro.io
import avro.schema
import fastavro

SCHEMA = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
PARSED = avro.schema.parse(json.dumps(SCHEMA))


def by_avro(number):
    file = io.BytesIO()
    avro.io.DatumWriter(PARSED).write(number, avro.io.BinaryEncoder(file))
    return file.getvalue()


def by_fastavro(number):
    file = io.BytesIO()
    fastavro.schemaless_writer(file, SCHEMA, number)
    return file.getvalue()


def read(data):
    """What avro and fastavro read; they agree."""
    value = avro.io.DatumReader(PARSED).read(avro.io.BinaryDecoder(io.BytesIO(data)))
    assert value == fastavro.schemaless_reader(io.BytesIO(data), SCHEMA, None)
    return value


names = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("avro", "fastavro"))
print(f"{names}, CPython {platform.python_version()}; a decimal with a scale of 2")
expected = {"1.25": "1.25", "1.2": "0.12", "3": "0.03", "1E+2": "0.01", "-0.00": "-0.02"}
for text, wrong in expected.items():
    number = Decimal(text)
    seen = {by.__name__: read(by(number)) for by in (by_avro, by_fastavro)}
    print(f"{text:5} written", *(f"{name} and read as {value};" for name, value in seen.items()))
    assert seen["by_fastavro"] == number, seen
    assert seen["by_avro"] == Decimal(wrong), seen
try:
    by_avro(Decimal("1.255"))
except avro.errors.AvroException as error:
    print("1.255 is refused:", type(error).__name__)
else:
    raise SystemExit("this is not what was seen before")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
