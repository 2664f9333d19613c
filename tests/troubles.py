"""Small programs that fail as many do, for docs/troubleshooting.md."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import sealframe
from sealframe import ClientOptions, Connection, ServerOptions
from sealframe.codecs import Json
from sealframe.framing import Framing, Magic
from sealframe.noise import CipherState


async def read_all(conn: Connection) -> None:
    """Serve one client: take what it says."""
    async for _ in conn:
        pass


async def knock(*data: bytes, **options: Any) -> None:
    """Send bytes to a server, and wait until it has closed."""
    async with sealframe.serve(read_all, "127.0.0.1", 0, **options) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.writelines(data)
        await reader.read()
        writer.close()


async def http_client() -> None:
    await knock(b"GET / HTTP/1.1\r\n\r\n")


async def tls_client() -> None:
    await knock(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


async def balancer() -> None:
    await knock(b"PROXY TCP4 192.0.2.1 192.0.2.7 40000 1234\r\n")


async def big_endian() -> None:
    await knock(b"\0\0\0\5hello")


async def pair(
    ours: dict[str, Any], theirs: dict[str, Any], handler: Callable[..., Awaitable[None]] = read_all
) -> None:
    """Connect a client to a server with other options, and receive."""
    async with sealframe.serve(handler, "127.0.0.1", 0, **ours) as server:
        async with sealframe.connect("127.0.0.1", server.port, **theirs) as conn:
            await conn.send(b"hello")
            await conn.recv()


async def sealed_client() -> None:
    await pair({}, {"security": sealframe.SharedKey.generate()})


async def plain_client() -> None:
    await pair({"security": sealframe.SharedKey.generate()}, {})


async def another_key() -> None:
    key, other = sealframe.SharedKey.generate(), sealframe.SharedKey.generate()
    await pair({"security": key}, {"security": other})


def identities(
    clients: dict[str, sealframe.PublicKey], patterns: tuple[str, ...] = ("XK",)
) -> tuple[sealframe.ServerIdentity, sealframe.PrivateKey, sealframe.PublicKey]:
    """Return a server's identity, the key of a client, and the server's public key."""
    key = sealframe.PrivateKey.generate()
    own = sealframe.PrivateKey.generate()
    return sealframe.ServerIdentity(key, clients, patterns=patterns), own, key.public_key


async def not_on_the_list() -> None:
    server, own, public = identities({})
    await pair({"security": server}, {"security": sealframe.ClientIdentity(own, server=public)})


async def unknown_server() -> None:
    server, own, _ = identities({}, ("XK", "XX"))
    client = sealframe.ClientIdentity(own, known_servers="known.txt")
    await pair({"security": server}, {"security": client})


async def bad_option() -> None:
    ServerOptions(max_message_size=0)


@asynccontextmanager
async def connected(
    client: dict[str, Any] | None = None, **server_options: Any
) -> AsyncIterator[Connection]:
    """Return a client of a server that takes all it says."""
    async with sealframe.serve(read_all, "127.0.0.1", 0, **server_options) as server:
        async with sealframe.connect("127.0.0.1", server.port, **(client or {})) as conn:
            yield conn


async def another_loop() -> None:
    async with connected() as conn:
        await asyncio.to_thread(asyncio.run, conn.send(b"x"))


async def ping_on_packets() -> None:
    async with connected() as conn:
        await conn.ping()


async def unknown_id() -> None:
    async with sealframe.serve(read_all, "127.0.0.1", 0) as server:
        server.kick("7")


async def too_large() -> None:
    options = ServerOptions(max_message_size=1000)
    async with connected({"extended": True}, options=options) as conn:
        await conn.send(bytes(2000))


async def full_queue() -> None:
    async with connected({"options": ClientOptions(outbox_limit=1000)}) as conn:
        # No turn of the loop in between.
        while True:
            conn.send_nowait(bytes(900))


async def no_json() -> None:
    Json().encode({1, 2})


async def not_json() -> None:
    Json().decode(b"hello")


async def nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    await sealframe.connect("127.0.0.1", port)


async def port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        async with sealframe.serve(read_all, "127.0.0.1", used.getsockname()[1]):
            pass


async def silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = ClientOptions(handshake_timeout=0.2)
        port = silent.getsockname()[1]
        async with sealframe.connect("127.0.0.1", port, extended=True, options=options):
            pass


async def open_key() -> None:
    sealframe.SharedKey.generate().save("shared.key")
    Path("shared.key").chmod(0o644)
    sealframe.SharedKey.load("shared.key")


async def no_key() -> None:
    sealframe.SharedKey.load("shared.key")


async def changed_ciphertext() -> None:
    key = os.urandom(32)
    sealed = bytearray(CipherState(key).seal(b"hello"))
    sealed[0] ^= 1
    CipherState(key).open(sealed)


async def closed_here() -> None:
    async with connected() as conn:
        pass
    await conn.send(b"x")


async def cut_short() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x64\0\0\0ab")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        async with sealframe.connect(*server.sockets[0].getsockname()) as conn:
            await conn.recv()


async def no_close() -> None:
    done = asyncio.Event()

    async def handler(conn: Connection) -> None:
        await read_all(conn)

    async def closed(*_: object) -> None:
        done.set()

    async with sealframe.serve(handler, "127.0.0.1", 0, on_disconnect=closed) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        async with sealframe.connect(sock=sock.dup(), extended=True) as conn:
            await conn.send(b"x")
            await conn.ping()
            sock.shutdown(socket.SHUT_WR)
            sock.close()
            await done.wait()


async def failing_request() -> None:
    async def answer(conn: Connection, payload: bytes) -> bytes:
        raise ValueError("no such thing")

    async with connected({"extended": True}, on_request=answer) as conn:
        await conn.request(b"x")


async def no_answer() -> None:
    async def answer(conn: Connection, payload: bytes) -> bytes:
        await asyncio.sleep(60)
        return b""

    async with connected({"extended": True}, on_request=answer) as conn:
        await conn.request(b"x", timeout=0.1)


async def take(stream: sealframe.Stream) -> None:
    """Read a stream to its end."""
    async for _ in stream:
        pass


async def ended_stream() -> None:
    async with connected({"extended": True}, on_stream=take) as conn:
        async with await conn.open_stream() as stream:
            await stream.end()
            await stream.write(b"x")


async def unwanted_stream() -> None:
    async def refuse(stream: sealframe.Stream) -> None:
        stream.reset(16, "enough")

    async with connected({"extended": True}, on_stream=refuse) as conn:
        async with await conn.open_stream() as stream:
            await stream.read()


async def length_over_limit() -> None:
    Framing(maximum=100).decoder().feed(b"\1\2\3\4")


async def small_length() -> None:
    Framing(includes_header=True).decoder().feed(b"\0\0\0\0")


async def another_magic() -> None:
    Framing(offset=2, width=2, magic=Magic(b"SF")).decoder().feed(b"AB\0\0")


async def incomplete_frame() -> None:
    decoder = Framing().decoder()
    decoder.feed(b"\x64\0\0\0ab")
    decoder.finish()


TROUBLES: Final[dict[str, Callable[[], Coroutine[Any, Any, None]]]] = {
    "an HTTP client": http_client,
    "a TLS client": tls_client,
    "a load balancer": balancer,
    "a big-endian client": big_endian,
    "a sealed client of a plain server": sealed_client,
    "a plain client of a sealed server": plain_client,
    "another key": another_key,
    "an option that cannot be": bad_option,
    "another loop": another_loop,
    "ping on packets": ping_on_packets,
    "an id that is not there": unknown_id,
    "too large to send": too_large,
    "a full queue": full_queue,
    "no JSON": no_json,
    "not JSON": not_json,
    "nobody there": nobody_there,
    "a port in use": port_in_use,
    "silence": silence,
    "not on the list": not_on_the_list,
    "a server that is not known": unknown_server,
    "a key that is open to others": open_key,
    "no key file": no_key,
    "a changed ciphertext": changed_ciphertext,
    "closed here": closed_here,
    "cut inside a message": cut_short,
    "no close": no_close,
    "a request that fails there": failing_request,
    "no answer": no_answer,
    "a stream of which this end is done": ended_stream,
    "a stream that the peer does not want": unwanted_stream,
    "a length over the limit": length_over_limit,
    "a length that is too small": small_length,
    "another magic": another_magic,
    "the end inside a frame": incomplete_frame,
}
"""What each does, by the name under which the page quotes it."""
