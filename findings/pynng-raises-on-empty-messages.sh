#!/bin/sh
# pynng: a message may be empty in the scalability protocols, and pynng sends one. Its recv() raises
# RuntimeError for it, from the inside of cffi: NNG gives a pointer of NULL for no bytes. The message
# is gone, and the socket goes on. A program whose loop ends with any error ends at an empty message
# of its peer.
#
# Seen with pynng 0.9.0 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pynng==0.9.0
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import sys

import pynng

print(f"pynng {importlib.metadata.version('pynng')}, CPython {sys.version.split()[0]}")
received = []
with (
    pynng.Pair0(listen="ipc:///tmp/empty-message", recv_timeout=5000) as one,
    pynng.Pair0(dial="ipc:///tmp/empty-message", recv_timeout=5000) as other,
):
    other.send(b"")
    other.send(b"x")
    for _ in range(2):
        try:
            received.append(one.recv())
        except RuntimeError as error:
            received.append(str(error))
print(f"sent: {[b'', b'x']}, received: {received}")
if received != ["cannot use unpack() on <cdata 'char *' NULL>", b"x"]:
    sys.exit("what is received is not what was seen before")
PROGRAM
sed -i "s#ipc:///tmp/empty-message#ipc://$folder/socket#g" "$folder/program.py"
"$folder/venv/bin/python" "$folder/program.py"
