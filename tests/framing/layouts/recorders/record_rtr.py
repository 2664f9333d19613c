"""rtrlib's rtrclient with stayrtr: ``apt-get install rtr-tools stayrtr``."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from .helping import debian, running
from .recording import Tap, free_port, save, stream, wait_for


def size_of(data: bytes) -> int:
    """RFC 8210, section 5: version, type, two bytes, length of all in four."""
    if len(data) < 8:
        raise IndexError
    return int.from_bytes(data[4:8], "big")


def main() -> None:
    """Fetch the validated origins, of both families."""
    port = free_port()
    roas = [
        {"prefix": f"192.0.2.{16 * n}/28", "maxLength": 28, "asn": f"AS{64496 + n}", "ta": "test"}
        for n in range(3)
    ]
    roas += [{"prefix": "2001:db8::/32", "maxLength": 48, "asn": "AS64511", "ta": "test"}]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rpki.json"
        path.write_text(
            json.dumps({"metadata": {"buildtime": "2026-01-01T00:00:00Z"}, "roas": roas})
        )
        command = ["stayrtr", "-bind", f"127.0.0.1:{port}", "-metrics.addr", "127.0.0.1:0"]
        command += ["-cache", str(path), "-checktime=false", "-export.path", "/unused"]
        with running(*command):
            wait_for(port)
            tap = Tap(("127.0.0.1", port))
            with running("rtrclient", "-p", "tcp", "127.0.0.1", str(tap.port)):
                end = time.monotonic() + 20
                while time.monotonic() < end:
                    if tap.connections and len(tap.connections[0].server.data) > 100:
                        break
                    time.sleep(0.1)
    passed = tap.connections[0]
    streams = [
        stream(passed.client, debian("rtr-tools", "rtrlib"), size_of),
        stream(passed.server, debian("stayrtr"), size_of),
    ]
    save("rtr", "rtr", __file__, streams)


main()
