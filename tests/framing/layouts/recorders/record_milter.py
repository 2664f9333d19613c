"""miltertest with opendkim: ``apt-get install miltertest opendkim``."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from .helping import debian, running
from .recording import Tap, free_port, save, stream, wait_for

SCRIPT = """
conn = mt.connect("inet:{port}@127.0.0.1")
mt.conninfo(conn, "mail.example.com", "192.0.2.7")
mt.macro(conn, SMFIC_MAIL, "i", "A1B2")
mt.mailfrom(conn, "<anna@example.com>")
mt.rcptto(conn, "<bob@example.net>")
mt.header(conn, "From", "anna@example.com")
mt.header(conn, "Subject", "bolts")
mt.eoh(conn)
mt.bodystring(conn, string.rep("They turn and turn.\\r\\n", 200))
mt.eom(conn)
mt.disconnect(conn)
"""


def size_of(data: bytes) -> int:
    """4 bytes of length; it counts the letter that follows, and what belongs to it."""
    return 4 + int.from_bytes(data[:4], "big")


def main() -> None:
    """Have a message verified."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "conf").write_text(f"Socket inet:{port}@127.0.0.1\nMode v\nSyslog no\n")
        with running("opendkim", "-f", "-x", f"{folder}/conf", "-u", "root"):
            wait_for(port)
            tap = Tap(("127.0.0.1", port))
            (Path(folder) / "script").write_text(SCRIPT.format(port=tap.port))
            subprocess.run(["miltertest", "-s", f"{folder}/script"], check=True)
    [passed] = tap.connections
    streams = [
        stream(passed.client, debian("miltertest"), size_of),
        stream(passed.server, debian("opendkim"), size_of),
    ]
    save("milter", "milter", __file__, streams)


main()
