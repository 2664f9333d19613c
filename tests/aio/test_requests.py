"""Requests and their answers: both ways, many at once, and every way in which they fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import sealframe
from sealframe import (
    ClientOptions,
    Connection,
    ConnectionClosed,
    MessageTooLargeError,
    NotSupportedError,
    RemoteError,
    RequestCancelledError,
    RequestTimeoutError,
    ServerOptions,
)
from sealframe.aio.connection import protocol_of
from sealframe.aio.requests import Requests
from sealframe.core import channel_frames
from sealframe.wire import FailureCode, Opcode

from .ends import PATIENCE, TCP, Mode, Services, open_pair
from .scripted import dialled, until
from .stepping import Attempt, Moment, every_step

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB = 1024
MIB = 1024 * KIB

SIZES = [0, 1, 61_440, 61_441, 200_000, 5 * MIB]


async def echo(_: Connection, payload: bytes) -> bytes:
    return payload


ECHO: Services = {"on_request": echo}


class Busy:
    """An ``on_request`` whose requests run until they are told to end."""

    def __init__(self) -> None:
        self.running: set[bytes] = set()
        self.cancelled: list[bytes] = []
        self.go = asyncio.Event()

    async def __call__(self, _: Connection, payload: bytes) -> bytes:
        key = payload[:4]
        self.running.add(key)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        finally:
            self.running.discard(key)
        return payload


def is_clean(conn: Connection) -> bool:
    """Return whether nothing is left of any request at this end."""
    channels, multiplexer = protocol_of(conn).channels, protocol_of(conn).machine.multiplexer
    if channels is not None:
        requests: Requests = channels.requests
        if requests.pending or requests.serving or requests.payload_bytes or len(requests.limiter):
            return False
        if channels.streams.endpoints:
            return False
    return not (
        multiplexer.requests.local_pending
        or multiplexer.requests.peer_pending
        or multiplexer.requests.local_replying
        or multiplexer.streams
        or multiplexer.ready
    )


async def become_clean(*conns: Connection) -> None:
    await until(lambda: all(map(is_clean, conns)))


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
async def test_a_time_out_that_is_none(control_mode: Mode, timeout: float) -> None:
    async with open_pair(control_mode, at_server=ECHO) as (client, _, _):
        with pytest.raises(ValueError, match=r"^timeout is \S+; use seconds, more than 0"):
            await client.request(b"this", timeout=timeout)
        assert await client.request(b"that", timeout=PATIENCE) == b"that"


class TestAnswers:
    @pytest.mark.parametrize("size", SIZES)
    async def test_of_every_size(self, control_mode: Mode, size: int) -> None:
        payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
        async with open_pair(control_mode, at_server=ECHO, at_client=ECHO) as (client, accepted, _):
            async with asyncio.timeout(PATIENCE):
                assert await client.request(payload) == payload
                assert await accepted.request(bytearray(payload)) == payload
            await become_clean(client, accepted)

    async def test_many_in_flight_both_ways_beside_messages(self, control_mode: Mode) -> None:
        async def mixed(_: Connection, payload: bytes) -> bytes:
            number = int(payload[:4])
            for _i in range(number % 7):
                await asyncio.sleep(0)
            return payload * (200_000 // len(payload) if number % 10 == 0 else 1)

        services: Services = {"on_request": mixed}
        async with open_pair(control_mode, at_server=services, at_client=services) as (
            client,
            accepted,
            _,
        ):

            async def ask(conn: Connection, number: int) -> None:
                payload = b"%04d" % number + bytes(100_000 if number % 15 == 0 else 5)
                got = await conn.request(payload)
                assert got.startswith(payload)

            async with asyncio.timeout(3 * PATIENCE), asyncio.TaskGroup() as group:
                for number in range(200):
                    group.create_task(ask(client, number))
                    group.create_task(ask(accepted, number))
                for number in range(100):
                    await accepted.send(b"%d" % number)
                    assert await client.recv() == b"%d" % number
            await become_clean(client, accepted)

    async def test_they_come_in_any_order(self, control_mode: Mode) -> None:
        gates = [asyncio.Event() for _ in range(5)]

        async def gated(_: Connection, payload: bytes) -> bytes:
            await gates[payload[0]].wait()
            return payload

        async with open_pair(control_mode, at_server={"on_request": gated}) as (client, _, _):
            tasks = [asyncio.create_task(client.request(bytes([n]))) for n in range(5)]
            for number in (3, 0, 4, 2, 1):
                gates[number].set()
                async with asyncio.timeout(PATIENCE):
                    assert await tasks[number] == bytes([number])
            assert all(task.done() for task in tasks)

    async def test_none_is_empty_and_other_types_are_refused(
        self, control_mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        replies: list[Any] = [None, bytearray(b"ab"), memoryview(b"cd"), "text", 5]

        async def answer(_: Connection, payload: bytes) -> Any:
            return replies[payload[0]]

        async with open_pair(control_mode, at_server={"on_request": answer}) as (client, other, _):
            assert await client.request(b"\0") == b""
            assert await client.request(b"\1") == b"ab"
            assert await client.request(b"\2") == b"cd"
            for number in (3, 4):
                with pytest.raises(RemoteError, match="bytes") as caught:
                    await client.request(bytes([number]))
                assert caught.value.type == "TypeError"
            await become_clean(client, other)
        assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 2

    async def test_a_request_may_be_answered_by_asking_back(self, control_mode: Mode) -> None:
        async def ask_back(conn: Connection, payload: bytes) -> bytes:
            return b"<" + await conn.request(payload) + b">"

        async with open_pair(control_mode, at_server={"on_request": ask_back}, at_client=ECHO) as (
            client,
            _,
            _,
        ):
            async with asyncio.timeout(PATIENCE):
                assert await client.request(b"and you?") == b"<and you?>"


class TestFailures:
    async def test_what_was_raised_is_told_and_nothing_else(
        self, control_mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        class OutOfStockError(Exception):
            pass

        async def broken(_: Connection, payload: bytes) -> bytes:
            secret = "never told"  # noqa: F841
            raise OutOfStockError("no more of it \N{SNOWMAN}")

        async with open_pair(control_mode, at_server={"on_request": broken}) as (client, other, _):
            with pytest.raises(RemoteError) as caught:
                await client.request(b"")
            assert caught.value.type == "OutOfStockError"
            assert caught.value.message == "no more of it \N{SNOWMAN}"
            assert "never told" not in repr(caught.value)
            assert caught.value.__cause__ is None
            await become_clean(client, other)
        assert [r.name for r in caplog.records if r.levelname == "ERROR"] == ["sealframe.requests"]

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_exceptions_are_kept_from_the_peer(
        self, control_mode: Mode, is_async: bool
    ) -> None:
        """Their type as well as their text; what is said on purpose is said."""

        def answer(_: Connection, payload: bytes) -> bytes:
            if payload == b"on purpose":
                raise RemoteError("NotFound", "such a thing")
            raise LookupError("never told")

        async def answer_later(conn: Connection, payload: bytes) -> bytes:
            await asyncio.sleep(0)
            return answer(conn, payload)

        async with open_pair(
            control_mode,
            at_server={"on_request": answer_later if is_async else answer},
            server_options=ServerOptions(detailed_errors=False),
        ) as (client, _, _):
            told = []
            for payload in (b"", b"on purpose"):
                with pytest.raises(RemoteError) as caught:
                    await client.request(payload)
                told.append((caught.value.type, caught.value.message))
        assert told == [("InternalError", "the request failed"), ("NotFound", "such a thing")]

    async def test_a_remote_error_may_be_raised_on_purpose(
        self, control_mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def refuses(_: Connection, payload: bytes) -> bytes:
            raise RemoteError("NotFound", payload.decode())

        async with open_pair(control_mode, at_server={"on_request": refuses}) as (client, _, _):
            with pytest.raises(RemoteError) as caught:
                await client.request(b"such a thing")
            assert (caught.value.type, caught.value.message) == ("NotFound", "such a thing")
        assert not [r for r in caplog.records if r.levelname == "ERROR"]

    async def test_whatever_an_exception_says_there_is_an_answer(self, control_mode: Mode) -> None:
        class MuteError(Exception):
            def __str__(self) -> str:
                raise ZeroDivisionError

        errors: list[Exception] = [
            MuteError(),
            RemoteError(404, b"no text"),  # type: ignore[arg-type]
            RemoteError("Lone", "\udcff"),
            ValueError("\N{SNOWMAN}" * 5000),
        ]

        async def broken(_: Connection, payload: bytes) -> bytes:
            raise errors[payload[0]]

        async with open_pair(control_mode, at_server={"on_request": broken}) as (client, other, _):
            kinds = []
            for number in range(len(errors)):
                async with asyncio.timeout(PATIENCE):
                    with pytest.raises(RemoteError) as caught:
                        await client.request(bytes([number]))
                kinds.append(caught.value.type)
            assert kinds == ["MuteError", "404", "Lone", "ValueError"]
            assert caught.value.message == "\N{SNOWMAN}" * 333
            await become_clean(client, other)

    async def test_none_without_on_request(self, control_mode: Mode) -> None:
        async with open_pair(control_mode, at_client=ECHO) as (client, accepted, _):
            with pytest.raises(NotSupportedError, match="on_request"):
                await client.request(b"")
            assert await accepted.request(b"the other way") == b"the other way"

    async def test_none_where_packets_flow(self) -> None:
        async with open_pair(Mode("packets"), at_server=ECHO, at_client=ECHO) as (client, other, _):
            await client.send(b"a message")
            await other.recv()
            for conn in (client, other):
                with pytest.raises(NotSupportedError, match="extended=True"):
                    await conn.request(b"")

    async def test_none_before_the_client_has_said_what_it_is(self) -> None:
        async def handler(conn: Connection) -> None:
            for expected in ("has not said yet", "carries packets only"):
                for ask in (conn.request(b""), conn.open_stream(), conn.ping()):
                    with pytest.raises(NotSupportedError, match=expected):
                        await ask
                await conn.send(expected.encode())
                await conn.recv()

        async with asyncio.timeout(PATIENCE), sealframe.serve(handler, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for expected in (b"has not said yet", b"carries packets only"):
                head = await reader.readexactly(4)
                assert await reader.readexactly(int.from_bytes(head, "little")) == expected
                writer.write(b"\x01\0\0\0x")
            writer.close()
            await writer.wait_closed()

    async def test_what_is_no_bytes_is_refused(self, control_mode: Mode) -> None:
        async with open_pair(control_mode, at_server=ECHO) as (client, _, _):
            wrong: Any
            for wrong in ("text", 5, None):
                with pytest.raises(TypeError, match="bytes"):
                    await client.request(wrong)
            assert is_clean(client)

    @pytest.mark.parametrize("limit", [1000, 100_000])
    async def test_over_the_limit(self, control_mode: Mode, limit: int) -> None:
        """The server takes less than the client, whose request is stopped before it goes."""

        async def large(_: Connection, payload: bytes) -> bytes:
            return bytes(int(payload))

        async with open_pair(
            control_mode,
            server_options=ServerOptions(max_message_size=limit),
            client_options=ClientOptions(max_message_size=limit),
            at_server={"on_request": large},
        ) as (client, other, _):
            with pytest.raises(MessageTooLargeError):
                await client.request(bytes(limit + 1))
            async with asyncio.timeout(PATIENCE):
                assert await client.request(b"%d" % limit) == bytes(limit)
                if limit > 61_440:
                    with pytest.raises(RemoteError) as caught:
                        await client.request(b"%d" % (limit + 1))
                    assert caught.value.type == "ReplyTooLarge"
            await become_clean(client, other)

    async def test_a_body_over_the_limit_that_comes_all_the_same(self, control_mode: Mode) -> None:
        options = ServerOptions(max_message_size=100_000)
        async with open_pair(control_mode, server_options=options, at_server=ECHO) as (
            client,
            accepted,
            _,
        ):
            protocol_of(client).machine.send_limit = 16 * MIB
            for size in (100_001, 5 * MIB):
                async with asyncio.timeout(PATIENCE):
                    with pytest.raises(RemoteError, match="max_message_size") as caught:
                        await client.request(bytes(size))
                assert caught.value.type == "RequestTooLarge"
            await become_clean(client, accepted)
            # The same of a reply.
            protocol_of(accepted).machine.send_limit = 16 * MIB
            protocol_of(client).options = ClientOptions(max_message_size=70_000)
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(RemoteError, match="max_message_size") as caught:
                    await client.request(bytes(90_000))
            assert caught.value.type == "ReplyTooLarge"
            await become_clean(client, accepted)


class TestGivingUp:
    @pytest.mark.parametrize("size", [4, 100_000, 5 * MIB])
    async def test_a_timeout_reaches_the_other_end(self, control_mode: Mode, size: int) -> None:
        busy = Busy()
        async with open_pair(control_mode, at_server={"on_request": busy}) as (client, other, _):
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(RequestTimeoutError, match=r"within 0\.3 s") as caught:
                    await client.request(bytes(size), timeout=0.3)
                assert isinstance(caught.value, TimeoutError)
                await become_clean(client, other)
            assert busy.running == set()
            busy.go.set()
            assert await client.request(b"next") == b"next"

    async def test_a_cancellation_reaches_the_task(self, control_mode: Mode) -> None:
        busy = Busy()
        async with open_pair(control_mode, at_server={"on_request": busy}) as (client, other, _):
            asking = asyncio.create_task(client.request(b"slow"))
            await until(lambda: bool(busy.running))
            asking.cancel()
            await until(lambda: busy.cancelled == [b"slow"])
            await become_clean(client, other)

    async def test_the_time_of_waiting_for_a_slot_counts(self, control_mode: Mode) -> None:
        busy = Busy()
        options = ServerOptions(max_requests=1)
        async with open_pair(
            control_mode, server_options=options, at_server={"on_request": busy}
        ) as (client, other, _):
            first = asyncio.create_task(client.request(b"slow"))
            await until(lambda: bool(busy.running))
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(RequestTimeoutError):
                    await client.request(b"late", timeout=0.01)
            busy.go.set()
            assert await first == b"slow"
            await become_clean(client, other)

    @pytest.mark.parametrize("moment", Moment)
    @pytest.mark.parametrize("size", [10, 300_000])
    async def test_anywhere(self, control_mode: Mode, moment: Moment, size: int) -> None:
        """Wherever it is cancelled, all is given back, and the next request works."""
        async with open_pair(control_mode, at_server=ECHO) as (client, accepted, _):
            for step in every_step():
                attempt = Attempt(client.request(bytes(size)), step, moment)
                await attempt.was_cancelled()
                async with asyncio.timeout(PATIENCE):
                    await become_clean(client, accepted)
                    assert await client.request(b"next") == b"next"
                if not attempt.reached:
                    break

    async def test_an_answer_that_comes_with_the_cancellation_is_let_go(
        self, control_mode: Mode
    ) -> None:
        busy = Busy()
        async with open_pair(control_mode, at_server={"on_request": busy}) as (client, other, _):
            asking = asyncio.create_task(client.request(bytes(500_000)))
            await until(lambda: bool(busy.running))
            (answer,) = protocol_of(client).open_channels().requests.pending.values()
            answer.add_done_callback(lambda _: asking.cancel())
            busy.go.set()
            await asyncio.wait([asking])
            assert asking.cancelled()
            await become_clean(client, other)

    async def test_one_that_is_cancelled_before_it_began(self, control_mode: Mode) -> None:
        """Its request and its CANCEL come in one read, and a part of its body with them."""
        async with open_pair(control_mode, at_server=ECHO) as (client, accepted, _):
            await client.request(b"first")
            for _ in range(5):
                protocol_of(client).pause_writing()
                asking = asyncio.create_task(client.request(bytes(90_000)))
                await asyncio.sleep(0)
                asking.cancel()
                await asyncio.wait([asking])
                protocol_of(client).resume_writing()
                await become_clean(client, accepted)

    async def test_disconnection_fails_all_at_once(self, control_mode: Mode) -> None:
        busy = Busy()
        async with open_pair(control_mode, at_server={"on_request": busy}) as (client, other, _):
            sizes = (10, 10, 100_000, 10)
            tasks = [asyncio.create_task(client.request(bytes(size))) for size in sizes]
            requests = protocol_of(other).open_channels().requests
            await until(lambda: len(requests.serving) == 4)
            transport = protocol_of(other).transport
            assert transport is not None
            transport.abort()
            async with asyncio.timeout(PATIENCE):
                for task in tasks:
                    with pytest.raises(ConnectionClosed):
                        await task
            await until(lambda: not busy.running)
            assert busy.cancelled

    @pytest.mark.parametrize("ours", [True, False], ids=["this end", "the other end"])
    async def test_a_close_fails_all_at_once(self, control_mode: Mode, ours: bool) -> None:
        busy = Busy()
        async with open_pair(control_mode, at_server={"on_request": busy}) as (client, other, _):
            tasks = [asyncio.create_task(client.request(b"%04d" % n)) for n in range(4)]
            await until(lambda: len(busy.running) == 4)
            async with asyncio.timeout(PATIENCE):
                closing = asyncio.create_task((client if ours else other).close())
                for task in tasks:
                    with pytest.raises(ConnectionClosed):
                        await task
                await until(lambda: len(busy.cancelled) == 4)
                # The other direction may be open, but what it would carry are messages.
                with pytest.raises(ConnectionClosed):
                    await client.request(b"")
                await (other if ours else client).close()
                assert await closing is True

    async def test_the_program_may_cancel_what_answers(self, control_mode: Mode) -> None:
        async def gives_up(_: Connection, payload: bytes) -> bytes:
            raise asyncio.CancelledError

        async with open_pair(control_mode, at_server={"on_request": gives_up}) as (client, o, _):
            async with asyncio.timeout(PATIENCE):
                for size in (10, 100_000):
                    with pytest.raises(RequestCancelledError):
                        await client.request(bytes(size))
            await become_clean(client, o)


async def test_the_peers_limit_is_kept_to(control_mode: Mode) -> None:
    busy = Busy()
    options = ServerOptions(max_requests=3)
    async with open_pair(control_mode, server_options=options, at_server={"on_request": busy}) as (
        client,
        accepted,
        _,
    ):
        tasks = [asyncio.create_task(client.request(b"%04d" % n)) for n in range(20)]
        await until(lambda: len(busy.running) == 3)
        await client.ping()
        assert len(busy.running) == 3
        tasks[1].cancel()
        tasks[5].cancel()
        await until(lambda: busy.cancelled == [b"0001"])
        await until(lambda: busy.running == {b"0000", b"0002", b"0003"})
        busy.go.set()
        async with asyncio.timeout(PATIENCE):
            got = await asyncio.gather(*tasks, return_exceptions=True)
        assert [n for n, one in enumerate(got) if one != b"%04d" % n] == [1, 5]
        await become_clean(client, accepted)


class TestPlainFunctions:
    """``on_request`` that is no coroutine function answers within the read."""

    @pytest.mark.parametrize("size", SIZES)
    async def test_of_every_size(self, control_mode: Mode, size: int) -> None:
        def on_request(_: Connection, payload: bytes) -> bytes:
            return payload[::-1]

        payload = b"%d " % size * (size // 2 + 1)
        payload = payload[:size]
        async with open_pair(control_mode, at_server={"on_request": on_request}) as pair:
            async with asyncio.timeout(PATIENCE):
                assert await pair.client.request(payload) == payload[::-1]
            await become_clean(pair.client, pair.accepted)

    async def test_no_task_runs(self, control_mode: Mode) -> None:
        seen: list[object] = []

        def on_request(_: Connection, payload: bytes) -> None:
            seen.append(asyncio.current_task())

        async with open_pair(control_mode, at_server={"on_request": on_request}) as pair:
            assert await pair.client.request(b"") == b""
        assert seen == [None]

    async def test_many_in_one_read_are_answered_in_order(self, control_mode: Mode) -> None:
        asked: list[bytes] = []

        def on_request(_: Connection, payload: bytes) -> bytes:
            asked.append(payload)
            return payload

        sent = [b"%d" % number for number in range(50)]
        async with open_pair(control_mode, at_server={"on_request": on_request}) as pair:
            async with asyncio.timeout(PATIENCE):
                got = await asyncio.gather(*map(pair.client.request, sent))
            await become_clean(pair.client, pair.accepted)
        assert got == asked == sent

    async def test_what_is_raised_is_told(
        self, control_mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        def on_request(_: Connection, payload: bytes) -> object:
            if payload == b"on purpose":
                raise RemoteError("Own", "text")
            if payload == b"wrong type":
                return "text"
            if payload == b"gives up":
                raise asyncio.CancelledError
            raise LookupError("not there")

        async with open_pair(control_mode, at_server={"on_request": on_request}) as pair:
            with pytest.raises(RemoteError, match="Own: text"):
                await pair.client.request(b"on purpose")
            with pytest.raises(RemoteError, match="LookupError: not there"):
                await pair.client.request(b"")
            with pytest.raises(RemoteError, match="TypeError"):
                await pair.client.request(b"wrong type")
            with pytest.raises(RequestCancelledError):
                await pair.client.request(b"gives up")
            await become_clean(pair.client, pair.accepted)
        assert len([record for record in caplog.records if record.exc_info]) == 2

    async def test_one_that_returns_a_coroutine_has_it_awaited(self, control_mode: Mode) -> None:
        def on_request(conn: Connection, payload: bytes) -> Any:
            return echo(conn, payload)

        async with open_pair(control_mode, at_server={"on_request": on_request}) as pair:
            async with asyncio.timeout(PATIENCE):
                for size in (10, 100_000):
                    assert await pair.client.request(bytes(size)) == bytes(size)
            await become_clean(pair.client, pair.accepted)


async def test_a_coroutine_begins_within_the_read(control_mode: Mode) -> None:
    """It has a task from its first step on; CANCEL in the same read comes to one that waits."""
    told: list[bytes] = []

    async def on_request(_: Connection, payload: bytes) -> bytes:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(PATIENCE):
                told.append(b"began " + payload)
                if payload.startswith(b"wait"):
                    await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert asyncio.current_task() is task
            told.append(b"cancelled " + payload)
            raise
        return payload.upper()

    async with (
        sealframe.serve(on_request=on_request, **TCP.listen, **control_mode.server) as server,
        dialled(server, control_mode) as peer,
    ):
        # The first one may find no task to begin in.
        await peer.write(channel_frames.request(0, b"first"))
        assert (await peer.read_opcode(Opcode.REPLY))[8:] == b"FIRST"
        for number in range(1, 4):
            payload = b"wait %d" % number
            await peer.write(
                channel_frames.request(number, payload) + channel_frames.cancel(number)
            )
            failure = await peer.read_opcode(Opcode.FAILURE)
            assert channel_frames.parse_failure(failure)[0] == FailureCode.CANCELLED
            assert told[-2:] == [b"began " + payload, b"cancelled " + payload]
        await peer.say_end()
        await peer.await_end()
