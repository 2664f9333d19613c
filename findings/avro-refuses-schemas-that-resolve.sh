#!/bin/sh
# avro: data is read with the reader's schema where that differs from the writer's, by rules that are the
# point of the format (Avro 1.12, "Schema Resolution"): an array is resolved by its items, whose int may
# become a long; a string may become bytes; a union that was written is resolved by the branch that was
# taken; an enum's default takes the place of symbols that the reader does not know. avro raises
# SchemaResolutionException for each of them, though it reads an int as a long by itself. fastavro
# reads them all.
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

import avro.errors
import avro.io
import avro.schema
import fastavro


def enum(*symbols):
    return {"type": "enum", "name": "E", "symbols": list(symbols), "default": symbols[0]}


# What was written, with which schema; the reader's; what it is then.
CASES = {
    "an int as a long": (5, "int", "long", 5),
    "an array of int as one of long": (
        [1, 2],
        {"type": "array", "items": "int"},
        {"type": "array", "items": "long"},
        [1, 2],
    ),
    "a string as bytes": ("text", "string", "bytes", b"text"),
    "a union's int as an int": (5, ["null", "int"], "int", 5),
    "an unknown symbol as the default": ("B", enum("A", "B"), enum("A"), "A"),
}


def by_avro(value, writer, reader):
    writer, reader = (avro.schema.parse(json.dumps(schema)) for schema in (writer, reader))
    file = io.BytesIO()
    avro.io.DatumWriter(writer).write(value, avro.io.BinaryEncoder(file))
    file.seek(0)
    try:
        return avro.io.DatumReader(writer, reader).read(avro.io.BinaryDecoder(file))
    except avro.errors.SchemaResolutionException as error:
        return type(error).__name__


def by_fastavro(value, writer, reader):
    file = io.BytesIO()
    fastavro.schemaless_writer(file, writer, value)
    file.seek(0)
    return fastavro.schemaless_reader(file, writer, reader)


names = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("avro", "fastavro"))
print(f"{names}, CPython {platform.python_version()}")
for what, (value, writer, reader, wanted) in CASES.items():
    seen = by_avro(value, writer, reader), by_fastavro(value, writer, reader)
    print(f"{what}: avro {seen[0]!r}, fastavro {seen[1]!r}")
    expected = wanted if what == "an int as a long" else "SchemaResolutionException"
    assert seen == (expected, wanted), seen
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
