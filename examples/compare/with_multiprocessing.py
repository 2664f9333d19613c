"""multiprocessing.connection: Listener and Client, blocking, with an authentication key.

Source: https://docs.python.org/3/library/multiprocessing.html#module-multiprocessing.connection
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from queue import Empty, SimpleQueue

from .lab import HOST, SECRET, Fact, Proxy, free_port
from .tallies import Audience, Cancelled, Tally, send_to_sleeper

KEY = b"a key that both programs have"
Conn = Connection


@contextlib.contextmanager
def serving(
    handler: Callable[[Conn], object], key: bytes | None = KEY, port: int = 0
) -> Iterator[int]:
    """Serve each client in a thread of its own; yield the port."""
    listener = Listener((HOST, port), authkey=key)

    def serve_one(conn: Conn) -> None:
        with contextlib.suppress(EOFError, OSError), conn:
            handler(conn)

    def accept() -> None:
        while True:
            try:
                conn = listener.accept()
            except (AuthenticationError, EOFError, ConnectionError):
                continue
            except OSError:
                return
            threading.Thread(target=serve_one, args=(conn,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    address = listener.address
    assert isinstance(address, tuple)
    yield int(address[1])
    listener.close()


async def connect(port: int, key: bytes | None = KEY) -> Conn:
    return await asyncio.to_thread(Client, (HOST, port), authkey=key)


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, int]]:
    """Without a key: its challenge is a first message that no other program answers."""

    def handler(conn: Conn) -> None:
        while True:
            conn.send_bytes(conn.recv_bytes())

    with serving(handler, key=None) as port:
        yield port, port


async def ask(port: int) -> bytes:
    with await connect(port, None) as conn:
        conn.send_bytes(b"hello")
        return await asyncio.to_thread(conn.recv_bytes)


async def starts_first() -> Fact:
    async def client() -> bytes:
        return await asyncio.to_thread((await connect(port)).recv_bytes)

    port = free_port()
    waiting = asyncio.create_task(client())
    await asyncio.sleep(0.5)
    with serving(lambda conn: conn.send_bytes(b"welcome"), port=port):
        try:
            return {"connected": await waiting == b"welcome"}
        except OSError:
            return {"connected": False}


async def cut() -> Fact:
    tally = Tally()

    def handler(conn: Conn) -> None:
        while True:
            tally.take(conn.recv_bytes())

    with serving(handler) as port:
        async with Proxy(port, Tally.CUT_AFTER) as proxy:
            conn = await connect(proxy.port)
            async for message in tally.messages():
                try:
                    await asyncio.to_thread(conn.send_bytes, message)
                except OSError:
                    tally.failed(message)
                    conn = await connect(proxy.port)  # this line is the program's
            return await tally.fact("no")


async def dying() -> Fact:
    with serving(lambda _: threading.Event().wait(2)) as port:
        async with Proxy(port) as proxy:
            conn = await connect(proxy.port)
            proxy.stall()
            cutting = asyncio.create_task(proxy.cut_soon())
            try:
                conn.send_bytes(b"the last words")
                conn.close()
                outcome = "silent"
            except OSError:
                outcome = "told"
            await cutting
            return {"outcome": outcome}


async def slow_reader() -> Fact:
    asleep = threading.Event()
    with serving(lambda _: asleep.wait(20)) as port:
        conn = await connect(port)
        fact = await send_to_sleeper(lambda message: asyncio.to_thread(conn.send_bytes, message))
        asleep.set()
    return fact


async def broadcast() -> Fact:
    audience = Audience()
    conns: list[Conn] = []
    gone = threading.Event()
    loop = asyncio.get_running_loop()

    def handler(conn: Conn) -> None:
        conns.append(conn)
        gone.wait()

    def listen(conn: Conn, listener: int) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                hearing = audience.hear(listener, conn.recv_bytes())
                asyncio.run_coroutine_threadsafe(hearing, loop).result()

    async def send(message: bytes) -> None:
        for conn in conns:
            await asyncio.to_thread(conn.send_bytes, message)

    with serving(handler) as port:
        clients = [await connect(port) for _ in range(3)]
        while len(conns) < 3:
            await asyncio.sleep(0.01)
        for listener in (0, 1):
            listening = threading.Thread(
                target=listen, args=(clients[listener], listener), daemon=True
            )
            listening.start()
        fact = await audience.broadcast(send)
        gone.set()
    return fact


async def cancelled() -> Fact:
    """It blocks and cannot be cancelled: ``poll`` with a time-out is what it has instead."""
    cancelling = Cancelled()

    def handler(conn: Conn) -> None:
        for message in cancelling.messages():
            conn.send_bytes(message)
        conn.poll(None)

    def recv() -> bytes:
        if not conn.poll(0.002):
            raise TimeoutError
        return conn.recv_bytes()

    async def recv_alone() -> bytes:
        # Once begun, it is waited for: a thread cannot be cancelled.
        return await asyncio.shield(asyncio.create_task(asyncio.to_thread(recv)))

    with serving(handler) as port:
        conn = await connect(port)
        good = set[int]()
        empty = 0
        while len(good) < Cancelled.COUNT and empty < 500:
            try:
                message = await recv_alone()
            except TimeoutError:
                empty += 1
                continue
            number = int.from_bytes(message[:4])
            if message == number.to_bytes(4) * 65536:
                good.add(number)
        conn.close()
    return {"lost": Cancelled.COUNT - len(good)}


async def private() -> Fact:
    def handler(conn: Conn) -> None:
        conn.send_bytes(conn.recv_bytes())

    async def talks(port: int, key: bytes) -> bool:
        with contextlib.suppress(AuthenticationError, EOFError, OSError):
            with await connect(port, key) as conn:
                conn.send_bytes(SECRET)
                return await asyncio.to_thread(conn.recv_bytes) == SECRET
        return False

    with serving(handler) as port, serving(handler, b"another key") as impostor:
        async with Proxy(port) as proxy:
            return {
                "works": await talks(proxy.port, KEY),
                "encrypted": SECRET not in proxy.seen,
                "stranger_refused": not await talks(port, b"a stranger's"),
                "impostor_refused": not await talks(impostor, KEY),
                "without_certificates": True,
            }


async def requests() -> Fact:
    def handler(conn: Conn) -> None:
        sending = threading.Lock()

        def answer(number: int, payload: bytes) -> None:
            threading.Event().wait(0.1 * (5 - int(payload)))
            with sending, contextlib.suppress(OSError):
                conn.send((number, b"answer to " + payload))

        while True:
            number, payload = conn.recv()
            threading.Thread(target=answer, args=(number, payload), daemon=True).start()

    pending: dict[int, SimpleQueue[bytes]] = {}
    numbers = itertools.count()
    sending = threading.Lock()

    def dispatch(conn: Conn) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                number, payload = conn.recv()
                if waiting := pending.pop(number, None):
                    waiting.put(payload)

    def request(payload: bytes, timeout: float | None = None) -> bytes:
        number, waiting = next(numbers), SimpleQueue[bytes]()
        pending[number] = waiting
        with sending:
            conn.send((number, payload))
        try:
            return waiting.get(timeout=timeout)
        finally:
            pending.pop(number, None)

    with serving(handler) as port:
        conn = await connect(port)
        threading.Thread(target=dispatch, args=(conn,), daemon=True).start()
        answers = await asyncio.gather(
            *(asyncio.to_thread(request, b"%d" % number) for number in range(5))
        )
        try:
            await asyncio.to_thread(request, b"-100", timeout=0.2)
            late = False
        except Empty:
            late = True
        return {
            "own": answers == [b"answer to %d" % number for number in range(5)],
            "timed_out": late,
        }


async def file(source: Path, folder: Path) -> Fact:
    def handler(conn: Conn) -> None:
        name = Path(conn.recv()).name
        part, digest = folder / f".{name}.part", hashlib.sha256()
        with part.open("wb") as file:
            while chunk := conn.recv_bytes():
                digest.update(chunk)
                file.write(chunk)
        if conn.recv_bytes() == digest.digest():
            part.rename(folder / name)
            conn.send("arrived")
        else:
            part.unlink()
            conn.send("damaged")

    def send() -> None:
        conn.send(source.name)
        digest = hashlib.sha256()
        with source.open("rb") as file:
            while chunk := file.read(65536):
                digest.update(chunk)
                conn.send_bytes(chunk)
        conn.send_bytes(b"")
        conn.send_bytes(digest.digest())
        if conn.recv() != "arrived":
            raise OSError("the file did not arrive")

    with serving(handler) as port:
        conn = await connect(port)
        await asyncio.to_thread(send)
    return {}


async def away() -> Fact:
    got: list[bytes] = []
    port = free_port()
    with contextlib.suppress(OSError):
        (await connect(port)).send_bytes(b"for later")
    with serving(lambda conn: got.append(conn.recv_bytes()), port=port):
        await asyncio.sleep(1)
    return {"delivered": got == [b"for later"]}


async def python_object(value: object) -> object:
    with serving(lambda conn: conn.send(value)) as port:
        with await connect(port) as conn:
            return await asyncio.to_thread(conn.recv)
