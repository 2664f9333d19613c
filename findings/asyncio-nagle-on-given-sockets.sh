#!/bin/sh
# asyncio: the documentation of create_connection() says that TCP_NODELAY is set by default for
# all TCP connections. A socket that the program made with socket.socket(AF_INET, SOCK_STREAM), or
# that was accepted from one of socket.create_server(), is left with Nagle's algorithm on: asyncio
# compares the socket's protocol number with IPPROTO_TCP, and such a socket says 0. uvloop sets the
# option on the same sockets.
#
# Seen with CPython 3.11 and uvloop 0.22.1 on Linux 6.x; this prints what it sees, and fails where
# that changes.
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


def no_delay(writer):
    sock = writer.get_extra_info("socket")
    return sock.proto, bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


async def try_one(listening, connecting, seen):
    accepted = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), **listening)
    port = server.sockets[0].getsockname()[1]
    if connecting == "given":
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        _, client = await asyncio.open_connection(sock=sock)
    else:
        _, client = await asyncio.open_connection("127.0.0.1", port)
    other = await accepted
    seen.append((no_delay(client), no_delay(other)))
    client.close()
    other.close()
    server.close()


async def both():
    seen = []
    await try_one({"host": "127.0.0.1", "port": 0}, "by name", seen)
    await try_one({"sock": socket.create_server(("127.0.0.1", 0))}, "given", seen)
    return seen


print(f"CPython {platform.python_version()}, uvloop {uvloop.__version__}, {sys.platform}")
results = {}
for name, factory in (("asyncio", asyncio.new_event_loop), ("uvloop", uvloop.new_event_loop)):
    with asyncio.Runner(loop_factory=factory) as runner:
        results[name] = runner.run(both())
    for how, (client, server) in zip(("made by the loop", "given"), results[name]):
        print(f"{name:8} sockets {how:16} (proto, TCP_NODELAY): client {client}, server {server}")
nagle = [[side[1] for side in ends] for ends in results["asyncio"]]
assert nagle == [[True, True], [False, False]], nagle
assert all(side[1] for ends in results["uvloop"] for side in ends), results["uvloop"]
print("as described: asyncio leaves TCP_NODELAY unset on sockets that are given to it")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
