"""Blocking sockets that move the same bytes in large pieces: what the kernel can do at best.

Nothing is parsed and nothing is checked, so this is a bound and no competitor.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from ..job import HOST, Job

HEAD: Final = struct.Struct("<i")
PIECE: Final = 256 * 1024


def one_way_server(job: Job) -> None:
    """Receive and count bytes."""
    with socket.create_server((HOST, 0)) as listener:
        job.listening(listener.getsockname()[1])
        sock, _ = listener.accept()
    buffer, each = bytearray(PIECE), HEAD.size + job.size
    with sock:
        missing = job.warm_up * each
        while missing > 0:
            missing -= sock.recv_into(buffer, min(PIECE, missing))
        job.meter.start()
        missing = job.count * each
        while missing > 0:
            missing -= sock.recv_into(buffer)
        job.meter.stop()


def one_way_client(job: Job) -> None:
    """Send what has been joined before."""
    frames = [HEAD.pack(job.size) + payload for payload in job.payloads]
    each = HEAD.size + job.size
    in_piece = max(1, PIECE // each)
    piece = memoryview(b"".join(frames[n % len(frames)] for n in range(in_piece)))
    with socket.create_connection((HOST, job.port)) as sock:

        def send(count: int) -> None:
            for _ in range(count // in_piece):
                sock.sendall(piece)
            sock.sendall(piece[: count % in_piece * each])

        send(job.warm_up)
        job.meter.start()
        send(job.count)
        job.meter.stop()
