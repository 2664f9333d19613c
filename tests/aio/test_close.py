"""How a connection ends: in order, half-way, by time-out, by a cut, and what each keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from sealframe import (
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    PeerTimeoutError,
    ServerOptions,
    TruncatedError,
)
from sealframe.aio.connection import protocol_of
from sealframe.server.server import registry_of
from sealframe.wire import MESSAGE_OVERHEAD, Opcode, control

from .ends import (
    PATIENCE,
    Api,
    Family,
    Mode,
    collect,
    dial,
    is_held_back,
    open_pair,
    receive,
    start,
)
from .scripted import Role, close_frame, facing, message, until

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB = 1024
MIB = 1024 * KIB
UNREAD = 2.0
"""``close_timeout`` where a tenth of it has to pass before what nobody reads is discarded."""


async def close(conn: Connection, code: int = CloseCode.NORMAL, reason: str = "") -> bool:
    """Close, with a limit that only a hang reaches."""
    async with asyncio.timeout(PATIENCE):
        return await conn.close(code, reason)


def numbered(count: int, size: int) -> list[bytes]:
    """Return messages that all differ."""
    return [b"%08d" % number + bytes(size - 8) for number in range(count)]


async def collect_lossy(conn: Connection) -> list[bytes]:
    """Return all messages up to the place from which they were discarded."""
    kept = []
    with pytest.raises(ConnectionClosedError, match="discarded"):
        while True:
            kept.append(await conn.recv())
    return kept


async def begin_close(conn: Connection) -> asyncio.Task[bool]:
    """Start to close and let that go as far as it can without the peer."""
    closing = asyncio.ensure_future(close(conn))
    await until(lambda: protocol_of(conn).closer.closing)
    return closing


def frames(messages: Iterable[bytes]) -> bytes:
    return b"".join(map(message, messages))


class TestInOrder:
    async def test_the_peer_answers(self, mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, mode, api=api) as (conn, peer):
            await conn.send(b"last")
            closing = asyncio.ensure_future(close(conn))
            assert await peer.await_end() == [b"last"]
            await peer.say_end()
            assert await closing is True
            assert await peer.raw.receive() == b""

    async def test_the_peer_begins(self, mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, mode, api=api) as (conn, peer):
            await peer.write(message(b"last"))
            await peer.say_end()
            assert await collect(conn) == [b"last"]
            closing = asyncio.ensure_future(close(conn))
            assert await peer.await_end() == []
            assert await closing is True

    async def test_a_half_closed_client_gets_all_replies(self, mode: Mode) -> None:
        requests = numbered(100, 100)
        replies = numbered(100, 10_000)
        async with facing("server", mode) as (conn, peer):
            await peer.write(frames(requests))
            await peer.say_end()
            assert await collect(conn) == requests
            assert conn.going_away

            async def reply() -> bool:
                for data in replies:
                    await conn.send(data)
                return await close(conn)

            replying = asyncio.ensure_future(reply())
            assert await peer.await_end() == replies
            assert await replying is True
            assert conn.stats.unsent == 0

    async def test_a_client_that_only_sends_is_told(self, mode: Mode) -> None:
        """Nobody reads at a server whose handler has returned: to send is no success."""
        async with facing("client", mode) as (conn, peer):
            await peer.write(message(b"before"))
            await conn.send(b"arrives")
            assert await peer.read() == b"arrives"
            assert not conn.going_away
            await peer.say_end()
            with pytest.raises(ConnectionClosedOK, match="the peer closed"):
                async with asyncio.timeout(PATIENCE):
                    while True:
                        await conn.send(b"more")
                        await asyncio.sleep(0)
            await until(lambda: conn.going_away)
            await peer.await_end()
            await until(lambda: conn.closed)
            assert await collect(conn) == [b"before"]

    async def test_what_a_server_had_not_got_when_it_closed_is_no_success(self, mode: Mode) -> None:
        data = numbered(200, 64 * KIB)
        async with facing("client", mode, small_buffer=True, outbox_limit=16 * MIB) as (conn, peer):
            await conn.send_many(data)
            await peer.say_end()
            await until(lambda: conn.going_away)
            assert await peer.await_end() == data
            assert await close(conn) is False
            assert conn.stats.unsent == 0

    async def test_both_ends_are_sealframe(self, mode: Mode, family: Family, api: Api) -> None:
        async with open_pair(mode, family, api=api) as (client, accepted, _):
            await client.send(b"to the server")
            await accepted.send(b"to the client")
            assert all(await asyncio.gather(close(client), close(accepted)))
            assert await collect(accepted) == [b"to the server"]
            assert await collect(client) == [b"to the client"]

    async def test_the_end_of_the_context_closes(self, mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, mode, api=api) as (conn, peer):

            async def use() -> None:
                async with conn as same:
                    assert same is conn
                    await conn.send(b"only")

            using = asyncio.ensure_future(use())
            assert await peer.await_end() == [b"only"]
            await peer.say_end()
            await using
            assert "closed" in repr(conn)

    async def test_messages_that_came_before_stay_readable(self, mode: Mode, api: Api) -> None:
        messages = [b"one", b"", b"three"]
        async with open_pair(mode, api=api) as (client, accepted, _):
            await accepted.send_many(messages)
            await until(lambda: client.stats.messages_received == 3)
            assert all(await asyncio.gather(close(client), close(accepted)))
            assert [await receive(client) for _ in messages] == messages
            with pytest.raises(ConnectionClosedOK):
                await receive(client)

    async def test_nothing_can_be_sent_after_it(self, mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, mode, api=api) as (conn, peer):
            closing = await begin_close(conn)
            with pytest.raises(ConnectionClosedOK, match="this end"):
                await conn.send(b"late")
            with pytest.raises(ConnectionClosedOK, match="this end"):
                await conn.send_many([b"late"])
            assert await peer.await_end() == []
            await peer.say_end()
            assert await closing is True

    async def test_a_second_close_only_waits(self, mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, mode, api=api) as (conn, peer):
            first = asyncio.ensure_future(close(conn))
            second = asyncio.ensure_future(close(conn, CloseCode.KICKED, "again"))
            if mode.has_control:
                assert (await peer.read_close()).code == CloseCode.NORMAL
            else:
                assert await peer.read() is None
            assert not first.done()
            assert not second.done()
            # The second code would have discarded this.
            await peer.write(message(b"kept"))
            await peer.say_end()
            assert await first is True
            assert await second is True
            assert await peer.read() is None
            assert await collect(conn) == [b"kept"]
            assert await close(conn) is True

    async def test_wait_closed_waits_for_either_end(self, mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, mode, api=api) as (conn, peer):
            waiting = asyncio.ensure_future(conn.wait_closed())
            await peer.say_end()
            assert await collect(conn) == []
            assert not waiting.done()
            assert await close(conn) is True
            async with asyncio.timeout(PATIENCE):
                await waiting

    async def test_close_while_senders_wait(self, mode: Mode, role: Role, api: Api) -> None:
        data = numbered(200, 64 * KIB)
        accepted: list[bytes] = []
        refused: list[bytes] = []
        async with facing(role, mode, api=api, small_buffer=True, outbox_limit=256 * KIB) as (
            conn,
            peer,
        ):

            async def send(part: bytes) -> None:
                try:
                    await conn.send(part)
                except ConnectionClosed:
                    refused.append(part)
                else:
                    accepted.append(part)

            sending = [asyncio.ensure_future(send(part)) for part in data]
            # Nothing was read: so many do not fit into the kernel's buffers.
            await until(lambda: protocol_of(conn).sender.queue.full)
            closing = await begin_close(conn)
            await asyncio.gather(*sending)
            assert accepted
            assert refused
            assert await peer.await_end() == accepted
            await peer.say_end()
            assert await closing is True
            assert conn.stats.messages_sent == len(accepted)
            assert conn.stats.unsent == 0


class TestInFlight:
    """2 MB on their way in each direction while one end closes, or both do."""

    MESSAGES = numbered(64, 32 * KIB)

    @pytest.mark.parametrize("both", [False, True], ids=["one closes", "both close"])
    async def test_all_arrives_where_there_is_room(
        self, mode: Mode, family: Family, both: bool, api: Api
    ) -> None:
        room: dict[str, Any] = {"inbox_limit": 4 * MIB, "outbox_limit": 4 * MIB}
        async with open_pair(
            mode,
            family,
            api=api,
            server_options=ServerOptions(**room),
            client_options=ClientOptions(**room),
        ) as (client, accepted, _):
            await client.send_many(self.MESSAGES)
            await accepted.send_many(self.MESSAGES)
            closing = asyncio.ensure_future(close(client))
            if both:
                assert await close(accepted) is True
            assert await collect(accepted) == self.MESSAGES
            assert await close(accepted) is True
            assert await closing is True
            assert await collect(client) == self.MESSAGES
            assert client.stats.discarded == accepted.stats.discarded == 0

    async def test_what_finds_no_room_is_discarded_and_counted(
        self, mode: Mode, family: Family
    ) -> None:
        limit = 256 * KIB
        async with open_pair(
            mode,
            family,
            server_options=ServerOptions(outbox_limit=4 * MIB),
            client_options=ClientOptions(
                inbox_limit=limit, outbox_limit=4 * MIB, close_timeout=UNREAD
            ),
        ) as (client, accepted, _):
            await client.send_many(self.MESSAGES)
            await accepted.send_many(self.MESSAGES)
            closing = asyncio.ensure_future(close(client))
            assert await collect(accepted) == self.MESSAGES
            assert await close(accepted) is True
            assert await closing is False
            kept = await collect_lossy(client)
            assert client.stats.discarded > 0
            assert len(kept) + client.stats.discarded == len(self.MESSAGES)
            assert kept == self.MESSAGES[: len(kept)]
            assert sum(len(data) + MESSAGE_OVERHEAD for data in kept) >= limit

    async def test_who_still_takes_messages_gets_all(self, mode: Mode, api: Api) -> None:
        """However small the room: the other end is held back."""
        async with open_pair(
            mode,
            api=api,
            server_options=ServerOptions(outbox_limit=4 * MIB),
            client_options=ClientOptions(inbox_limit=64 * KIB, outbox_limit=4 * MIB),
        ) as (client, accepted, _):
            reading = asyncio.ensure_future(collect(client))
            await accepted.send_many(self.MESSAGES)
            closing = asyncio.ensure_future(close(client))
            assert await collect(accepted) == []
            assert await close(accepted) is True
            assert await closing is True
            assert await reading == self.MESSAGES
            assert client.stats.discarded == 0

    async def test_a_handler_that_has_returned_holds_nobody_back(self, mode: Mode) -> None:
        async def handler(conn: Connection) -> None:
            await conn.recv()

        # Long enough that only a server which does not wait for a reader is done in time.
        options = ServerOptions(inbox_limit=64 * KIB, close_timeout=100 * PATIENCE)
        async with (
            start(handler, mode, options=options) as server,
            dial(server, mode, options=ClientOptions(outbox_limit=4 * MIB)) as client,
        ):
            await client.send_many(self.MESSAGES)
            await close(client)
            await until(lambda: not registry_of(server).connections)

    async def test_what_is_held_back_comes(self, mode: Mode, family: Family) -> None:
        limit = 64 * KIB
        options: dict[str, Any] = {"inbox_limit": limit, "outbox_limit": 4 * MIB}
        options["close_timeout"] = UNREAD
        async with open_pair(
            mode,
            family,
            server_options=ServerOptions(**options),
            client_options=ClientOptions(**options),
        ) as (client, accepted, _):
            await client.send_many(self.MESSAGES)
            await accepted.send_many(self.MESSAGES)
            await until(lambda: is_held_back(client) and is_held_back(accepted))
            assert not any(await asyncio.gather(close(client), close(accepted)))
            for conn in (client, accepted):
                kept = await collect_lossy(conn)
                assert kept == self.MESSAGES[: len(kept)]
                assert len(kept) + conn.stats.discarded == len(self.MESSAGES)


class TestAfterTheLocalClose:
    async def test_arrivals_are_kept_up_to_the_limit(self, mode: Mode, role: Role) -> None:
        cost = 100 + MESSAGE_OVERHEAD
        data = numbered(10, 100)
        async with facing(role, mode, inbox_limit=3 * cost, close_timeout=UNREAD) as (conn, peer):
            closing = await begin_close(conn)
            assert await peer.await_end() == []
            for number, part in enumerate(data):
                await peer.write(message(part))
                await until(
                    lambda done=number: (  # type: ignore[misc]
                        conn.stats.messages_received + conn.stats.discarded > done
                    )
                )
            await peer.say_end()
            assert await closing is False
            assert await collect_lossy(conn) == data[:3]
            assert conn.stats.discarded == 7
            assert conn.stats.messages_received == 3

    async def test_what_is_kept_has_no_gap(self, mode: Mode, role: Role) -> None:
        data = numbered(3, 100)
        async with facing(role, mode, inbox_limit=1, close_timeout=UNREAD) as (conn, peer):
            closing = await begin_close(conn)
            assert await peer.await_end() == []
            await peer.write(message(data[0]))
            await until(lambda: conn.stats.messages_received == 1)
            await peer.write(message(data[1]))
            await until(lambda: conn.stats.discarded == 1)
            # There is room again, but the one before it is lost.
            assert await conn.recv() == data[0]
            await peer.write(message(data[2]))
            await peer.say_end()
            assert await closing is False
            assert await collect_lossy(conn) == []
            assert conn.stats.discarded == 2

    async def test_another_code_discards_all(self, mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, mode, api=api) as (conn, peer):
            closing = asyncio.ensure_future(close(conn, CloseCode.KICKED, "out"))
            assert await peer.await_end() == []
            await peer.write(frames([b"one", b"two"]))
            await peer.say_end()
            await closing
            assert await collect(conn) == []
            assert conn.stats.discarded == 2

    async def test_no_frame_follows_close(self, control_mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, control_mode, api=api) as (conn, peer):
            closing = await begin_close(conn)
            await peer.read_close()
            await peer.write(control.frame(Opcode.PING, b"hello?"))
            # 0x01 asks for UNSUPPORTED.
            await peer.write(control.frame(0x01, b"what?"))
            await peer.say_end()
            assert await closing is True
            assert await peer.read_to_end() == []

    async def test_fin_waits_for_the_close_of_the_peer(
        self, control_mode: Mode, role: Role, api: Api
    ) -> None:
        async with facing(role, control_mode, api=api) as (conn, peer):
            closing = await begin_close(conn)
            await peer.read_close()
            await peer.write(message(b"still here"))
            await until(lambda: conn.stats.messages_received == 1)
            assert not peer.raw.has_input()
            await peer.say_end()
            assert await closing is True
            assert await peer.read() is None


class TestCodes:
    @pytest.mark.parametrize("code", [CloseCode.NORMAL, CloseCode.GOING_AWAY])
    async def test_an_end_that_is_no_error(
        self, control_mode: Mode, role: Role, code: CloseCode, api: Api
    ) -> None:
        async with facing(role, control_mode, api=api) as (conn, peer):
            await peer.write(message(b"before"))
            await peer.say_end(code, "lunch")
            assert await collect(conn) == [b"before"]
            assert (conn.close_code, conn.close_reason) == (code, "lunch")
            with pytest.raises(ConnectionClosedOK, match=f"{code.name}.*lunch") as caught:
                await receive(conn)
            assert (caught.value.code, caught.value.reason) == (code, "lunch")

    @pytest.mark.parametrize("code", [CloseCode.KICKED, CloseCode.HANDLER, 999])
    async def test_an_end_that_is_an_error(
        self, control_mode: Mode, role: Role, code: int, api: Api
    ) -> None:
        async with facing(role, control_mode, api=api) as (conn, peer):
            await peer.write(message(b"before"))
            await peer.say_end(code, "shoo")
            assert await receive(conn) == b"before"
            with pytest.raises(ConnectionClosedError, match="shoo") as caught:
                await receive(conn)
            assert (caught.value.code, caught.value.reason) == (code, "shoo")
            # The peer discards what we send, so that nothing more is taken.
            with pytest.raises(ConnectionClosedError, match="shoo") as caught:
                await conn.send(b"useless")
            assert caught.value.code == code
            assert (await peer.read_close()).code == CloseCode.NORMAL
            assert await close(conn) is False

    async def test_what_the_peer_is_told(self, control_mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, control_mode, api=api) as (conn, peer):
            await peer.write(frames([b"one", b"two"]))
            await until(lambda: conn.stats.messages_received == 2)
            closing = asyncio.ensure_future(close(conn, CloseCode.KICKED, "ж" * 200))
            told = await peer.read_close()
            assert told.code == CloseCode.KICKED
            assert told.reason == "ж" * 127  # 254 bytes; 255 is the most
            assert told.frames_received == 2
            await peer.say_end()
            await closing

    async def test_between_two_sealframes(self, mode: Mode, api: Api) -> None:
        async with open_pair(mode, api=api) as (client, accepted, _):
            closing = asyncio.ensure_future(close(accepted, CloseCode.KICKED, "bye"))
            if mode.has_control:
                with pytest.raises(ConnectionClosedError, match="KICKED") as caught:
                    await receive(client)
                assert caught.value.reason == "bye"
                assert client.close_code == CloseCode.KICKED
            else:
                with pytest.raises(ConnectionClosedOK):
                    await receive(client)
                assert client.close_code is None
            assert accepted.close_code is None or mode.has_control
            await close(client)
            assert await closing is True

    @pytest.mark.parametrize("code", [-1, 1000, 0x10000])
    async def test_no_code(self, mode: Mode, code: int) -> None:
        async with open_pair(mode) as (client, accepted, _):
            with pytest.raises(ValueError, match="CloseCode"):
                await client.close(code)
            await client.send(b"still open")
            assert await accepted.recv() == b"still open"


class TestTimeout:
    @pytest.mark.parametrize("busy", [False, True], ids=["nothing unsent", "8 MiB unsent"])
    async def test_a_peer_that_never_reads(
        self, mode: Mode, role: Role, busy: bool, api: Api
    ) -> None:
        limits: dict[str, Any] = {"close_timeout": 0.1, "outbox_limit": 16 * MIB}
        async with facing(role, mode, api=api, small_buffer=True, **limits) as (conn, _):
            if busy:
                await conn.send_many(numbered(256, 32 * KIB))
            assert await close(conn) is False
            assert (conn.stats.unsent > 0) is busy
            with pytest.raises(PeerTimeoutError, match="close_timeout"):
                await receive(conn)
            assert await close(conn) is False

    async def test_a_peer_that_goes_on_sending(self, mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, mode, api=api, close_timeout=0.1) as (conn, peer):
            await peer.write(message(b"kept"))
            closing = await begin_close(conn)
            assert await peer.await_end() == []
            await peer.write(message(b"kept too"))
            assert await closing is False
            assert [await receive(conn) for _ in range(2)] == [b"kept", b"kept too"]
            with pytest.raises(PeerTimeoutError):
                await receive(conn)


async def expect_truncation(conn: Connection, whole: list[bytes], match: str) -> None:
    """Read the whole messages, then find the truncation, and find it again."""
    async with asyncio.timeout(PATIENCE):
        assert [await receive(conn) for _ in whole] == whole
        for _ in range(2):
            with pytest.raises(TruncatedError, match=match):
                await receive(conn)
        with pytest.raises(TruncatedError, match=match):
            await conn.send(b"into the void")
        assert await conn.close() is False


WHOLE = [b"one", b"", bytes(5000)]

# What of the next frame still comes, and what the error says of it.
INSIDE = [
    pytest.param(message(bytes(100))[:2], "a part of its head", id="in the head"),
    pytest.param(message(bytes(100))[:50], "50 of its 104 bytes", id="in the message"),
]


class TestCut:
    @pytest.mark.parametrize(("part", "text"), INSIDE)
    async def test_fin_inside_a_frame(
        self, mode: Mode, role: Role, part: bytes, text: str, api: Api
    ) -> None:
        async with facing(role, mode, api=api) as (conn, peer):
            await peer.write(frames(WHOLE) + part)
            peer.raw.finish()
            await expect_truncation(conn, WHOLE, text)

    @pytest.mark.parametrize(("part", "text"), INSIDE)
    async def test_reset_inside_a_frame(
        self, mode: Mode, role: Role, part: bytes, text: str, api: Api
    ) -> None:
        async with facing(role, mode, api=api) as (conn, peer):
            before = conn.stats.bytes_received
            await peer.write(frames(WHOLE) + part)
            await until(
                lambda: conn.stats.bytes_received - before >= len(frames(WHOLE)) + len(part)
            )
            peer.raw.reset()
            await expect_truncation(conn, WHOLE, f"reset inside a frame: only {text}")

    async def test_reset_between_frames(self, mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, mode, api=api) as (conn, peer):
            await peer.write(frames(WHOLE))
            await until(lambda: conn.stats.messages_received == len(WHOLE))
            peer.raw.reset()
            await expect_truncation(conn, WHOLE, "lost without a close")

    async def test_fin_inside_a_record(self, role: Role) -> None:
        pytest.importorskip("cryptography", reason="cryptography is not installed")
        async with facing(role, Mode("sealed")) as (conn, peer):
            assert peer.records is not None
            await peer.write(frames(WHOLE))
            (record,) = peer.records.seal(message(b"cut"))
            await peer.raw.send(record[:-1])
            peer.raw.finish()
            await expect_truncation(conn, WHOLE, "inside a sealed record")

    async def test_fin_without_close(self, control_mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, control_mode, api=api) as (conn, peer):
            await peer.write(frames(WHOLE))
            peer.raw.finish()
            await expect_truncation(conn, WHOLE, "without a CLOSE")

    async def test_fin_without_close_after_the_local_close(
        self, control_mode: Mode, role: Role, api: Api
    ) -> None:
        async with facing(role, control_mode, api=api) as (conn, peer):
            closing = await begin_close(conn)
            await peer.read_close()
            peer.raw.finish()
            assert await closing is False
            with pytest.raises(TruncatedError, match="without a CLOSE"):
                await receive(conn)

    async def test_reset_after_the_local_close(self, mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, mode, api=api) as (conn, peer):
            closing = await begin_close(conn)
            assert await peer.await_end() == []
            peer.raw.reset()
            assert await closing is False
            with pytest.raises(TruncatedError):
                await receive(conn)

    async def test_a_frame_after_close(self, control_mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, control_mode, api=api) as (conn, peer):
            await peer.write(close_frame() + message(b"too late"))
            assert await collect(conn) == []
            assert (await peer.read_close()).code == CloseCode.PROTOCOL
            peer.raw.finish()
            assert await close(conn) is False
            assert conn.stats.messages_received == 0

    async def test_reset_while_sending(self, mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, mode, api=api, small_buffer=True) as (conn, peer):

            async def send_for_ever() -> None:
                while True:
                    await conn.send(bytes(64 * KIB))

            sending = asyncio.ensure_future(send_for_ever())
            await until(lambda: protocol_of(conn).sender.queue.full)
            peer.raw.reset()
            with pytest.raises(TruncatedError):
                await sending
            assert await close(conn) is False
            assert conn.stats.unsent > 0
