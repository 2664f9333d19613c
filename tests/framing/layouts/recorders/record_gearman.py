"""gearman and gearadmin with gearmand, all of Debian 12.

``apt-get install gearman-job-server gearman-tools``
"""

from __future__ import annotations

import subprocess
import tempfile

from .recording import Tap, free_port, save, stream, wait_for


def size_of(data: bytes) -> int:
    """Binary packets begin with NUL, their size is at bytes 8 to 11; all else are lines."""
    if data[:1] == b"\0":
        if len(data) < 12:
            raise IndexError
        return 12 + int.from_bytes(data[8:12], "big")
    return data.index(b"\n") + 1


def main() -> None:
    """Run a server, a worker, a client and an administrator."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "gearmand",
            "-L",
            "127.0.0.1",
            "-p",
            str(port),
            "-l",
            f"{folder}/log",
            "-u",
            "root",
        ]
        process = subprocess.Popen(command)
        try:
            wait_for(port)
            tap = Tap(("127.0.0.1", port))
            to_tap = ["-h", "127.0.0.1", "-p", str(tap.port)]
            worker = subprocess.Popen(
                ["gearman", *to_tap, "-f", "copy", "-w", "-c", "3", "--", "cat"]
            )
            for data in ("", "bolt", "n" * 300):
                subprocess.run(["gearman", *to_tap, "-f", "copy"], input=data.encode(), check=True)
            worker.wait()
            for asked in ("--status", "--workers", "--server-version"):
                subprocess.run(["gearadmin", *to_tap, asked], check=True)
            version = subprocess.run(
                ["gearmand", "--version"], capture_output=True, text=True, check=True
            )
        finally:
            process.terminate()
            process.wait()
    number = version.stdout.split()[1]
    streams = []
    for connection in tap.connections:
        streams.append(stream(connection.client, f"libgearman {number}", size_of))
        streams.append(stream(connection.server, f"gearmand {number}", size_of))
    save("gearman", "gearman", __file__, streams)


main()
