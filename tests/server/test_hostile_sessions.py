"""Clients that abuse sessions: what they cost is bounded, and only they suffer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from aio.ends import PATIENCE, Mode
from aio.identities import ANNA, BERT, SERVER, let_in
from aio.scripted import message, until

from sealframe import ClientIdentity, Connection, ServerIdentity, Sessions
from sealframe.server.server import registry_of
from sealframe.wire import MAX_WINDOW, CloseCode, Opcode, control
from sealframe.wire.control import Close, SessionWelcome

from .thief import KIB, WINDOW, Thief, hello, is_detached, session_of, site, the_client

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")


class TestCounts:
    """What a client says of frames is compared with what it got and said before."""

    @pytest.mark.parametrize(
        "wrong",
        [
            {"received": 3},
            {"received": 2**63},
            {"received": 0, "acknowledged": 0},
            {"received": 2, "acknowledged": 0},
            {"received": 2, "acknowledged": 1, "credit": 2**63},
            {"received": 2, "acknowledged": 1, "credit": WINDOW + MAX_WINDOW + 1},
            {"numbering": 77, "received": 2, "acknowledged": 1},
            {"numbering": 0},
        ],
        ids=str,
    )
    async def test_in_hello(self, control_mode: Mode, wrong: dict[str, int]) -> None:
        async with site(control_mode) as (server, thief):
            peer = await thief.join()
            conn = the_client(server)
            await peer.write(message(b"1") + message(b"2"))
            assert [await peer.read_message() for _ in range(2)] == [b"1", b"2"]
            await peer.write(control.ack(1))
            await until(lambda: session_of(conn).retention.acknowledged == 1)
            peer.raw.close()
            assert (await thief.is_refused(**wrong)).code == CloseCode.SESSION_LOST
            await until(lambda: conn.closed)
            assert (await thief.is_refused()).code == CloseCode.SESSION_LOST

    @pytest.mark.parametrize("name", ["received", "credit"])
    async def test_over_all_that_are_counted(self, control_mode: Mode, name: str) -> None:
        """Such a HELLO is malformed: it says nothing of a session."""
        async with site(control_mode) as (server, thief):
            peer = await thief.join()
            conn = the_client(server)
            assert (await thief.is_refused(**{name: 2**63 + 1})).code == CloseCode.PROTOCOL
            await peer.write(message(b"1"))
            assert await peer.read_message() == b"1"
            assert not conn.closed
            peer.raw.close()

    @pytest.mark.parametrize(
        "frame",
        [
            control.ack(3),
            control.ack(2**63),
            control.ack(2**63 + 1),
            control.ack(2**64 - 1),
            control.ack(2) + control.ack(1),
            control.frame(Opcode.ACK, bytes(7)),
            control.frame(Opcode.ACK, bytes(9)),
            control.frame(Opcode.ACK, bytes(60_000)),
            control.frame(Opcode.CREDIT, (0).to_bytes(4, "little")),
            control.frame(Opcode.CREDIT, MAX_WINDOW.to_bytes(4, "little")) * 2,
            control.frame(Opcode.CREDIT, bytes(8)),
            control.frame(Opcode.CLOSE, Close(0, "", 3).encode()),
            b"\xff\xff\xff\x7f",
            b"\x01\x00\x00\x80\x7e",
        ],
        ids=lambda frame: frame[:12].hex(),
    )
    async def test_in_frames_that_end_the_session(self, control_mode: Mode, frame: bytes) -> None:
        """Such a frame would come again over each link."""
        async with site(control_mode) as (server, thief):
            peer = await thief.join()
            conn = the_client(server)
            await peer.write(message(b"1") + message(b"2"))
            assert [await peer.read_message() for _ in range(2)] == [b"1", b"2"]
            await peer.write(frame)
            code = Close.decode(await peer.read_opcode(Opcode.CLOSE)).code
            assert code in (CloseCode.PROTOCOL, CloseCode.TOO_LARGE)
            peer.raw.close()
            await until(lambda: conn.closed)
            # Its CLOSE may have been lost with the link: the next says the same.
            assert (await thief.is_refused(received=2)).code == code

    async def test_a_million_acks(self, control_mode: Mode) -> None:
        async with site(control_mode) as (server, thief):
            peer, other = await thief.join(), await Thief(server, control_mode).join()
            await peer.write(message(b"1"))
            assert await peer.read_message() == b"1"
            for _ in range(50):
                await peer.write(control.ack(1) * 2000)
                await other.write(message(b"2"))
                assert await other.read_message() == b"2"
            await peer.write(message(b"3"))
            assert await peer.read_message() == b"3"
            peer.raw.close()
            other.raw.close()


class TestTheEnd:
    async def test_a_close_with_a_code_is_the_end_also_without_acks(
        self, control_mode: Mode
    ) -> None:
        async with site(control_mode, close_timeout=60.0) as (server, thief):
            peer = await thief.join()
            conn = the_client(server)
            await peer.write(message(b"1"))
            assert await peer.read_message() == b"1"
            await peer.write(control.frame(Opcode.CLOSE, Close(CloseCode.HANDLER).encode()))
            await until(lambda: conn.closed)
            peer.raw.close()
            assert (await thief.is_refused()).code == CloseCode.HANDLER

    async def test_what_the_client_did_not_get_is_no_success(self, control_mode: Mode) -> None:
        """The handler has returned, and nobody came for what it had sent."""

        async def handler(conn: Connection) -> None:
            await conn.send(b"1")

        async with site(control_mode, handler, close_timeout=0.05) as (server, thief):
            peer = await thief.join()
            assert await peer.read_message() == b"1"
            peer.raw.close()
            await until(lambda: not registry_of(server).connections)
            assert (await thief.is_refused()).code == CloseCode.SESSION_LOST


class TestTokens:
    async def test_another_key_does_not_find_the_session(
        self, sealed: Mode, tmp_path: Path
    ) -> None:
        """Who has the token and not the key gets what one gets who made it up."""
        identity = ServerIdentity(SERVER, let_in(tmp_path / "clients", anna=ANNA, bert=BERT))
        async with site(sealed, security=identity) as (server, anna):
            anna.identity = ClientIdentity(ANNA, server=SERVER.public_key)
            mine = await anna.join()
            conn = the_client(server)
            thief = replace(anna, identity=ClientIdentity(BERT, server=SERVER.public_key))
            assert (await thief.is_refused()).code == CloseCode.SESSION_LOST
            fresh = await thief.join(numbering=0, known=False)
            assert len(server.clients) == 2
            await mine.write(message(b"2"))
            assert await mine.read_message() == b"2"
            assert not conn.closed
            mine.raw.close()
            fresh.raw.close()

    @pytest.mark.parametrize("away", [False, True], ids=["attached", "away"])
    async def test_of_a_key_that_is_withdrawn(
        self, sealed: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: bool
    ) -> None:
        monkeypatch.setattr("sealframe.trust.clients_file_watcher._INTERVAL", 0.01)
        path = let_in(tmp_path / "clients", anna=ANNA, bert=BERT)
        identity = ServerIdentity(SERVER, path)
        async with site(sealed, security=identity, close_timeout=60.0) as (server, anna):
            anna.identity = ClientIdentity(ANNA, server=SERVER.public_key)
            peer = await anna.join()
            conn = the_client(server)
            await peer.write(message(b"1"))
            # It acknowledges nothing.
            assert await peer.read_message() == b"1"
            late = await anna.dial()
            if away:
                peer.raw.close()
                await until(lambda: is_detached(conn))
            let_in(path, bert=BERT)
            if away:
                await until(lambda: conn.closed)
            else:
                told = Close.decode(await peer.read_opcode(Opcode.CLOSE))
                assert told.code == CloseCode.UNAUTHORIZED
            await late.write(hello(anna.hello()))
            answer = await anna.answer(late)
            assert isinstance(answer, Close)
            assert answer.code == CloseCode.UNAUTHORIZED
            await until(lambda: not server.clients)
            peer.raw.close()
            late.raw.close()

    async def test_a_guessed_token_begins_nothing_that_was_there(self, control_mode: Mode) -> None:
        async with site(control_mode) as (server, thief):
            peer = await thief.join()
            guess = Thief(server, control_mode, numbering=thief.numbering)
            assert (await guess.is_refused()).code == CloseCode.SESSION_LOST
            assert len(server.clients) == 1
            peer.raw.close()


class TestManyLinks:
    async def test_two_clients_with_one_token(self, control_mode: Mode) -> None:
        """The later takes the link; the one before is cut off, and told so once it comes again."""
        async with site(control_mode) as (server, thief):
            peers = [await thief.join() for _ in range(20)]
            for old in peers[:-1]:
                with contextlib.suppress(ConnectionError):
                    assert await old.read() is None
                old.raw.close()
            assert (await thief.is_refused(link=7)).code == CloseCode.SUPERSEDED
            await peers[-1].write(message(b"mine"))
            assert await peers[-1].read_message() == b"mine"
            assert len(registry_of(server).connections) == 1
            peers[-1].raw.close()

    async def test_the_late_one_of_two_first(self, control_mode: Mode) -> None:
        async with site(control_mode) as (_, thief):
            peer = await thief.join()
            early, late = await thief.dial(), await thief.dial()
            first, second = hello(thief.hello()), hello(thief.hello())
            await late.write(second)
            assert isinstance(await thief.answer(late), SessionWelcome)
            await early.write(first)
            answer = await thief.answer(early)
            assert isinstance(answer, Close)
            assert answer.code == CloseCode.SUPERSEDED
            await late.write(message(b"1"))
            assert await late.read_message() == b"1"
            for each in (peer, early, late):
                each.raw.close()

    async def test_a_crowd_pushes_out_itself(self, control_mode: Mode) -> None:
        sessions = Sessions(max_detached=20)
        async with site(control_mode, sessions=sessions) as (server, thief):
            used = await thief.join()
            conn = the_client(server)
            await used.write(message(b"1"))
            assert await used.read_message() == b"1"
            used.raw.close()
            await until(lambda: is_detached(conn))
            for _ in range(100):
                (await Thief(server, control_mode).join()).raw.close()
            registry = registry_of(server)
            await until(lambda: len(registry.connections) == 20)
            assert not conn.closed
            assert len(server.clients) == 20
            again = await thief.join()
            assert await again.read_message() == b"1"
            again.raw.close()

    async def test_memory_bounds_broadcasts_to_those_that_are_away(
        self, control_mode: Mode
    ) -> None:
        sessions = Sessions(memory=300 * KIB)
        async with site(control_mode, sessions=sessions) as (server, _):
            for _ in range(10):
                (await Thief(server, control_mode).join()).raw.close()
            await until(lambda: all(map(is_detached, server.clients.values())))
            for _ in range(60):
                server.broadcast(bytes(KIB))
                await asyncio.sleep(0)
            await until(lambda: len(server.clients) <= 4)

    async def test_one_that_never_acknowledges(self, control_mode: Mode) -> None:
        """What it was given is kept up to a bound, then its sender waits, and goes on."""
        sent = 0

        async def handler(conn: Connection) -> None:
            nonlocal sent
            while True:
                await conn.send(bytes(KIB))
                sent += 1

        async with site(control_mode, handler, outbox_limit=64 * KIB) as (server, thief):
            peer = await thief.join(credit=MAX_WINDOW)
            retention = session_of(the_client(server)).retention
            await until(lambda: retention.cost >= 63 * KIB)
            for _ in range(5):
                peer.raw.close()
                peer = await thief.join(credit=MAX_WINDOW)
                for _ in range(retention.given):
                    await peer.read_message()
            assert retention.cost <= 130 * KIB
            before = sent
            await peer.write(control.ack(retention.given))
            await until(lambda: sent > before)
            server.kick(the_client(server).id)
            peer.raw.close()


class TestPuttingOut:
    """Kicked, withdrawn, closed: it ends at once, whether it has a link or not."""

    async def test_of_one_that_is_away(self, control_mode: Mode) -> None:
        async with site(control_mode, close_timeout=60.0) as (server, thief):
            peer = await thief.join()
            conn = the_client(server)
            await peer.write(message(b"1"))
            peer.raw.close()
            await until(lambda: is_detached(conn))
            server.kick(conn.id)
            await until(lambda: conn.closed)
            assert not registry_of(server).connections
            assert (await thief.is_refused()).code == CloseCode.KICKED

    async def test_of_all_at_the_close_of_the_server(self, control_mode: Mode) -> None:
        async with site(control_mode, close_timeout=60.0) as (server, thief):
            away = await thief.join()
            away.raw.close()
            await until(lambda: is_detached(the_client(server)))
            joining = await Thief(server, control_mode).dial()
            # Its HELLO is there, and not read yet.
            other = Thief(server, control_mode)
            frames = hello(other.hello())
            records = joining.records
            joining.raw.sock.send(frames if records is None else b"".join(records.seal(frames)))
            async with asyncio.timeout(PATIENCE):
                closing = asyncio.ensure_future(server.close())
                with contextlib.suppress(ConnectionError):
                    await joining.read_to_end()
                joining.raw.close()
                await closing
            assert not registry_of(server).connections

    async def test_a_link_cut_at_every_byte(self, control_mode: Mode) -> None:
        """What came whole counts, the rest comes again, and nothing twice."""
        frames = message(b"abc") + message(b"") + message(b"de")

        async def handler(conn: Connection) -> None:
            while True:
                await conn.recv()

        async with site(control_mode, handler) as (server, thief):
            peer = await thief.join()
            stats, expected = the_client(server).stats, 0
            for place in range(len(frames) + 1):
                # A record for each byte: else a sealed frame comes whole or not at all.
                for byte in frames[:place]:
                    await peer.write(bytes((byte,)))
                peer.raw.finish()
                await peer.read_to_end()
                peer.raw.close()
                expected += (place >= 7) + (place >= 11) + (place >= 17)
                peer, answer = await thief.ask()
                assert isinstance(answer, SessionWelcome)
                assert answer.received == stats.messages_received == expected
            peer.raw.close()


async def test_a_frame_that_is_cut_short_is_forgotten_with_its_link(control_mode: Mode) -> None:
    """Sessions.memory does not count what is not there."""
    begun = (4 * KIB * KIB).to_bytes(4, "little") + bytes(3 * KIB * KIB)
    async with site(control_mode) as (server, _):
        tracemalloc.start()
        try:
            for count in range(1, 5):
                peer = await Thief(server, control_mode).join()
                for place in range(0, len(begun), 32 * KIB):
                    await peer.write(begun[place : place + 32 * KIB])
                peer.raw.finish()
                await peer.read_to_end()
                peer.raw.close()
                await until(lambda: all(map(is_detached, server.clients.values())))
                assert len(server.clients) == count
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 4 * KIB * KIB
