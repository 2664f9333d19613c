"""fstrm_replay to fstrm_capture, over TCP: ``apt-get install fstrm-bin``."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from .helping import debian, running
from .recording import Tap, free_port, save, stream, wait_for

KIND = "protobuf:example.Bolt"


def size_of(data: bytes) -> int:
    """4 bytes of length; where that is 0 a control frame, whose length follows."""
    if len(data) < 8:
        raise IndexError
    size = int.from_bytes(data[:4], "big")
    return 4 + size if size else 8 + int.from_bytes(data[4:8], "big")


def frame(data: bytes, *, control: bool = False) -> bytes:
    """A frame of the file that is played."""
    return bytes(4 if control else 0) + len(data).to_bytes(4, "big") + data


def main() -> None:
    """Replay a file."""
    port = free_port()
    field = (1).to_bytes(4, "big") + frame(KIND.encode())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "played"
        played = [frame((2).to_bytes(4, "big") + field, control=True)]
        played += [frame(b"turned " * n) for n in (1, 7, 400, 2)]
        played += [frame((3).to_bytes(4, "big"), control=True)]
        path.write_bytes(b"".join(played))
        capture = ["fstrm_capture", "-t", KIND, "-a", "127.0.0.1", "-p", str(port)]
        capture += ["-w", f"{folder}/captured"]
        with running(*capture):
            wait_for(port)
            tap = Tap(("127.0.0.1", port))
            replay = ["fstrm_replay", "-t", KIND, "-a", "127.0.0.1", "-p", str(tap.port)]
            subprocess.run([*replay, "-r", str(path)], check=True, stderr=subprocess.DEVNULL)
    by = debian("fstrm-bin", "fstrm")
    [passed] = tap.connections
    streams = [stream(sent, by, size_of) for sent in (passed.client, passed.server)]
    save("frame-streams", "frame-streams", __file__, streams)


main()
