"""multiprocessing.connection: blocking, one thread, in the standard library."""

from __future__ import annotations

import os
import socket
from multiprocessing.connection import Client, Connection, Listener

from ..job import HOST, Job


def no_delay(connection: Connection) -> Connection:
    """Let a large message's head not wait for an acknowledgement; it offers no option for this."""
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def accept(job: Job) -> Connection:
    """Return the connection of the one client."""
    with Listener((HOST, 0), "AF_INET") as listener:
        job.listening(listener.address[1])
        return no_delay(listener.accept())


def connect(job: Job) -> Connection:
    """Connect to the server."""
    return no_delay(Client((HOST, job.port), "AF_INET"))


def one_way_server(job: Job) -> None:
    """Receive the messages and check them."""
    with accept(job) as connection:
        check, checksum = job.check, 0
        for _ in range(job.warm_up):
            checksum = check(connection.recv_bytes(), checksum)
        job.meter.start()
        for _ in range(job.count):
            checksum = check(connection.recv_bytes(), checksum)
        job.meter.stop()
        job.checksum = checksum


def one_way_client(job: Job) -> None:
    """Send the messages."""
    payloads, different = job.payloads, len(job.payloads)
    with connect(job) as connection:
        for number in range(job.warm_up):
            connection.send_bytes(payloads[number % different])
        job.meter.start()
        for number in range(job.warm_up, job.warm_up + job.count):
            connection.send_bytes(payloads[number % different])
    job.meter.stop()


def round_trip_server(job: Job) -> None:
    """Echo, to one client."""
    with accept(job) as connection:
        message = connection.recv_bytes()
        job.meter.start()
        connection.send_bytes(message)
        for _ in range(1, job.warm_up + job.count):
            connection.send_bytes(connection.recv_bytes())
        job.meter.stop()


def round_trip_client(job: Job) -> None:
    """Ask, wait for the echo, ask again, on one connection."""
    payloads, different, check, checksum = job.payloads, len(job.payloads), job.check, 0
    with connect(job) as connection:
        for number in range(job.warm_up):
            connection.send_bytes(payloads[number % different])
            checksum = check(connection.recv_bytes(), checksum)
        job.meter.start()
        for number in range(job.warm_up, job.warm_up + job.count):
            connection.send_bytes(payloads[number % different])
            checksum = check(connection.recv_bytes(), checksum)
        job.meter.stop()
        job.checksum = checksum
