#!/bin/sh
# uvloop: getaddrinfo() of its event loop returns scope 0 for a link-local IPv6 address that names
# its interface ("fe80::1%lo"), where asyncio's and the socket module's return the interface's
# number. Who gives the result to connect() or bind(), as any program does with it, has lost the
# interface: the system refuses the address with EINVAL, or takes another link.
#
# Seen with CPython 3.11 and uvloop 0.22.1 on Linux; this prints what it sees, and fails where that
# changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check uvloop==0.22.1
cat > "$folder/program.py" <<'PROGRAM'
import asyncio
import platform
import socket
import sys

import uvloop

HOST = "fe80::1%lo"


async def look_up():
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(HOST, 4000, type=socket.SOCK_STREAM)
    return found[0][4]


print(f"CPython {platform.python_version()}, uvloop {uvloop.__version__}, {sys.platform}")
seen = {"socket": socket.getaddrinfo(HOST, 4000, type=socket.SOCK_STREAM)[0][4]}
for name, factory in (("asyncio", asyncio.new_event_loop), ("uvloop", uvloop.new_event_loop)):
    with asyncio.Runner(loop_factory=factory) as runner:
        seen[name] = runner.run(look_up())
for name, address in seen.items():
    print(f"{name:8} {HOST} -> {address}")
number = socket.if_nametoindex("lo")
assert [address[3] for address in seen.values()] == [number, number, 0], seen
print("as described: the scope is lost in uvloop alone")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
