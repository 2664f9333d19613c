"""jdb with a Java virtual machine, both of OpenJDK 17.

``apt-get install openjdk-17-jdk-headless``
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from .recording import Tap, free_port, save, stream

PROGRAM = """
public class Parts {
    static int count(int n) { return n + 1; }
    public static void main(String[] args) { System.out.println(count(6)); }
}
"""
COMMANDS = "stop in Parts.count\nrun\nwhere\nlocals\nthreads\nclear Parts.count\ncont\n"


def size_of(data: bytes) -> int:
    """The length, big-endian, counts itself."""
    return int.from_bytes(data[:4], "big")


def main() -> None:
    """Stop at a method, look around, go on."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "Parts.java"
        source.write_text(PROGRAM, encoding="ascii")
        subprocess.run(["javac", str(source)], check=True, cwd=folder)
        agent = f"-agentlib:jdwp=transport=dt_socket,server=y,suspend=y,address=127.0.0.1:{port}"
        machine = subprocess.Popen(
            ["java", "-cp", folder, agent, "Parts"], stdout=subprocess.PIPE, text=True
        )
        assert machine.stdout
        machine.stdout.readline()
        tap = Tap(("127.0.0.1", port))
        debugger = subprocess.Popen(
            ["jdb", "-attach", f"127.0.0.1:{tap.port}"], stdin=subprocess.PIPE, text=True
        )
        assert debugger.stdin
        for command in COMMANDS.splitlines():
            debugger.stdin.write(f"{command}\n")
            debugger.stdin.flush()
        debugger.stdin.close()
        machine.communicate()
        debugger.wait()
    told = subprocess.run(["java", "--version"], check=True, stdout=subprocess.PIPE, text=True)
    version = told.stdout.split()[1]
    [passed] = tap.connections
    save(
        "jdwp",
        "jdwp",
        __file__,
        [
            stream(passed.client, f"jdb {version}", size_of, preamble=14, most=60),
            stream(passed.server, f"OpenJDK {version}", size_of, preamble=14, most=60),
        ],
    )


main()
