"""A plain TCP socket over a link: blocking calls, whose options are those of the system."""

from __future__ import annotations

import contextlib
import socket
import time

from ..job import Job
from ..links.ticks import LOST, TICK, Ticks
from .raw_socket import PIECE

RTO_MAX_MS = 44
"""TCP_RTO_MAX_MS of Linux 6.15."""


def bulk_server(job: Job) -> None:
    """Receive so many bytes, and answer with one."""
    with socket.create_server((job.host, 0)) as listener:
        job.listening(listener.getsockname()[1])
        sock, _ = listener.accept()
    buffer, missing = bytearray(PIECE), job.count * job.size
    with sock:
        while missing:
            missing -= sock.recv_into(buffer, min(PIECE, missing))
        sock.sendall(b"!")
        sock.recv(1)


def bulk_client(job: Job) -> None:
    """Send them, in pieces of a message's size, and wait for the answer."""
    payloads, different = job.payloads, len(job.payloads)
    with socket.create_connection((job.host, job.port)) as sock:
        job.meter.start()
        for number in range(job.count):
            sock.sendall(payloads[number % different])
        sock.recv(1)
        job.meter.stop()


def cut_server(job: Job) -> None:
    """Write down when something comes."""
    with socket.create_server((job.host, 0)) as listener:
        job.listening(listener.getsockname()[1])
        sock, _ = listener.accept()
    ticks = Ticks(job)
    sock.settimeout(LOST)
    with sock, contextlib.suppress(OSError):
        while sock.recv(PIECE):
            ticks.came()
    ticks.report()


def cut_client(job: Job) -> None:
    """Send a few bytes, again and again."""
    with socket.create_connection((job.host, job.port)) as sock:
        if limit := job.extra.get("rto_max_ms"):
            sock.setsockopt(socket.IPPROTO_TCP, RTO_MAX_MS, limit)
        with contextlib.suppress(OSError):
            for _ in range(job.count):
                sock.sendall(job.payloads[0])
                time.sleep(TICK)
