"""For the recorders: a proxy that keeps what passes, and the file that it becomes.

A recorder runs outside CI, by hand, with the package that it records installed and nothing of
sealframe::

    pip install pymodbus==3.16.1
    cd tests/framing/layouts
    python -m recorders.record_modbus_tcp

It writes ``recorded/NAME.json`` anew; see ``recordings.py`` for what is in there.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

Cut = Callable[[bytes], int]
"""Given what follows the frame before, returns the size of the next frame."""

FOLDER = Path(__file__).parents[1] / "recorded"


def package(name: str) -> str:
    """Return a distribution's name and version, as ``by`` of a stream."""
    return f"{name} {version(name)}"


@dataclass
class Sent:
    """What one end sent."""

    sender: Literal["client", "server"]
    reads: list[bytes] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        """All of it."""
        return b"".join(self.reads)


@dataclass
class Connection:
    """What passed over one connection."""

    client: Sent = field(default_factory=lambda: Sent("client"))
    server: Sent = field(default_factory=lambda: Sent("server"))


class Tap:
    """A proxy before a server: listens on a port of its own and keeps what passes.

    :ivar port: where clients are to connect
    :ivar connections: what has passed, oldest connection first
    """

    def __init__(self, target: tuple[str, int], port: int = 0, host: str = "127.0.0.1") -> None:
        self._target = target
        self._listener = socket.create_server((host, port))
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[Connection] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def _run(self, function: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=function, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            connection = Connection()
            self.connections.append(connection)
            self._run(self._pump, client, server, connection.client)
            self._run(self._pump, server, client, connection.server)

    @staticmethod
    def _pump(source: socket.socket, drain: socket.socket, sent: Sent) -> None:
        try:
            while data := source.recv(65_536):
                sent.reads.append(data)
                drain.sendall(data)
            drain.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def free_port() -> int:
    """Return a port that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def cut_at_writes(sent: Sent) -> list[bytes]:
    """Each read is a frame: where the package writes one frame at a time and waits."""
    return list(sent.reads)


def cut(data: bytes, size_of: Cut) -> tuple[list[bytes], bytes]:
    """Cut a stream by the sizes that a function tells; return the frames and what is left.

    The function raises :exc:`IndexError` or :exc:`struct.error` where too little is there.
    """
    frames = []
    place = 0
    while place < len(data):
        try:
            size = size_of(data[place:])
        except Exception:  # noqa: BLE001 (whatever a cut raises on a part of a head)
            break
        if size <= 0 or place + size > len(data):
            break
        frames.append(data[place : place + size])
        place += size
    return frames, data[place:]


def stream(
    sent: Sent, by: str, size_of: Cut | None = None, *, preamble: int = 0, most: int = 0
) -> dict[str, object]:
    """Return one stream of the file.

    :param size_of: cuts the frames; without it each read is one
    :param preamble: bytes before the first frame
    :param most: frames that are kept, where there are many; 0 keeps all
    """
    data = sent.data
    rest = b""
    if size_of is None:
        frames = cut_at_writes(sent)
    else:
        frames, rest = cut(data[preamble:], size_of)
    if most and len(frames) > most:
        frames, rest = frames[:most], b""
    kept = preamble + sum(map(len, frames)) + len(rest)
    reads = []
    for read in sent.reads:
        if kept:
            reads.append(min(kept, len(read)))
            kept -= reads[-1]
    return {
        "sender": sent.sender,
        "by": by,
        "preamble": data[:preamble].hex(),
        "frames": [frame.hex() for frame in frames],
        "rest": rest.hex(),
        "reads": reads,
    }


def save(name: str, entry: str, recorder: str, streams: list[dict[str, object]]) -> None:
    """Write ``recorded/NAME.json``, and say what is in it."""
    content = {"entry": entry, "recorder": Path(recorder).name, "streams": streams}
    text = json.dumps(content, indent=1) + "\n"
    (FOLDER / f"{name}.json").write_text(text, encoding="ascii")
    for one in streams:
        frames = one["frames"]
        assert isinstance(frames, list)
        print(name, one["sender"], one["by"], len(frames), "frames, left over:", one["rest"])


def wait_for(port: int) -> None:
    """Wait until a server on this machine accepts connections."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            continue
        return
