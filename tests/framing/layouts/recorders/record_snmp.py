"""Net-SNMP's snmpget, snmpbulkwalk and snmpd over TCP: ``apt install snmp snmpd``."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from pathlib import Path

from .recording import Sent, Tap, free_port, save, stream


def size_of(data: bytes) -> int:
    """RFC 3430, 2.1: BER messages one behind the other; X.690, 8.1.3."""
    if data[1] < 0x80:
        return 2 + data[1]
    count = data[1] & 0x7F
    length = data[2 : 2 + count]
    if len(length) < count:
        raise IndexError
    return 2 + count + int.from_bytes(length, "big")


def main() -> None:
    """Get one value, then walk by bulks, over a connection each."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "snmpd.conf")
        settings.write_text("rocommunity public\nsysDescr a test\nsysContact jane@example.com\n")
        server = subprocess.Popen(
            ["snmpd", "-f", "-C", "-c", str(settings), "-Lo", f"tcp:127.0.0.1:{port}"]
        )
        time.sleep(2)
        tap = Tap(("127.0.0.1", port))
        address = f"tcp:127.0.0.1:{tap.port}"
        for command in (["snmpget"], ["snmpbulkwalk", "-Cr20"]):
            oid = "1.3.6.1.2.1.1.1.0" if command == ["snmpget"] else "1.3.6.1.2.1.1"
            subprocess.run([*command, "-v2c", "-c", "public", address, oid], check=True)
        server.terminate()
        server.wait()
    told = subprocess.run(["dpkg", "-s", "snmpd"], capture_output=True, text=True, check=True)
    [version] = re.findall(r"^Version: ([\d.]+)", told.stdout, re.MULTILINE)
    by = f"net-snmp {version} (Debian)"
    streams = []
    for connection in tap.connections:
        both: tuple[Sent, Sent] = (connection.client, connection.server)
        streams += [stream(sent, by, size_of) for sent in both]
    save("snmp-tcp", "snmp-tcp", __file__, streams)


main()
