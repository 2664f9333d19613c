#!/bin/sh
# avro: the Parsing Canonical Form gives one text, and so one fingerprint, to all schemas that read the
# same data; its first rule is to write a primitive schema in its simple form, "bytes" and not
# {"type": "bytes"} (Avro 1.12, "Transforming into Parsing Canonical Form", [PRIMITIVES]). A primitive
# with a logical type, as every date, time and decimal is, comes out of avro as {"type": "bytes"}.
# Its CRC-64-AVRO fingerprint, by which single-object encoding names the schema, is not the one that
# fastavro has, nor that of the same schema without the annotation.
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
import json
import platform

import avro.schema
import fastavro.schema

ALGORITHM = "CRC-64-AVRO"


def by_avro(schema):
    parsed = avro.schema.parse(json.dumps(schema))
    return parsed.canonical_form, parsed.fingerprint(ALGORITHM).hex()


def by_fastavro(schema):
    form = fastavro.schema.to_parsing_canonical_form(schema)
    return form, fastavro.schema.fingerprint(form, ALGORITHM)


names = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("avro", "fastavro"))
print(f"{names}, CPython {platform.python_version()}")
plain = {"type": "record", "name": "R", "fields": [{"name": "on", "type": "int"}]}
dated = {
    "type": "record",
    "name": "R",
    "fields": [{"name": "on", "type": {"type": "int", "logicalType": "date"}}],
}
for name, schema in (("plain", plain), ("with a logical type", dated)):
    for by in (by_avro, by_fastavro):
        print(f"{name}, {by.__name__}:", *by(schema), sep="\n    ")
simple = '{"name":"R","type":"record","fields":[{"name":"on","type":"int"}]}'
assert by_avro(plain) == by_fastavro(plain) == by_fastavro(dated), "not what was seen before"
assert by_fastavro(dated)[0] == simple, by_fastavro(dated)
assert by_avro(dated)[0] == simple.replace('"int"', '{"type":"int"}'), by_avro(dated)
assert by_avro(dated)[1] != by_avro(plain)[1]
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
