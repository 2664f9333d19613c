"""Programs with sessions, on a :class:`~.network.Network`: what they send, get, store and are told.

The library is the real one, whole: a server with its keeper, table and adoption, clients with their
links, outbox and close. Here are the programs alone, and the books of what they were promised.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    NotSupportedError,
    Outbox,
    OutboxError,
    OutboxLockedError,
    RequestError,
    SendQueueFullError,
    ServerOptions,
    SessionInfo,
    SessionLostError,
    Sessions,
    UnknownClientError,
)
from sealframe.aio.connection import protocol_of
from sealframe.wire import MESSAGE_OVERHEAD
from sealframe.wire.control import Close

from .network import Loop, Network

KEEP: Final = 30.0
"""Seconds for which the server keeps a session without a link."""
LIMIT: Final = 2048
"""Cost of what an end keeps until it is acknowledged."""
LARGEST: Final = 400
"""Bytes of a message at most."""
ROOM: Final = 1024
"""Cost of what may wait to be taken."""
BOUND: Final = 2 * LIMIT + ROOM + 3 * (LARGEST + MESSAGE_OVERHEAD)
"""Of all that was accepted and not taken: it waits in the send queue, to be acknowledged or to be
taken, and in each of these one message may pass the bound."""
_SMALL: Final[dict[str, Any]] = {"outbox_limit": LIMIT, "inbox_limit": ROOM, "close_timeout": 5.0}
SERVER: Final = ServerOptions(**_SMALL)
CLIENT: Final = ClientOptions(**_SMALL, backoff_initial=0.1, backoff_maximum=1.0)


class Worker:
    """Does at once what a thread does for an outbox: a thread has no place in a schedule."""

    def start(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        done = asyncio.get_running_loop().create_future()
        try:
            done.set_result(function(*args, **kwargs))
        except (OutboxError, ValueError) as error:
            done.set_exception(error)
            done.exception()
        return done

    async def finish(self, running: asyncio.Future[Any]) -> Any:
        return await running

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self.start(function, *args, **kwargs)

    def close(self) -> None:
        pass


class Book:
    """The messages of one sender, numbered from 0: what was accepted, and what has come.

    :ivar count: how many were accepted
    :ivar got: what the other program has got; with positions, what it has stored
    :ivar excused: those that may be missing: a file that went back forgot them, a process was
        killed with them, or nobody was told whether they were accepted
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.cost = 0
        """Of all that was accepted and has not come, in bytes."""
        self._costs: dict[int, int] = {}
        self.got: list[int] = []
        self.doubled: list[int] = []
        """Those that came again after a loss of power, where they may."""
        self._last = -1
        """The one that came last."""
        self.excused: set[int] = set()
        self.cut_short = False
        """Whether a process was killed, or a client put out, with some that had come."""
        self.left = False
        """Whether the program that takes them has ended before it had all."""
        self.went_back = False
        """Whether the file they are in went back, so that it has forgotten which of them were given
        to a link, and no server has told it since."""

    def next_message(self, size: int) -> bytes:
        message = b"%s:%d:" % (self.name.encode(), self.count) + bytes(size)
        self._costs[self.count] = cost = len(message) + MESSAGE_OVERHEAD
        self.cost += cost
        self.count += 1
        return message

    def take_back(self) -> None:
        """The last one was refused."""
        self.count -= 1
        self.cost -= self._costs.pop(self.count)

    def begin_anew(self) -> None:
        """Their session was lost, and another one begins. What the file does not know to have been
        given to a link comes again."""
        self.excused.update(self.missing)
        if self.went_back:
            self.went_back = False
            self._last = -1

    def receive(self, number: int) -> None:
        """Check that a message comes in its turn, and note it."""
        last = self._last
        assert number > last, f"{self.name}: {number} came after {last}"
        skipped = set(range(last + 1, number)) - self.excused - set(self.got)
        assert not skipped or self.left, f"{self.name}: {min(skipped)} is missing before {number}"
        assert number < self.count, f"{self.name}: {number} was never accepted"
        self._last = number
        if number not in self._costs:
            self.doubled.append(number)
            return
        self.got.append(number)
        self.cost -= self._costs.pop(number)

    @property
    def missing(self) -> set[int]:
        """What was accepted and has not come."""
        return set(range(self.count)) - set(self.got) - self.excused


class End:
    """The program at one end of a connection. It asks for a message only when it is let.

    :ivar sent: the book of what it sends
    :ivar turns: how often it may ask for a message, or store one
    :ivar clean: what ``close()`` has returned
    :ivar error: with what receiving ended
    """

    def __init__(self, world: World, loop: Loop, conn: Connection, sent: Book) -> None:
        self.world, self.loop, self.conn, self.sent = world, loop, conn, sent
        self.turns = asyncio.Semaphore(0)
        self.error: ConnectionClosed | None = None
        self.over = False
        self.clean: bool | None = None
        self.leaving = False
        """Whether the program returns instead of asking for the next message."""
        self.names: list[str] = []
        """Of whose messages have come."""

    @property
    def alive(self) -> bool:
        return not self.over and self.loop in self.world.network.loops

    def got(self, message: bytes) -> Book:
        """Check who has sent a message; return the book it is in."""
        name, number, _ = message.split(b":", 2)
        book = self.world.books[name.decode()]
        if self.names[-1:] != [book.name]:
            assert book.name not in self.names, f"{book.name} is back"
            self.names.append(book.name)
        self.number = int(number)
        return book

    async def read(self) -> None:
        try:
            while True:
                await self.turns.acquire()
                if self.leaving:
                    return
                await self.take(await self.conn.recv())
        except ConnectionClosed as error:
            self.error = error
        except AssertionError as error:
            # A server goes on without a handler that failed.
            self.world.faults.append(error)
            raise
        finally:
            self.over = True

    async def take(self, message: bytes) -> None:
        self.got(message).receive(self.number)

    # What the test has it do

    def ask(self) -> None:
        """Send a request."""
        self.world.start(self.loop, self._ask(self.world.next_request()))

    async def _ask(self, payload: bytes) -> None:
        with contextlib.suppress(ConnectionClosed, RequestError, NotSupportedError):
            assert await self.conn.request(payload, timeout=20.0) == b"re " + payload

    def send(self, count: int, size: int) -> None:
        self.loop.call_soon(self._send, count, size)

    def _send(self, count: int, size: int) -> None:
        for _ in range(count):
            try:
                self.conn.send_nowait(self.sent.next_message(size))
            except (SendQueueFullError, ConnectionClosed):
                self.sent.take_back()
                return

    def close(self, code: int = CloseCode.NORMAL) -> None:
        self.world.start(self.loop, self._close(code))

    async def _close(self, code: int) -> None:
        self.clean = await self.conn.close(code)

    def told(self, error: SessionLostError) -> tuple[int, int]:
        """Return how many of its messages have come at least, and at most, as it was told."""
        acknowledged = error.arrived + error.discarded
        most = acknowledged + error.unknown
        assert most + error.unsent == self.sent.count, f"{self.sent.name}: {error!r}"
        return acknowledged, most

    def check(self) -> None:
        """Compare what the program was told with what is so, once all that came was taken."""
        if self.clean and not self.sent.cut_short:
            assert not self.sent.missing, f"{self.sent.name}: clean, without {self.sent.missing}"


class ClientEnd(End):
    """That of a client."""


class PlainEnd(ClientEnd):
    """That of a client without an outbox: each connection is a session of its own."""

    def check(self) -> None:
        super().check()
        if isinstance(self.error, SessionLostError):
            came = self.world.count_received(self.sent)
            acknowledged, most = self.told(self.error)
            assert acknowledged <= came <= most, f"{self.sent.name}: {self.error!r}, {came} came"


class StoringEnd(ClientEnd):
    """That of a client with an outbox."""

    def _send(self, count: int, size: int) -> None:
        self.world.start(self.loop, self._store(count, size))

    async def _store(self, count: int, size: int) -> None:
        for _ in range(count):
            number = self.sent.count
            message = self.sent.next_message(size)
            self.sent.excused.add(number)
            try:
                await self.conn.send(message)
            except (ConnectionClosed, OutboxError):
                return
            self.sent.excused.discard(number)


class ServerEnd(End):
    """That of a server's handler."""

    def __init__(self, world: World, loop: Loop, conn: Connection, sent: Book) -> None:
        super().__init__(world, loop, conn, sent)
        self.name = ""
        """That of its session, where there are positions."""
        with contextlib.suppress(NotSupportedError):
            # Else it has waited for HELLO for too long.
            self.name = conn.session.name
        self.before = len(self.position)
        self.is_out = False
        """Whether this end has put its client out."""
        self.peer: ClientEnd | None = None
        """The client's end, once that has read WELCOME."""

    @property
    def position(self) -> list[int]:
        """What is stored of the session."""
        return self.world.stored.setdefault(self.name, []) if self.name else []

    async def take(self, message: bytes) -> None:
        book, number = self.got(message), self.number
        if self.world.positions:
            await self.turns.acquire()
            if self.loop not in self.world.network.loops:
                return
            if self.is_out or self.conn.closed:
                # The client has not been told that it arrived, and may be in another session.
                return
            self.position.append(number)
            assert self.conn.position == len(self.position), "the position is another"
        book.receive(number)

    def put_out(self, *, withdraw: bool) -> None:
        """Have the server put its client out.

        :param withdraw: as where its key is taken out, else as by ``kick()``
        """
        self.loop.call_soon(self._put_out, withdraw)

    def _put_out(self, withdraw: bool) -> None:
        self.is_out = True
        if withdraw:
            # What server/revocation.py does: there are no keys here.
            code = CloseCode.UNAUTHORIZED
            error = ConnectionClosedError("the key was withdrawn", code=code)
            protocol_of(self.conn).closer.put_out(error, Close(code), drop_unsent=True)
        else:
            with contextlib.suppress(UnknownClientError):
                self.world.server.kick(self.conn.id)

    async def _close(self, code: int) -> None:
        self.is_out = self.is_out or code != CloseCode.NORMAL
        await super()._close(code)

    def leave(self) -> None:
        self.leaving = True
        if self.peer is not None:
            self.peer.sent.left = True
        self.turns.release()

    def check(self) -> None:
        super().check()
        if isinstance(self.error, SessionLostError):
            came = len(self.sent.got)
            acknowledged, most = self.told(self.error)
            assert came <= most, f"{self.sent.name}: {self.error!r}, {came} came"
            if not self.sent.cut_short:
                assert acknowledged <= came, f"{self.sent.name}: {self.error!r}, {came} came"


class Client:
    """A client's program: connects, and again where that fails or has ended.

    :param path: of its outbox; None: it has none
    """

    def __init__(self, world: World, name: str, path: Path | None) -> None:
        self.world, self.name, self.path = world, name, path
        self.loop: Loop | None = None
        self.end: ClientEnd | None = None
        self.book: Book | None = None
        self.sessions = 0
        self.starts = 0
        self.ending = False
        """Whether it does not connect again."""
        self.snapshots: list[tuple[tuple[int, int], bytes, bytes, int]] = []
        """What was in the file since it was last on the disk, and how much was accepted."""
        self.start()

    def start(self) -> None:
        self.starts += 1
        self.loop = self.world.network.process()
        self.world.start(self.loop, self._run(self.loop))

    async def _run(self, loop: Loop) -> None:
        while not self.ending:
            session: Any = True if self.path is None else Outbox(self.path, keep_free=0)
            try:
                conn = await sealframe.connect("127.0.0.1", 1, session=session, options=CLIENT)
            except SessionLostError:
                assert self.world.may_lose, "nothing could be lost"
                if self.book is not None:
                    self.book.begin_anew()
                await session.begin_anew(resend_unknown=False)
                continue
            except (OSError, ConnectionClosed, OutboxLockedError):
                await asyncio.sleep(0.7)
                continue
            if self.path is None or self.book is None:
                self.sessions += 1
                self.book = self.world.book(f"{self.name}.{self.sessions}")
            kind = PlainEnd if self.path is None else StoringEnd
            self.end = end = kind(self.world, loop, conn, self.book)
            self.world.ends.append(end)
            await end.read()
            if not await conn.close():
                # The program was told; it decides what becomes of them, here that they are lost.
                assert self.world.may_lose, f"nothing could be lost: {end.error!r}"
                self.book.excused.update(self.book.missing)

    def note(self) -> None:
        """Keep what is in the file now, in case it goes back to it."""
        if self.path is None or self.loop is None or self.book is None:
            return
        if self.end is not None and self.end.alive and self.end.conn.connected:
            self.book.went_back = False
        if str(self.path) in _synced:
            # It cannot go back to what was before that.
            _synced.discard(str(self.path))
            self.snapshots.clear()
        with contextlib.suppress(FileNotFoundError):
            log = Path(f"{self.path}-wal")
            written = log.stat().st_mtime_ns, log.stat().st_size
            if not self.snapshots or self.snapshots[-1][0] != written:
                content = self.path.read_bytes(), log.read_bytes()
                self.snapshots.append((written, *content, self.book.count))

    def kill(self, back: int | None) -> None:
        """End the process.

        :param back: by how many commits the file goes back, as after loss of power; None: by none
        """
        if self.loop is None:
            return
        self.note()
        self.world.network.kill(self.loop)
        self.loop = None
        if self.end is not None:
            for end in self.world.handlers:
                if end.peer is self.end:
                    end.sent.cut_short = True
        if self.path is None:
            return
        # What the killed process holds open is another file.
        path = self.path.with_name(f"{self.name}-{self.starts}.db")
        if self.snapshots:
            place = max(0, len(self.snapshots) - 1 - (back or 0))
            _, database, log, count = self.snapshots[place]
            path.write_bytes(database)
            Path(f"{path}-wal").write_bytes(log)
            path.chmod(0o600)
            assert self.book is not None
            if place < len(self.snapshots) - 1:
                self.book.excused.update(range(count, self.book.count))
                self.book.went_back = True
            self.path = path
        elif self.path.exists():
            for suffix in ("", "-wal"):
                if Path(f"{self.path}{suffix}").exists():
                    shutil.copy(f"{self.path}{suffix}", f"{path}{suffix}")
            self.path = path


_databases: list[sqlite3.Connection] = []
_connect = sqlite3.connect
_synced: set[str] = set()
"""The files whose content was on the disk at the end of some commit since this was last asked."""


class _Database(sqlite3.Connection):
    """Notes what its file keeps whatever happens."""

    file = ""
    _full = False

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        cursor = super().execute(sql, *parameters)
        if sql.startswith("PRAGMA synchronous="):
            self._full = sql.endswith("FULL")
        elif sql == "COMMIT" and self._full:
            _synced.add(self.file)
        return cursor


def open_database(file: str, **more: Any) -> sqlite3.Connection:
    """Open a database that :func:`close_databases` closes: a process that is killed does not."""
    connection: _Database = _connect(file, factory=_Database, **more)
    connection.file = file
    _databases.append(connection)
    return connection


def close_databases() -> None:
    """Close what processes had open when they were killed, or the schedule ended."""
    for connection in _databases:
        connection.close()
    _databases.clear()


class World:
    """One server at a time, its clients, and the network between them.

    :param folder: for outboxes; it is empty
    :param positions: whether the server's program stores how far it is
    """

    def __init__(self, folder: Path, *, positions: bool) -> None:
        self.positions = positions
        self.network = Network()
        self.books: dict[str, Book] = {}
        self.ends: list[End] = []
        self.stored: dict[str, list[int]] = {}
        """By session, what the server's program has stored: that outlives its processes."""
        self.tasks: set[asyncio.Task[Any]] = set()
        self.faults: list[BaseException] = []
        self.may_lose = not positions
        self.servers = 0
        self.taken = 0
        """Messages that programs have taken, when that was last counted."""
        self.server: Any = None
        self.server_loop: Loop | None = None
        self.asked = 0
        self.served: set[bytes] = set()
        self.slow = False
        """Whether the program takes its time to say how far it is."""
        self.open()
        paths = (None, folder / "b.db")
        self.clients = [Client(self, name, path) for name, path in zip("ab", paths, strict=True)]
        self.network.settle()

    def book(self, name: str) -> Book:
        assert name not in self.books
        self.books[name] = Book(name)
        return self.books[name]

    def start(self, loop: Loop, coroutine: Coroutine[Any, Any, None]) -> None:
        task = loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.faults.append(error)

    def next_request(self) -> bytes:
        self.asked += 1
        return b"%d" % self.asked

    # The server

    def open(self) -> None:
        """Start a server, if there is none."""
        if self.server_loop is None:
            self.server_loop = loop = self.network.process()
            self.start(loop, self._serve(loop))

    async def _serve(self, loop: Loop) -> None:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        position = self._position if self.positions else None

        async def handler(conn: Connection) -> None:
            self.servers += 1
            end = ServerEnd(self, loop, conn, self.book(f"s{self.servers}"))
            self.ends.append(end)
            await end.read()

        async def serve_request(conn: Connection, payload: bytes) -> bytes:
            if payload in self.served:
                # A server goes on after a request that failed.
                self.faults.append(AssertionError("a request was served twice"))
            self.served.add(payload)
            return b"re " + payload

        self.server = await sealframe.serve(
            handler,
            sock=sock,
            sessions=Sessions(keep=KEEP, position=position),
            options=SERVER,
            on_request=serve_request,
        )

    async def _position(self, session: SessionInfo) -> int:
        count = len(self.stored.get(session.name, []))
        if self.slow:
            await asyncio.sleep(0.3)
        return count

    def kill_server(self) -> None:
        if self.server_loop is None:
            return
        if not self.positions:
            # It takes with it what it had received and not handled.
            for book in self.books.values():
                book.excused.update(book.missing)
        self.network.kill(self.server_loop)
        self.server_loop = None

    def close_server(self) -> None:
        if self.server_loop is not None and self.server is not None:
            self.start(self.server_loop, self._close_server(self.server_loop))

    async def _close_server(self, loop: Loop) -> None:
        await self.server.close()
        if self.server_loop is loop:
            self.network.loops.remove(loop)
            self.network.killed.append(loop)
            self.server_loop = None

    def count_received(self, book: Book) -> int:
        """Return how many messages of a client's session have really come."""
        counts = [
            end.before + end.conn.stats.messages_received
            for end in self.handlers
            if end.peer is not None and end.peer.sent is book
        ]
        return max([len(book.got), *counts])

    @property
    def handlers(self) -> list[ServerEnd]:
        return [end for end in self.ends if isinstance(end, ServerEnd)]

    # Time

    def settle(self) -> None:
        self.network.settle()
        for client in self.clients:
            client.note()
        self.check()

    def pass_time(self, seconds: float) -> None:
        self.network.pass_time(seconds)
        self.settle()

    def check(self) -> None:
        if self.faults:
            raise self.faults[0]
        for loop in self.network.loops:
            assert not loop.faults, loop.faults
        clients = {
            end.conn.id: end for end in self.ends if isinstance(end, ClientEnd) and end.alive
        }
        for end in self.ends:
            if isinstance(end, ServerEnd) and end.peer is None and end.loop is self.server_loop:
                end.peer = clients.get(end.conn.id)
            book = end.sent
            # Without a session what waits in the transport is its own.
            bounded = isinstance(end, PlainEnd) or (isinstance(end, ServerEnd) and end.peer)
            if bounded and end.alive and not book.left:
                assert book.cost <= BOUND, f"{book.name}: {book.cost} bytes wait"

    def finish(self) -> None:
        """From now on links hold: all arrives, is taken, and both ends close in order."""
        self.network.flowing = True
        self.slow = False
        for link in self.network.links:
            # The close must not begin over one that is not known to be cut.
            link.mend_silence()
        for client in self.clients:
            if client.loop is None:
                client.start()
        self._until(self._quiet)
        last = [client.end for client in self.clients]
        for newest in last:
            if newest is not None and newest.alive:
                newest.close()
        for client in self.clients:
            client.ending = True
        self._until(lambda: not any(end.alive for end in self.ends))
        self.close_server()
        self._until(lambda: self.server_loop is None)
        for end in self.ends:
            end.check()
        for newest in last:
            assert newest is None or newest.clean is not False, "it did not close in order"
        for loop in self.network.loops:
            assert not asyncio.all_tasks(loop), "a task is left"
            assert loop.next_timer is None, "a timer is left"

    def _until(self, condition: Callable[[], bool]) -> None:
        for _ in range(100):
            self.open()
            for end in self.ends:
                for _ in range(200):
                    end.turns.release()
            self.pass_time(3.0)
            if condition():
                return
        raise AssertionError("stuck: links hold, and not all has arrived")

    def _quiet(self) -> bool:
        # Excused ones may come all the same.
        before, self.taken = self.taken, sum(len(book.got) for book in self.books.values())
        if self.taken != before:
            return False
        for client in self.clients:
            end = client.end
            if end is None or not end.alive or not end.conn.connected:
                return False
            if end.sent.missing and not end.sent.left:
                return False
            theirs = [other for other in self.handlers if other.peer is end]
            if any(other.alive and other.sent.missing for other in theirs):
                return False
        return True

    def close(self) -> None:
        self.network.close()
