"""pyzmq: DEALER sockets, REQ and REP for requests, and the blocking API, encrypted with CURVE.

libzmq writes and reads in a thread of its own, which puts small messages together by itself:
there is nothing to batch by hand. The blocking API spares it an event loop. Large messages go one
way in frames, which are sent without a copy, from the size on that pyzmq's own threshold has.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Final

import zmq

from ..job import HOST, Job

SEALED: Final = True

_QUEUE: Final = 1024 * 1024
"""Bytes that each queue may hold: larger ones are no faster, as they leave the cache."""


def make_socket(context: zmq.Context[zmq.Socket[bytes]], job: Job, kind: int) -> zmq.Socket[bytes]:
    """Return a socket whose queues are bounded."""
    socket = context.socket(kind)
    socket.set_hwm(max(2, _QUEUE // job.size))
    return socket


def listen(job: Job, socket: zmq.Socket[bytes]) -> None:
    """Accept connections."""
    if job.sealed:
        public, secret = zmq.curve_keypair()
        key_file(job).write_bytes(public)
        socket.curve_server = True
        socket.curve_secretkey = secret
    job.listening(socket.bind_to_random_port(f"tcp://{HOST}"))


def connect(job: Job, socket: zmq.Socket[bytes]) -> None:
    """Connect to the server."""
    if job.sealed:
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.curve_serverkey = key_file(job).read_bytes()
    socket.connect(f"tcp://{HOST}:{job.port}")


def key_file(job: Job) -> Path:
    """Return where the client finds the server's public key."""
    return Path(job.directory, "curve.key")


def receiver(job: Job, socket: zmq.Socket[bytes]) -> Callable[[], bytes]:
    """Return what receives one message."""
    receive: Callable[[], bytes] = socket.recv
    if job.size < zmq.COPY_THRESHOLD:
        return receive
    return lambda: socket.recv(copy=False).bytes


def one_way_server(job: Job) -> None:
    """Receive the messages and check them."""
    with zmq.Context() as context, make_socket(context, job, zmq.DEALER) as socket:
        listen(job, socket)
        receive, check, checksum = receiver(job, socket), job.check, 0
        for _ in range(job.warm_up):
            checksum = check(receive(), checksum)
        job.meter.start()
        for _ in range(job.count):
            checksum = check(receive(), checksum)
        job.meter.stop()
        job.checksum = checksum


def one_way_client(job: Job) -> None:
    """Send the messages."""
    with zmq.Context() as context:
        payloads, different = job.payloads, len(job.payloads)
        copy = job.size < zmq.COPY_THRESHOLD
        with make_socket(context, job, zmq.DEALER) as socket:
            connect(job, socket)
            for number in range(job.warm_up):
                socket.send(payloads[number % different], 0, copy=copy)
            job.meter.start()
            for number in range(job.warm_up, job.warm_up + job.count):
                socket.send(payloads[number % different], 0, copy=copy)
        # The socket lingers until all is sent, and the context waits for it.
    job.meter.stop()


def round_trip_server(job: Job) -> None:
    """Echo."""
    kind = zmq.DEALER if job.connections == 1 else zmq.ROUTER
    with zmq.Context() as context, make_socket(context, job, kind) as socket:
        listen(job, socket)
        message = socket.recv_multipart()
        job.meter.start()
        socket.send_multipart(message)
        for _ in range(1, job.warm_up + job.count):
            socket.send_multipart(socket.recv_multipart())
        job.meter.stop()


def round_trip_client(job: Job) -> None:
    """Ask, wait for the echo, ask again."""
    with zmq.Context() as context:
        context.max_sockets = job.connections + 1
        requesters = []
        for _ in range(job.connections):
            socket = make_socket(context, job, zmq.DEALER)
            connect(job, socket)
            requesters.append(Requester(job, socket))
        exchange = exchange_one if job.connections == 1 else exchange_all
        exchange(requesters, job.warm_up // job.connections)
        job.meter.start()
        exchange(requesters, job.count // job.connections)
        job.meter.stop()
        job.checksum = requesters[0].checksum
        context.destroy()


def request_server(job: Job) -> None:
    """Answer requests with what they say."""
    with zmq.Context() as context, make_socket(context, job, zmq.REP) as socket:
        listen(job, socket)
        payload = socket.recv()
        job.meter.start()
        socket.send(payload)
        for _ in range(1, job.warm_up + job.count):
            socket.send(socket.recv())
        job.meter.stop()


def request_client(job: Job) -> None:
    """Request, wait for the answer, request again."""
    with zmq.Context() as context, make_socket(context, job, zmq.REQ) as socket:
        connect(job, socket)
        requester = Requester(job, socket)
        exchange_one([requester], job.warm_up)
        job.meter.start()
        exchange_one([requester], job.count)
        job.meter.stop()
        job.checksum = requester.checksum


class Requester:
    """One connection."""

    def __init__(self, job: Job, socket: zmq.Socket[bytes]) -> None:
        self.socket, self.payloads = socket, cycle(job.payloads)
        self.check, self.checksum = job.check, 0

    def ask(self) -> None:
        """Send the next message."""
        self.socket.send(next(self.payloads))

    def take(self) -> None:
        """Take its echo, which must be there or come."""
        self.checksum = self.check(self.socket.recv(), self.checksum)


def exchange_one(requesters: list[Requester], count: int) -> None:
    """Make ``count`` exchanges on the only connection."""
    (requester,) = requesters
    for _ in range(count):
        requester.ask()
        requester.take()


def exchange_all(requesters: list[Requester], count: int) -> None:
    """Make ``count`` exchanges on each connection, on all at once."""
    if not count:
        return
    poller = zmq.Poller()
    missing = {}
    for requester in requesters:
        poller.register(requester.socket, zmq.POLLIN)
        missing[requester.socket] = (requester, count)
        requester.ask()
    while missing:
        for socket, _ in poller.poll():
            requester, left = missing[socket]
            requester.take()
            if left > 1:
                missing[socket] = (requester, left - 1)
                requester.ask()
            else:
                del missing[socket]
