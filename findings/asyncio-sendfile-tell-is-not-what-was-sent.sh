#!/bin/sh
# asyncio: after loop.sendfile() and loop.sock_sendfile() "file.tell() can be used to obtain the actual
# number of bytes sent", for the file position "is always updated" (asyncio, "Event Loop"). For a file
# of which something was read before, say its head, it is another number: asyncio moves the position
# of the descriptor behind the back of Python's buffered reader, which still has what it read ahead.
# What is read next is from that old buffer. socket.sendfile(), of which sock_sendfile() is "the
# asynchronous version", sets the position of the file object, and so does asyncio itself where it
# cannot use the system call.
#
# Seen with CPython 3.11 to 3.15 on Linux; this prints what it sees, and fails where that changes.
# PYTHON names another interpreter than python3. It installs nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/program.py" <<'PROGRAM'
import asyncio
import platform
import socket
import sys
from pathlib import Path

SIZE = 50_000
COUNT = 20_000
path = Path(sys.argv[1]) / "data"
path.write_bytes(b"head" + b"x" * (SIZE - 8) + b"tail")


def receive(sock):
    """Return how many bytes come until the end."""
    sock.settimeout(30)
    return sum(len(part) for part in iter(lambda: sock.recv(65_536), b""))


async def sent(file, how):
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        out = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    with out, other:
        received = loop.run_in_executor(None, receive, other)
        if how == "socket.sendfile()":
            count = await loop.run_in_executor(None, out.sendfile, file, 0, COUNT)
            out.shutdown(socket.SHUT_WR)
        elif how == "loop.sock_sendfile()":
            out.setblocking(False)
            count = await loop.sock_sendfile(out, file, 0, COUNT, fallback=False)
            out.shutdown(socket.SHUT_WR)
        else:
            _, writer = await asyncio.open_connection(sock=out)
            count = await loop.sendfile(writer.transport, file, 0, COUNT, fallback=False)
            writer.close()
            await writer.wait_closed()
        assert count == await received == COUNT, count
    return file.tell()


print(f"CPython {platform.python_version()}, {sys.platform}; a file of {SIZE} bytes, of which {COUNT} are sent")
seen = {}
for how in ("socket.sendfile()", "loop.sock_sendfile()", "loop.sendfile()"):
    for read_before in (0, 4):
        with path.open("rb") as file:
            file.read(read_before)
            seen[how, read_before] = tell = asyncio.run(sent(file, how))
            print(f"{how:20} after read({read_before}): tell() says {tell}")
for (how, read_before), tell in seen.items():
    as_documented = how == "socket.sendfile()" or read_before == 0
    assert (tell == COUNT) == as_documented, (how, read_before, tell)
print("as described: after a read, tell() is not what asyncio has sent")
PROGRAM
"${PYTHON:-python3}" "$folder/program.py" "$folder"
