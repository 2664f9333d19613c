"""fcgi-client and fcgiproto: ``pip install fcgi-client==0.0.1 fcgiproto==1.0.2``."""

from __future__ import annotations

import socket
import threading

from fcgi_client import FastCGIClient
from fcgiproto import FastCGIConnection, RequestBeginEvent, RequestDataEvent

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """Section 3.3: 8 bytes of header, content, padding."""
    return 8 + int.from_bytes(data[4:6], "big") + data[6]


def answer(listener: socket.socket) -> None:
    """Answer each request with what it had."""
    while True:
        connection, _ = listener.accept()
        with connection:
            server = FastCGIConnection()
            over, body = False, b""
            while not over and (data := connection.recv(65_536)):
                for event in server.feed_data(data):
                    if isinstance(event, RequestBeginEvent):
                        server.send_headers(event.request_id, [(b"Content-Type", b"text/plain")])
                    elif isinstance(event, RequestDataEvent):
                        body += event.data
                        if over := not event.data:
                            server.send_data(event.request_id, b"<%b>" % body, end_request=True)
                connection.sendall(server.data_to_send())


def main() -> None:
    """Post little and more."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=answer, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    for body in ("", "bolt", "n" * 301):
        client = FastCGIClient(f"127.0.0.1:{tap.port}")
        client.request({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))}, body)
    streams = []
    for passed in tap.connections:
        streams.append(stream(passed.client, package("fcgi-client"), size_of))
        streams.append(stream(passed.server, package("fcgiproto"), size_of))
    save("fastcgi", "fastcgi", __file__, streams)


main()
