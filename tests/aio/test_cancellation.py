"""Cancelling any await loses nothing, doubles nothing, tears nothing and leaks nothing.

Most tests run an operation again and again and cancel it at its first suspension,
then at its second, and so on until it comes to its end before it is cancelled. Each
time they go on and look at what arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest
from waiting import wait

import sealframe
from sealframe import (
    ClientOptions,
    Connection,
    ConnectionClosed,
    ConnectionClosedOK,
    HandshakeError,
    ServerOptions,
)
from sealframe.aio.connection import protocol_of
from sealframe.aio.receive_queue import ReceiveQueue
from sealframe.aio.send_queue import SendQueue
from sealframe.aio.tasks import start_task
from sealframe.core.budget import Budget
from sealframe.wire import MAGIC, Control, Opcode, control

from .ends import PATIENCE, Family, Mode, count_sockets, dial, open_pair, start
from .scripted import Peer, facing, listening, until
from .stepping import Attempt, Moment, every_step

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

PACKETS = Mode("packets")
EXTENDED = Mode("extended")

OUTBOX_LIMIT = 1000
FILLER = bytes(OUTBOX_LIMIT)
"""One message that fills the send queue of the clients here."""
SMALL_OUTBOX = ClientOptions(outbox_limit=OUTBOX_LIMIT)

Receive = Callable[[Connection], Coroutine[Any, Any, list[bytes]]]


@pytest.fixture(params=list(Moment), ids=lambda moment: moment.value)
def moment(request: pytest.FixtureRequest) -> Moment:
    result: Moment = request.param
    return result


@contextlib.contextmanager
def writing_held(conn: Connection) -> Iterator[None]:
    """Tell a connection what an event loop does while the socket takes no more."""
    protocol_of(conn).pause_writing()
    try:
        yield
    finally:
        protocol_of(conn).resume_writing()


async def take(conn: Connection, count: int) -> list[bytes]:
    """Receive that many messages."""
    async with asyncio.timeout(PATIENCE):
        return [await conn.recv() for _ in range(count)]


# recv, recv_many, async for


async def with_recv(conn: Connection) -> list[bytes]:
    return [await conn.recv()]


async def with_recv_many(conn: Connection) -> list[bytes]:
    return await conn.recv_many()


async def with_limited_recv_many(conn: Connection) -> list[bytes]:
    return await conn.recv_many(1)


async def with_async_for(conn: Connection) -> list[bytes]:
    async for message in conn:
        return [message]
    return []


every_receive = pytest.mark.parametrize(
    "receive", [with_recv, with_recv_many, with_limited_recv_many, with_async_for]
)


@every_receive
async def test_a_cancelled_receive_loses_nothing(
    mode: Mode, receive: Receive, moment: Moment
) -> None:
    async with open_pair(mode) as (client, accepted, _):
        for step in every_step():
            attempt = Attempt(receive(accepted), step, moment)
            await attempt.started()
            messages = [b"%d.%d" % (step, number) for number in range(3)]
            await client.send_many(messages)
            got = [] if await attempt.was_cancelled() else attempt.task.result()
            got += await take(accepted, len(messages) - len(got))
            assert got == messages
            if not attempt.reached:
                break
        assert step > 0


@every_receive
async def test_a_receive_whose_message_another_task_took_can_still_be_cancelled(
    receive: Receive, moment: Moment
) -> None:
    async with open_pair(PACKETS) as (_, accepted, _):
        inbox = protocol_of(accepted).receiver.queue
        for step in range(3):
            attempt = Attempt(receive(accepted), step, moment)
            await attempt.started()
            for _ in range(3):
                # It is woken and then finds nothing.
                inbox.extend([b"for another task"])
                assert inbox.pop() == b"for another task"
                await asyncio.sleep(0)
            assert await attempt.was_cancelled()
            inbox.extend([b"further"])
            assert await take(accepted, 1) == [b"further"]


@every_receive
async def test_a_woken_receiver_that_is_cancelled_passes_its_wake_up_on(
    mode: Mode, receive: Receive
) -> None:
    async with open_pair(mode) as (client, accepted, _):
        for _ in range(3):
            first = Attempt(receive(accepted), 0, Moment.WOKEN)
            await first.started()
            second = asyncio.create_task(receive(accepted))
            await asyncio.sleep(0)
            await client.send(b"the only one")
            assert await first.was_cancelled()
            async with asyncio.timeout(PATIENCE):
                assert await second == [b"the only one"]


@every_receive
async def test_a_receiver_that_has_its_message_wakes_the_next(receive: Receive) -> None:
    async with open_pair(PACKETS) as (client, accepted, _):
        for limit in (1, 2, 5):
            tasks = [asyncio.create_task(receive(accepted))]
            tasks += [asyncio.create_task(with_recv(accepted)) for _ in range(limit)]
            await asyncio.sleep(0)
            sent = [b"%d" % number for number in range(limit + 1)]
            await client.send_many(sent)
            first = len(await tasks[0])
            if first == len(sent):
                # It took all of them at once.
                for task in tasks:
                    task.cancel()
                continue
            async with asyncio.timeout(PATIENCE):
                got = [message for messages in await asyncio.gather(*tasks) for message in messages]
            assert got == sent


async def test_a_slow_loop_over_messages_does_not_keep_them_from_other_tasks(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, _):
        got = []
        released = asyncio.Event()

        async def slow() -> None:
            async for message in accepted:
                got.append(message)
                await released.wait()

        looping = asyncio.create_task(slow())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(accepted.recv())
        await asyncio.sleep(0)
        await client.send_many([b"0", b"1", b"2"])
        async with asyncio.timeout(PATIENCE):
            assert await waiting == b"1"
        assert got == [b"0"]
        looping.cancel()
        await asyncio.wait({looping})
        assert await take(accepted, 1) == [b"2"]


async def test_a_loop_that_is_left_leaves_the_rest_to_others(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, _):
        looping = asyncio.create_task(with_async_for(accepted))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(accepted.recv()) for _ in range(3)]
        await asyncio.sleep(0)
        await client.send_many([b"0", b"1", b"2", b"3"])
        async with asyncio.timeout(PATIENCE):
            assert await looping == [b"0"]
            assert await asyncio.gather(*waiting) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("seed", range(5))
async def test_of_many_receivers_only_the_cancelled_get_nothing(mode: Mode, seed: int) -> None:
    chance = random.Random(seed)
    async with open_pair(mode) as (client, accepted, _):
        got: list[bytes] = []

        async def receive() -> None:
            got.append(await accepted.recv())

        attempts = []
        for _ in range(40):
            never, step = 99, 0
            attempts.append(
                Attempt(receive(), chance.choice((never, step)), chance.choice(list(Moment)))
            )
        await asyncio.sleep(0)
        sent = [b"%d" % number for number in range(40)]
        for number in range(0, 40, 4):
            await client.send_many(sent[number : number + 4])
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        cancelled = [await attempt.was_cancelled() for attempt in attempts]
        assert len(got) == cancelled.count(False) > 0
        assert got + await take(accepted, 40 - len(got)) == sent


async def test_a_receiver_cancelled_in_the_tick_of_the_arrival_leaves_the_message() -> None:
    inbox = ReceiveQueue(Budget(1000, 1000))
    first = asyncio.create_task(wait(inbox))
    second = asyncio.create_task(wait(inbox))
    await asyncio.sleep(0)
    first.cancel()
    inbox.extend([b"message"])
    await asyncio.wait({first})
    assert first.cancelled()
    async with asyncio.timeout(PATIENCE):
        await second
    assert inbox.pop() == b"message"


async def test_a_receiver_cancelled_at_the_end_of_the_connection_wakes_the_others() -> None:
    inbox = ReceiveQueue(Budget(1000, 1000))
    tasks = [asyncio.create_task(wait(inbox)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    inbox.wake_all()
    tasks[1].cancel()
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [True, True, False]


@pytest.mark.parametrize("ticks", range(8))
async def test_a_receiver_cancelled_some_ticks_after_the_send_loses_nothing(
    mode: Mode, ticks: int
) -> None:
    async with open_pair(mode) as (client, accepted, _):
        got: list[bytes] = []
        for number in range(10):
            task = asyncio.create_task(with_recv(accepted))
            await asyncio.sleep(0)
            await client.send(b"%d" % number)
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                got += task.result()
        got += await take(accepted, 10 - len(got))
        assert got == [b"%d" % number for number in range(10)]


@every_receive
async def test_a_timeout_that_races_with_the_arrival_loses_nothing(
    mode: Mode, receive: Receive
) -> None:
    sent = [b"%d" % number for number in range(200)]
    async with open_pair(mode) as (client, accepted, _):

        async def feed() -> None:
            for message in sent:
                await client.send(message)
                await asyncio.sleep(0)

        feeding = asyncio.create_task(feed())
        got: list[bytes] = []
        timeouts = 0
        async with asyncio.timeout(PATIENCE):
            while len(got) < len(sent):
                try:
                    async with asyncio.timeout(timeouts % 4 * 1e-5):
                        got += await receive(accepted)
                except TimeoutError:
                    timeouts += 1
            await feeding
        assert got == sent
        assert timeouts > 0


async def test_wait_for_loses_nothing(mode: Mode) -> None:
    sent = [b"%d" % number for number in range(100)]
    async with open_pair(mode) as (client, accepted, _):
        got: list[bytes] = []
        timeouts = 0
        async with asyncio.timeout(PATIENCE):
            for message in sent:
                await client.send(message)
                try:
                    got.append(await asyncio.wait_for(accepted.recv(), timeouts % 4 * 1e-5))
                except TimeoutError:
                    timeouts += 1
            while len(got) < len(sent):
                got.append(await accepted.recv())
        assert got == sent


async def test_a_receiver_cancelled_as_the_connection_ends_reports_no_stray_error(
    mode: Mode, moment: Moment
) -> None:
    async with open_pair(mode) as (client, accepted, _):
        attempts = [Attempt(accepted.recv(), 0, moment) for _ in range(3)]
        undisturbed = asyncio.create_task(accepted.recv())
        await asyncio.sleep(0)
        closing = asyncio.create_task(client.close())
        for attempt in attempts:
            assert await attempt.was_cancelled()
        with pytest.raises(ConnectionClosedOK):
            await undisturbed
        await accepted.close()
        await closing


# send, send_many


async def with_send(conn: Connection, message: bytes) -> None:
    await conn.send(message)


async def with_send_many(conn: Connection, message: bytes) -> None:
    await conn.send_many([message + b" 1", message + b" 2", message + b" 3"])


Send = Callable[[Connection, bytes], Coroutine[Any, Any, None]]
every_send = pytest.mark.parametrize("send", [with_send, with_send_many])


def written(send: Send, message: bytes) -> list[bytes]:
    """Return the messages that ``send`` sends."""
    return [message] if send is with_send else [message + b" %d" % part for part in (1, 2, 3)]


@every_send
async def test_a_cancelled_send_was_not_accepted_and_any_other_was(
    mode: Mode, send: Send, moment: Moment
) -> None:
    async with open_pair(mode, client_options=SMALL_OUTBOX) as (client, accepted, _):
        for step in every_step():
            with writing_held(client):
                await client.send(FILLER)
                attempt = Attempt(send(client, b"%d" % step), step, moment)
                await attempt.started()
            expected = [FILLER]
            if not await attempt.was_cancelled():
                expected += written(send, b"%d" % step)
            await client.send(b"further")
            assert await take(accepted, len(expected) + 1) == [*expected, b"further"]
            if not attempt.reached:
                break
        assert step > 0


@every_send
async def test_a_send_that_need_not_wait_cannot_be_cancelled_half_way(
    mode: Mode, send: Send
) -> None:
    async with open_pair(mode) as (client, accepted, _):
        task = asyncio.create_task(send(client, b"message"))
        await asyncio.sleep(0)
        assert not task.cancel()
        assert await take(accepted, len(written(send, b"message"))) == written(send, b"message")


async def test_a_send_in_a_task_that_is_cancelled_before_it_starts_sends_nothing() -> None:
    async with open_pair(PACKETS) as (client, accepted, _):
        task = start_task(client.send, b"never")
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await client.send(b"further")
        assert await take(accepted, 1) == [b"further"]


async def test_send_may_be_a_task_or_several(mode: Mode) -> None:
    sent = [b"%d" % number for number in range(20)]
    async with open_pair(mode, client_options=SMALL_OUTBOX) as (client, accepted, _):
        tasks = [asyncio.create_task(client.send(message)) for message in sent]
        await asyncio.gather(*tasks)
        async with asyncio.TaskGroup() as group:
            for message in sent:
                group.create_task(client.send(message))
        assert await take(accepted, 40) == sent * 2


@every_send
async def test_a_woken_sender_that_is_cancelled_passes_its_turn_on(mode: Mode, send: Send) -> None:
    async with open_pair(mode, client_options=SMALL_OUTBOX) as (client, accepted, _):
        with writing_held(client):
            await client.send(FILLER)
            first = Attempt(send(client, b"first"), 0, Moment.WOKEN)
            await first.started()
            second = asyncio.create_task(client.send(b"second"))
            third = asyncio.create_task(client.send(b"third"))
            await asyncio.sleep(0)
        assert await first.was_cancelled()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(second, third)
        assert await take(accepted, 3) == [FILLER, b"second", b"third"]


@every_send
@pytest.mark.parametrize("place", range(3))
async def test_a_waiting_sender_that_is_cancelled_leaves_the_others_in_order(
    send: Send, place: int
) -> None:
    async with open_pair(PACKETS, client_options=SMALL_OUTBOX) as (client, accepted, _):
        with writing_held(client):
            await client.send(FILLER)
            tasks = [asyncio.create_task(send(client, b"%d" % number)) for number in range(3)]
            await asyncio.sleep(0)
            tasks[place].cancel()
            await asyncio.wait({tasks[place]})
            # Whoever comes now does not overtake those who wait.
            tasks.append(asyncio.create_task(send(client, b"3")))
            await asyncio.sleep(0)
        await asyncio.wait(tasks)
        assert [task.cancelled() for task in tasks] == [number == place for number in range(4)]
        expected = [FILLER]
        for number in range(4):
            if number != place:
                expected += written(send, b"%d" % number)
        assert await take(accepted, len(expected)) == expected


@pytest.mark.parametrize("seed", range(5))
async def test_of_many_senders_all_but_the_cancelled_get_their_turn_in_order(
    mode: Mode, seed: int
) -> None:
    chance = random.Random(seed)
    async with open_pair(mode, client_options=SMALL_OUTBOX) as (client, accepted, _):
        attempts = []
        sends = []
        with writing_held(client):
            await client.send(FILLER)
            for number in range(40):
                message = b"%d" % number * chance.choice((1, 100))
                send = chance.choice((with_send, with_send_many))
                never, first = 99, 0
                step = chance.choice((never, first))
                attempts.append(Attempt(send(client, message), step, chance.choice(list(Moment))))
                sends.append(written(send, message))
            await asyncio.sleep(0)
        expected = [FILLER]
        cancelled = [await attempt.was_cancelled() for attempt in attempts]
        for messages, left_out in zip(sends, cancelled, strict=True):
            assert left_out == attempts[sends.index(messages)].reached
            expected += [] if left_out else messages
        assert 0 < cancelled.count(True) < 40
        assert await take(accepted, len(expected)) == expected


async def test_a_sender_cancelled_in_the_tick_of_its_turn_passes_it_on() -> None:
    queue = SendQueue(100)
    queue.append(bytes(100))
    tasks = [asyncio.create_task(queue.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    queue.clear()
    queue.wake()
    async with asyncio.timeout(PATIENCE):
        await tasks[1]
        queue.wake()
        await tasks[2]
    assert tasks[0].cancelled()
    assert not queue.full


@every_send
async def test_a_sender_cancelled_as_the_connection_closes_reports_no_stray_error(
    mode: Mode, send: Send, moment: Moment
) -> None:
    async with open_pair(mode, client_options=SMALL_OUTBOX) as (client, accepted, _):
        with writing_held(client):
            await client.send(FILLER)
            attempts = [Attempt(send(client, b"never"), 0, moment) for _ in range(3)]
            undisturbed = asyncio.create_task(send(client, b"never either"))
            await asyncio.sleep(0)
            closing = asyncio.create_task(client.close())
            for attempt in attempts:
                assert await attempt.was_cancelled()
            with pytest.raises(ConnectionClosed):
                await undisturbed
        assert await take(accepted, 1) == [FILLER]
        with pytest.raises(ConnectionClosedOK):
            await accepted.recv()
        await accepted.close()
        assert await closing


async def test_a_timeout_around_send_means_not_accepted() -> None:
    async with open_pair(PACKETS, client_options=SMALL_OUTBOX) as (client, accepted, _):
        with writing_held(client):
            await client.send(FILLER)
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await client.send(b"never")
        await client.send(b"further")
        assert await take(accepted, 2) == [FILLER, b"further"]


# ping


async def test_a_cancelled_ping_leaves_the_connection_as_it_was(mode: Mode, moment: Moment) -> None:
    if not mode.has_control:
        pytest.skip("there is no ping where only packets flow")
    async with open_pair(mode) as (client, accepted, _):
        for step in every_step():
            attempt = Attempt(client.ping(), step, moment)
            other = asyncio.create_task(client.ping())
            await client.send(b"%d" % step)
            cancelled = await attempt.was_cancelled()
            async with asyncio.timeout(PATIENCE):
                assert await other >= 0
                assert await client.ping() >= 0
            assert await take(accepted, 1) == [b"%d" % step]
            assert cancelled == attempt.reached
            if not attempt.reached:
                break
        assert step > 0


async def test_the_answer_to_a_cancelled_ping_does_not_answer_the_next(mode: Mode) -> None:
    if not mode.has_control:
        pytest.skip("there is no ping where only packets flow")
    async with facing("client", mode) as (conn, peer):
        bodies = []
        for _ in range(2):
            task = asyncio.create_task(conn.ping())
            frame = await peer.read()
            assert isinstance(frame, Control)
            assert frame.opcode == Opcode.PING
            bodies.append(frame.body)
            if len(bodies) == 1:
                task.cancel()
                await asyncio.wait({task})
        await peer.write(control.frame(Opcode.PONG, bodies[0]) + b"\x01\0\0\0m")
        assert await take(conn, 1) == [b"m"]
        # PONG came with it, and has woken whom it will wake.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
        await peer.write(control.frame(Opcode.PONG, bodies[1]))
        async with asyncio.timeout(PATIENCE):
            assert await task >= 0


# connect


async def open_connection(connecting: Awaitable[Connection]) -> Connection:
    return await connecting


@contextlib.asynccontextmanager
async def echoing(
    mode: Mode, family: Family, options: ServerOptions | None = None
) -> AsyncIterator[sealframe.Server]:
    async def echo(conn: Connection) -> None:
        async for message in conn:
            await conn.send(message)

    async with start(echo, mode, family, options) as server:
        yield server


async def test_a_cancelled_connect_leaves_nothing_behind(
    mode: Mode, family: Family, moment: Moment
) -> None:
    async with echoing(mode, family) as server:
        before = count_sockets()
        for step in every_step():
            attempt = Attempt(open_connection(dial(server, mode, family)), step, moment)
            cancelled = await attempt.was_cancelled()
            assert cancelled == attempt.reached
            if not cancelled:
                break
            await until(lambda: not server.clients and count_sockets() <= before)
        assert step > 0
        conn = attempt.task.result()
        await conn.send(b"works")
        assert await take(conn, 1) == [b"works"]
        await conn.close()


async def test_a_connect_cancelled_after_any_number_of_ticks_leaves_nothing_behind(
    mode: Mode,
) -> None:
    async with echoing(mode, Family()) as server:
        before = count_sockets()
        for ticks in every_step():
            task = asyncio.create_task(open_connection(dial(server, mode)))
            for _ in range(ticks):
                await asyncio.sleep(0)
            if not task.cancel():
                break
            await asyncio.wait({task})
            assert task.cancelled()
            await until(lambda: not server.clients and count_sockets() <= before)
        conn = task.result()
        await conn.send(b"works")
        assert await take(conn, 1) == [b"works"]
        await conn.close()


async def test_a_connect_cancelled_while_it_looks_the_name_up_leaves_nothing_behind(
    moment: Moment,
) -> None:
    async with echoing(PACKETS, Family()) as server:
        before = count_sockets()
        for step in every_step():
            connecting = sealframe.connect("localhost", server.port)
            attempt = Attempt(open_connection(connecting), step, moment)
            if not await attempt.was_cancelled():
                break
            await until(lambda: not server.clients and count_sockets() <= before)
        assert step > 0
        await attempt.task.result().close()


async def test_a_connect_cancelled_before_the_server_answers_ends_the_connection(
    mode: Mode,
) -> None:
    if not mode.has_control:
        pytest.skip("where only packets flow a server need not answer")
    async with listening() as listener:
        connecting = sealframe.connect("127.0.0.1", listener.port, **mode.client)
        task = asyncio.create_task(open_connection(connecting))
        async with await listener.accept() as raw:
            assert await raw.receive()
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
            with contextlib.suppress(ConnectionResetError):
                assert await raw.receive() == b""


async def test_a_connect_cancelled_while_it_is_refused_leaves_nothing_behind(
    moment: Moment,
) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    async with echoing(PACKETS, Family()) as server:
        before = count_sockets()
        for step in every_step():
            attempt = Attempt(open_connection(dial(server, Mode("sealed"))), step, moment)
            try:
                assert await attempt.was_cancelled()
            except HandshakeError:
                break
            finally:
                await until(lambda: count_sockets() <= before)
        assert step > 1


async def test_a_connect_cancelled_while_it_refuses_the_server_ends_the_connection() -> None:
    async with listening() as listener:
        before = count_sockets()
        connecting = sealframe.connect("127.0.0.1", listener.port, extended=True)
        task = asyncio.create_task(open_connection(connecting))
        async with await listener.accept() as raw:
            peer = Peer(raw, EXTENDED, client=False)
            assert isinstance(await peer.read(), Control)
            await peer.write(control.frame(Opcode.WELCOME, MAGIC + b"nonsense"))
            # It says why, then waits for the server to close.
            await peer.read_close()
            assert await peer.read() is None
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
            # What is left is the server's end.
            await until(lambda: count_sockets() <= before + 1)


async def test_a_connection_whose_block_is_cancelled_is_closed(mode: Mode, moment: Moment) -> None:
    sent = [b"%d" % number for number in range(6)]
    got: list[bytes] = []

    async def collect(conn: Connection) -> None:
        async for message in conn:
            got.append(message)
            await conn.send(message)

    async with start(collect, mode) as server:

        async def program() -> None:
            async with dial(server, mode) as conn:
                for message in sent[:3]:
                    await conn.send(message)
                    assert await conn.recv() == message
                await conn.send_many(sent[3:])
                received: list[bytes] = []
                async for message in conn:
                    received.append(message)
                    if len(received) == 3:
                        break
                assert received == sent[3:]

        before = count_sockets()
        for step in every_step():
            got.clear()
            attempt = Attempt(program(), step, moment)
            cancelled = await attempt.was_cancelled()
            await until(lambda: not server.clients and count_sockets() <= before)
            assert got == sent[: len(got)]
            assert cancelled == attempt.reached
            if not cancelled:
                break
        assert got == sent
        assert step > 4


async def test_a_cancelled_reconnecting_loop_leaves_nothing_behind(
    mode: Mode, moment: Moment
) -> None:
    options = ClientOptions(backoff_initial=1e-4, backoff_maximum=1e-3)

    async def greet(conn: Connection) -> None:
        await conn.send(await conn.recv())

    async with start(greet, mode) as server:

        async def program() -> int:
            rounds = 0
            async for conn in dial(server, mode, options=options):
                await conn.send(b"hello")
                assert await conn.recv() == b"hello"
                rounds += 1
                if rounds == 3:
                    break
            return rounds

        before = count_sockets()
        for step in every_step():
            attempt = Attempt(program(), step, moment)
            cancelled = await attempt.was_cancelled()
            await until(lambda: not server.clients and count_sockets() <= before)
            assert cancelled == attempt.reached
            if not cancelled:
                break
        assert attempt.task.result() == 3
        assert step > 6


# serve


async def silent(conn: Connection) -> None:
    async for _ in conn:
        pass


async def open_server(serving: Awaitable[sealframe.Server]) -> sealframe.Server:
    return await serving


async def test_a_cancelled_serve_leaves_nothing_behind(family: Family, moment: Moment) -> None:
    before = count_sockets()
    for step in every_step():
        attempt = Attempt(open_server(start(silent, PACKETS, family)), step, moment)
        cancelled = await attempt.was_cancelled()
        assert cancelled == attempt.reached
        if not cancelled:
            break
        await until(lambda: count_sockets() <= before)
        assert family.path is None or not family.path.exists()
    server = attempt.task.result()
    async with dial(server, PACKETS, family):
        await until(lambda: len(server.clients) == 1)
    await server.close()


async def test_a_serve_cancelled_while_it_looks_the_name_up_leaves_nothing_behind(
    moment: Moment,
) -> None:
    before = count_sockets()
    for step in every_step():
        attempt = Attempt(open_server(sealframe.serve(silent, "localhost", 0)), step, moment)
        if not await attempt.was_cancelled():
            break
        await until(lambda: count_sockets() <= before)
    assert step > 0
    await attempt.task.result().close()


class Visited:
    """A server with three clients that have each been sent something."""

    def __init__(self, server: sealframe.Server, clients: list[Connection]) -> None:
        self.server = server
        self.clients = clients

    async def check_all_is_over(self) -> None:
        """Wait for the end of the close; check that no client missed anything."""
        async with asyncio.timeout(PATIENCE):
            await self.server.wait_closed()
            assert not self.server.clients
            for client in self.clients:
                assert await client.recv() == b"last words"
                with pytest.raises(ConnectionClosedOK):
                    await client.recv()
                await client.wait_closed()
            # Once more: it is closed and only says so.
            await self.server.close()


@contextlib.asynccontextmanager
async def visited(mode: Mode) -> AsyncIterator[Visited]:
    spoken = 0

    async def speak(conn: Connection) -> None:
        nonlocal spoken
        await conn.send(b"last words")
        spoken += 1
        async for _ in conn:
            pass

    server = await start(speak, mode)
    clients = [await dial(server, mode) for _ in range(3)]

    async def close_when_told(client: Connection) -> None:
        await until(lambda: protocol_of(client).receiver.error is not None)
        await client.close()

    tasks = [asyncio.create_task(close_when_told(client)) for client in clients]
    await until(lambda: spoken == 3)
    yield Visited(server, clients)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*tasks)


async def test_a_cancelled_close_of_a_server_goes_on(mode: Mode, moment: Moment) -> None:
    for step in every_step():
        async with visited(mode) as visit:
            attempt = Attempt(visit.server.close(), step, moment)
            assert await attempt.was_cancelled() == attempt.reached
            await visit.check_all_is_over()
        if not attempt.reached:
            break
    assert step > 0


async def test_a_server_whose_block_is_cancelled_is_closed(mode: Mode, moment: Moment) -> None:
    for steps in ({0}, {1}, {0, 1}):
        async with visited(mode) as visit:

            async def program() -> None:
                async with visit.server:
                    await asyncio.sleep(0)

            attempt = Attempt(program(), steps, moment)
            assert await attempt.was_cancelled()
            assert attempt.reached
            await visit.check_all_is_over()


async def test_a_cancelled_serve_forever_closes_the_server_first(mode: Mode) -> None:
    async with visited(mode) as visit:
        attempt = Attempt(visit.server.serve_forever(), 0, Moment.SUSPENDED)
        assert await attempt.was_cancelled()
        closed = asyncio.create_task(visit.server.wait_closed())
        await asyncio.sleep(0)
        assert closed.done()
        await visit.check_all_is_over()


async def test_serve_forever_cancelled_twice_does_not_wait_for_the_close(mode: Mode) -> None:
    async with visited(mode) as visit:
        attempt = Attempt(visit.server.serve_forever(), {0, 1}, Moment.SUSPENDED)
        assert await attempt.was_cancelled()
        assert attempt.reached
        await visit.check_all_is_over()


async def test_a_serve_forever_cancelled_as_the_server_closes_ends() -> None:
    async with visited(PACKETS) as visit:
        attempt = Attempt(visit.server.serve_forever(), 0, Moment.WOKEN)
        await attempt.started()
        await visit.server.close()
        assert await attempt.was_cancelled()
        await visit.check_all_is_over()


async def test_waiting_for_a_server_to_close_can_be_cancelled_and_changes_nothing() -> None:
    async with visited(PACKETS) as visit:
        attempt = Attempt(visit.server.wait_closed(), 0, Moment.SUSPENDED)
        other = asyncio.create_task(visit.server.wait_closed())
        assert await attempt.was_cancelled()
        assert len(visit.server.clients) == 3
        assert not other.done()
        late = Attempt(visit.server.wait_closed(), 0, Moment.WOKEN)
        await late.started()
        await visit.server.close()
        assert await late.was_cancelled()
        await other
        await visit.check_all_is_over()


# Connection.close, Connection.wait_closed


async def test_a_cancelled_close_still_delivers_everything(mode: Mode, moment: Moment) -> None:
    sent = [bytes([number]) * 65536 for number in range(32)]
    for step in every_step():
        options = ClientOptions(outbox_limit=4 * 1024 * 1024)
        async with open_pair(mode, client_options=options) as (client, accepted, _):
            await client.send_many(sent)
            attempt = Attempt(client.close(), step, moment)
            got = await take(accepted, len(sent))
            with pytest.raises(ConnectionClosedOK):
                await accepted.recv()
            await accepted.close()
            assert await attempt.was_cancelled() == attempt.reached
            async with asyncio.timeout(PATIENCE):
                assert await client.close()
            assert got == sent
            assert client.stats.unsent == 0
        if not attempt.reached:
            break
    assert step > 0


async def test_one_of_several_that_close_may_be_cancelled(mode: Mode, moment: Moment) -> None:
    async with open_pair(mode) as (client, accepted, _):
        attempt = Attempt(client.close(), 0, moment)
        others = [asyncio.create_task(client.close()) for _ in range(2)]
        waiting = asyncio.create_task(client.wait_closed())
        await asyncio.sleep(0)
        await accepted.close()
        assert await attempt.was_cancelled()
        async with asyncio.timeout(PATIENCE):
            assert await asyncio.gather(*others) == [True, True]
            await waiting


async def test_waiting_for_the_close_can_be_cancelled_and_changes_nothing(
    mode: Mode, moment: Moment
) -> None:
    async with open_pair(mode) as (client, accepted, _):
        for number in range(3):
            attempt = Attempt(client.wait_closed(), 0, Moment.SUSPENDED)
            assert await attempt.was_cancelled()
            await client.send(b"%d" % number)
            assert await take(accepted, 1) == [b"%d" % number]
        # Those who gave up are forgotten.
        assert not protocol_of(client).closer._waiters
        attempt = Attempt(client.wait_closed(), 0, moment)
        await attempt.started()
        closing = asyncio.create_task(accepted.close())
        await client.close()
        await closing
        assert await attempt.was_cancelled()


# All at once


@pytest.mark.parametrize("seed", range(2))
async def test_a_storm_of_cancellations_loses_nothing(mode: Mode, seed: int) -> None:
    chance = random.Random(seed)
    server_options = ServerOptions(inbox_limit=20_000, outbox_limit=20_000)
    client_options = ClientOptions(inbox_limit=20_000, outbox_limit=20_000)
    async with open_pair(mode, server_options=server_options, client_options=client_options) as (
        client,
        accepted,
        _,
    ):
        cancelled = Counter[str]()

        async def attempt(operation: Coroutine[Any, Any, None], kind: str) -> bool:
            """Run it and cancel it after some ticks; return whether it came to its end."""
            task = asyncio.create_task(operation)
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            cancelled[kind] += task.cancelled()
            return not task.cancelled()

        async def send(conn: Connection, name: int, accepted: list[bytes]) -> None:
            for number in range(60):
                size = chance.choice((0, 100, 5_000, 100_000))
                message = b"%d %d " % (name, number) + bytes([number]) * size
                if await attempt(conn.send(message), "send"):
                    accepted.append(message)

        async def receive(conn: Connection, got: list[bytes]) -> None:
            async def receive_one() -> None:
                got.append(await conn.recv())

            async def receive_many() -> None:
                got.extend(await conn.recv_many(3))

            while b"end" not in got:
                await attempt(chance.choice((receive_one, receive_many))(), "receive")

        async def one_way(sender: Connection, receiver: Connection) -> None:
            sent: list[list[bytes]] = [[] for _ in range(3)]
            got: list[bytes] = []
            receiving = [asyncio.create_task(receive(receiver, got)) for _ in range(3)]
            await asyncio.gather(*(send(sender, name, sent[name]) for name in range(3)))
            await sender.send(b"end")
            await asyncio.gather(*receiving)
            assert got.pop() == b"end"
            for name in range(3):
                assert [m for m in got if m.startswith(b"%d " % name)] == sent[name]
            assert len(got) == sum(map(len, sent))

        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(one_way(client, accepted), one_way(accepted, client))
        assert cancelled["send"] > 0
        assert cancelled["receive"] > 0
