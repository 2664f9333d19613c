"""SIPp with itself, over TCP: ``apt-get install sip-tester``."""

from __future__ import annotations

import re
import subprocess
import tempfile

from .helping import debian, running
from .recording import Tap, free_port, save, stream, wait_for


def size_of(data: bytes) -> int:
    """The header to its empty line, and as many bytes as Content-Length says."""
    head = data[: data.index(b"\r\n\r\n") + 4]
    found = re.search(rb"(?im)^content-length *: *(\d+)", head)
    assert found
    return len(head) + int(found[1])


def main() -> None:
    """Three calls over one connection."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        server = ["sipp", "-sn", "uas", "-t", "t1", "-i", "127.0.0.1", "-p", str(port), "-nostdin"]
        with running(*server):
            wait_for(port)
            tap = Tap(("127.0.0.1", port))
            client = ["sipp", "-sn", "uac", "-t", "t1", "-i", "127.0.0.1", "-m", "3", "-r", "9"]
            client += ["-d", "50", "-nostdin", "-p", str(free_port()), f"127.0.0.1:{tap.port}"]
            subprocess.run(client, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    [passed] = tap.connections
    by = debian("sip-tester", "SIPp")
    streams = [stream(sent, by, size_of) for sent in (passed.client, passed.server)]
    save("sip", "sip", __file__, streams)


main()
