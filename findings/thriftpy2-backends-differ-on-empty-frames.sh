#!/bin/sh
# thriftpy2: its framed transport exists compiled and in Python, and the compiled one is taken where
# it can be. They differ on an empty frame (a length of 0), which the framed transport does not
# forbid and which Apache Thrift's Python library and thriftpy2's own Python transport write when
# nothing was written before flush(). The Python one reads it and goes on to the next frame; the
# compiled one raises "No frame." as if the peer had gone. So whether two programs understand one
# another depends on which of them has a compiler's output installed.
#
# Seen with thriftpy2 0.7.1 and thrift 0.25.0 on CPython 3.11; this prints what it sees, and fails
# where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check thriftpy2==0.7.1 thrift==0.25.0
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import struct
import sys

from thrift.transport import TTransport
from thriftpy2.transport import TMemoryBuffer, TTransportException
from thriftpy2.transport.framed import TCyFramedTransport, TFramedTransport

versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("thriftpy2", "thrift"))
print(f"{versions}, CPython {sys.version.split()[0]}")

apache = TTransport.TMemoryBuffer()
TTransport.TFramedTransport(apache).flush()
written = {"Apache, Python": apache.getvalue()}
for name, transport in (("Python", TFramedTransport), ("compiled", TCyFramedTransport)):
    buffer = TMemoryBuffer()
    transport(buffer).flush()
    written[name] = buffer.getvalue()
for name, data in written.items():
    print(f"flush() of nothing, {name}: {data!r} is written")

stream = struct.pack("!i", 0) + struct.pack("!i", 3) + b"abc"
read = {}
for name, transport in (("Python", TFramedTransport), ("compiled", TCyFramedTransport)):
    reading = transport(TMemoryBuffer(stream))
    try:
        read[name] = [reading.read(3), reading.read(3)]
    except TTransportException as error:
        read[name] = str(error)
    print(f"reading an empty frame and one of 3 bytes, {name}: {read[name]!r}")

# The two values are the wrong way round in the library.
refused = "TTransportException(type='No frame.', message=0)"
if written != {"Apache, Python": bytes(4), "Python": bytes(4), "compiled": b""}:
    sys.exit("what is written is not what was seen before")
if read != {"Python": [b"", b"abc"], "compiled": refused}:
    sys.exit("what is read is not what was seen before")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
