"""libnbd with nbdkit, both of Debian 12: ``apt-get install nbdkit libnbd-bin``."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from .recording import Tap, free_port, save, stream, wait_for

PROGRAMS = ("nbdinfo", "nbdcopy", "nbdcopy")


def client_size_of(data: bytes) -> int:
    """Flags of 4 bytes, options, then requests; writes bring their data."""
    if data.startswith(b"IHAVEOPT"):
        return 16 + int.from_bytes(data[12:16], "big")
    if data.startswith(bytes.fromhex("25609513")):
        size = int.from_bytes(data[24:28], "big")
        return 28 + (size if data[6:8] == b"\0\1" else 0)
    return 4


def server_size_of(data: bytes) -> int:
    """A greeting of 18 bytes, answers to options, then structured and simple replies."""
    if data.startswith(b"NBDMAGIC"):
        return 18
    if data.startswith(bytes.fromhex("0003e889045565a9")):
        return 20 + int.from_bytes(data[16:20], "big")
    if data.startswith(bytes.fromhex("668e33ef")):
        return 20 + int.from_bytes(data[16:20], "big")
    assert data.startswith(bytes.fromhex("67446698"))
    return 16


def version(program: str) -> str:
    """Return the program and its version."""
    done = subprocess.run([program, "--version"], check=True, stdout=subprocess.PIPE, text=True)
    return f"{program} {done.stdout.split()[1]}"


def main() -> None:
    """List, and copy an image to and from."""
    port = free_port()
    process = subprocess.Popen(
        ["nbdkit", "-f", "-i", "127.0.0.1", "-p", str(port), "memory", "12K"]
    )
    try:
        wait_for(port)
        tap = Tap(("127.0.0.1", port))
        url = f"nbd://127.0.0.1:{tap.port}"
        subprocess.run(["nbdinfo", "--list", url], check=True, stdout=subprocess.DEVNULL)
        copy = ["nbdcopy", "--request-size=4096", "--connections=1"]
        with tempfile.TemporaryDirectory() as folder:
            image = Path(folder) / "image"
            image.write_bytes(b"bolt" * 2048 + bytes(4096))
            subprocess.run([*copy, str(image), url], check=True)
            subprocess.run([*copy, url, str(image)], check=True)
    finally:
        process.terminate()
        process.wait()
    server = version("nbdkit")
    streams = []
    for connection, program in zip(tap.connections, PROGRAMS, strict=True):
        streams.append(stream(connection.client, version(program), client_size_of))
        streams.append(stream(connection.server, server, server_size_of))
    save("nbd", "nbd", __file__, streams)


main()
