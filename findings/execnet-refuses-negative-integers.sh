#!/bin/sh
# execnet: dumps(), by which everything goes over its channels, takes any object "of a builtin Python
# type" (its docstring; Channel.send() says "a simple Python type"). Positive integers of any size pass,
# for large ones are written as text. An integer below -2,147,483,648 does not: the size is looked at
# from above alone, and in place of the message, or of execnet's own DumpError, there is a struct.error.
# What sends one from the other side, say a time difference in nanoseconds, ends with it.
#
# Seen with execnet 2.1.2 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check execnet==2.1.2
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import platform
import struct

import execnet

print(f"execnet {importlib.metadata.version('execnet')}, CPython {platform.python_version()}")
seen = []
for name, number in (("2**31", 2**31), ("2**200", 2**200), ("-2**31", -(2**31)), ("-2**31 - 1", -(2**31) - 1), ("-2**200", -(2**200))):
    try:
        same = execnet.loads(execnet.dumps(number)) == number
    except struct.error as error:
        print(f"{name:11} struct.error: {error}")
        seen.append("error")
    else:
        print(f"{name:11} comes back {'the same' if same else 'another one'}")
        seen.append(same)

gateway = execnet.makegateway("popen")
try:
    channel = gateway.remote_exec("channel.send(1 - channel.receive())")
    channel.send(3_000_000_000)
    channel.waitclose(60)
    remote = "an answer"
except channel.RemoteError as error:
    remote = str(error).strip().splitlines()[-1]
finally:
    gateway.exit()
print(f"1 - 3_000_000_000 from the other side: {remote}")
assert seen == [True, True, True, "error", "error"], seen
assert remote.startswith("struct.error"), remote
print("as described: execnet sends large positive integers and refuses large negative ones")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
