"""dbus-fast and jeepney with the dbus-daemon of Debian 12.

``apt-get install dbus; pip install dbus-fast==5.2.0 jeepney==0.9.0``
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

from dbus_fast import Message
from dbus_fast.aio import MessageBus
from jeepney import DBusAddress, new_method_call
from jeepney.io.blocking import open_dbus_connection

from .recording import package, save, stream
from .unix_tap import UnixTap

DAEMON = {
    "destination": "org.freedesktop.DBus",
    "path": "/org/freedesktop/DBus",
    "interface": "org.freedesktop.DBus",
}


def size_of(data: bytes) -> int:
    """Lines until a message begins: l or B, and a type of 1 to 4."""
    if len(data) < 2:
        raise IndexError
    if not (data[0] in b"lB" and 1 <= data[1] <= 4):
        return data.index(b"\r\n") + 2
    if len(data) < 16:
        raise IndexError
    order: Literal["little", "big"] = "little" if data[:1] == b"l" else "big"
    body = int.from_bytes(data[4:8], order)
    fields = int.from_bytes(data[12:16], order)
    return 16 + (fields + 7) // 8 * 8 + body


async def by_dbus_fast(path: str) -> None:
    """Ask the daemon things, and hear of a name."""
    bus = await MessageBus(f"unix:path={path}").connect()
    await bus.call(Message(member="ListNames", **DAEMON))
    await bus.request_name("org.example.Parts")
    await bus.call(Message(member="GetId", **DAEMON))
    await bus.call(Message(member="NoSuchThing", signature="s", body=["n" * 300], **DAEMON))
    bus.disconnect()


def by_jeepney(path: str) -> None:
    """The same from another library."""
    address = DBusAddress(DAEMON["path"], DAEMON["destination"], DAEMON["interface"])
    with open_dbus_connection(f"unix:path={path}") as connection:
        connection.send_and_get_reply(new_method_call(address, "ListNames"))
        connection.send_and_get_reply(
            new_method_call(address, "NameHasOwner", "s", ("org.example.Parts",))
        )


def main() -> None:
    """Run a bus and record."""
    told = subprocess.run(
        ["dbus-daemon", "--version"], check=True, stdout=subprocess.PIPE, text=True
    )
    daemon = f"dbus-daemon {told.stdout.split()[4]}"
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "bus")
        command = ["dbus-daemon", "--session", "--nofork", f"--address=unix:path={path}"]
        process = subprocess.Popen(command)
        try:
            while not Path(path).exists():
                pass
            tap = UnixTap(path)
            asyncio.run(by_dbus_fast(tap.path))
            by_jeepney(tap.path)
        finally:
            process.terminate()
            process.wait()
    streams = []
    for connection, by in zip(tap.connections, ("dbus-fast", "jeepney"), strict=True):
        streams.append(stream(connection.client, package(by), size_of))
        streams.append(stream(connection.server, daemon, size_of))
    save("dbus", "dbus", __file__, streams)


main()
