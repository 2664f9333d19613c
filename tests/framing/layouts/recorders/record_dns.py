"""dnspython, whose client asks a server made of it: ``pip install dnspython==2.9.2``."""

from __future__ import annotations

import socket
import threading

import dns.message
import dns.query
import dns.rrset

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """RFC 1035, 4.2.2: two bytes of length."""
    return 2 + int.from_bytes(data[:2], "big")


def serve(listener: socket.socket) -> None:
    """Answer with a few, and then with many addresses."""
    connection, _ = listener.accept()
    for count in (0, 1, 60):
        query, _ = dns.query.receive_tcp(connection)
        reply = dns.message.make_response(query)
        if count:
            addresses = [f"192.0.2.{number}" for number in range(count)]
            reply.answer.append(dns.rrset.from_text("example.com.", 60, "IN", "A", *addresses))
        dns.query.send_tcp(connection, reply)


def main() -> None:
    """Three questions over one connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    with socket.create_connection(("127.0.0.1", tap.port)) as link:
        link.setblocking(False)
        for name in ("a.example.com", "example.com", "www.example.com"):
            dns.query.tcp(
                dns.message.make_query(name, "A", want_dnssec=True), "127.0.0.1", sock=link
            )
    by = package("dnspython")
    [connection] = tap.connections
    save(
        "dns",
        "dns-tcp",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
