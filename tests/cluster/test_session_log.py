"""Logs of sessions in a real JetStream: who may write there, and what is written once."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from types import SimpleNamespace
from typing import cast

import nats
import pytest
import pytest_asyncio

from sealframe import ClusterUnavailableError
from sealframe.cluster import session_log
from sealframe.cluster.nats_link import NatsLink
from sealframe.cluster.nats_stream import NatsStream, Stored
from sealframe.cluster.session_log import JetStreamStore, open_logs
from sealframe.cluster.session_records import SessionHistory
from sealframe.cluster.subjects import Subjects
from sealframe.server.moving import LaterLink, SessionQuestion
from sealframe.server.session_store import Entry, SessionTakenError, TakenOver
from sealframe.server.session_table import EndedSession

from .nats_servers import NatsServer, one_server

ANY_LOOP = True

MAX_AGE = 60.0


class Losing(NatsStream):
    """Loses answers: what was to be written was."""

    lost = 0
    reads = 0

    async def next(self, subject: str, sequence: int) -> Stored | None:
        self.reads += 1
        return await super().next(subject, sequence)

    async def publish(self, subject: str, data: bytes, *, id: str, last: int) -> int:
        sequence = await super().publish(subject, data, id=id, last=last)
        if self.lost:
            self.lost -= 1
            raise ClusterUnavailableError("the answer was lost")
        return sequence


@pytest.fixture(scope="module")
def jetstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    folder = tmp_path_factory.mktemp("jetstream")
    with one_server(folder, f'jetstream {{ store_dir: "{folder}" }}\n') as server:
        yield server


@pytest_asyncio.fixture
async def stream(jetstream: NatsServer) -> AsyncIterator[Losing]:
    client = await nats.connect(jetstream.url)
    subjects = Subjects(secrets.token_hex(8))
    context = client.jetstream()
    stream = Losing(lambda: context, lambda: 64 * 1024, subjects.stream, subjects.sessions)
    await stream.open(MAX_AGE, 1)
    yield stream
    await client.close()


def question(
    link: int, *, start: int = 1, numbering: int = 0, received: int = 0
) -> SessionQuestion:
    return SessionQuestion(b"k" * 32, (start, link), numbering, received)


async def own(stream: NatsStream, asked: SessionQuestion, numbering: int) -> TakenOver:
    owned = await JetStreamStore(stream).take_over(asked, numbering, True)
    if owned is None:
        owned = await JetStreamStore(stream).take_over(asked, numbering, False)
    assert isinstance(owned, TakenOver)
    return owned


async def test_the_next_server_has_all(stream: Losing) -> None:
    first = await own(stream, question(1), 5)
    await first.log.append(Entry(1, (b"a", b"b")))
    await first.log.append(Entry(2, (b"c" * 200_000,)))
    second = await own(stream, question(2, numbering=5, received=1), 6)
    assert (second.taken, second.unsent) == (2, (b"b", b"c" * 200_000))


async def test_who_has_lost_a_session_writes_nothing_more(stream: Losing) -> None:
    first = await own(stream, question(1), 5)
    second = await own(stream, question(2, numbering=5), 6)
    with pytest.raises(SessionTakenError):
        await first.log.append(Entry(1, (b"late",)))
    with pytest.raises(SessionTakenError):
        await first.log.confirm((1, 3))
    await second.log.append(Entry(0, (b"a",)))
    third = await own(stream, question(3, numbering=6), 7)
    assert (third.taken, third.unsent) == (0, (b"a",))


async def test_an_answer_that_was_lost_writes_nothing_twice(stream: Losing) -> None:
    first = await own(stream, question(1), 5)
    stream.lost = 3
    await first.log.append(Entry(1, (b"a",)))
    await first.log.append(Entry(1, (b"b",)))
    second = await own(stream, question(2, numbering=5), 6)
    assert second.unsent == (b"a", b"b")


async def test_who_comes_later_has_it(stream: Losing) -> None:
    await own(stream, question(2), 5)
    store = JetStreamStore(stream)
    assert await store.take_over(question(1), 6, True) == LaterLink((1, 2))


async def test_a_program_that_was_started_again_has_what_is_sent_from_then_on(
    stream: Losing,
) -> None:
    first = await own(stream, question(1), 5)
    await first.log.append(Entry(3, (b"a",)))
    second = await own(stream, question(1, start=2), 6)
    assert (second.taken, second.unsent) == (3, ())
    await second.log.append(Entry(3, (b"b",)))
    third = await own(stream, question(2, start=2, numbering=6), 7)
    assert third.unsent == (b"b",)


async def test_a_session_that_ended(stream: Losing) -> None:
    first = await own(stream, question(1), 5)
    await first.log.append(Entry(1, (b"a",)))
    ended = EndedSession(0, 4, 1)
    await first.log.end(ended)
    assert await JetStreamStore(stream).take_over(question(2), 6, True) == ended


async def test_a_log_stays_small(stream: Losing, jetstream: NatsServer) -> None:
    first = await own(stream, question(1), 5)
    for number in range(1, 101):
        await first.log.append(Entry(number, (b"%d" % number,)))
        first.log.acknowledged(number - 1, number - 1)
    second = await own(stream, question(2, numbering=5, received=99), 6)
    assert (second.taken, second.unsent) == (100, (b"100",))
    found = await stream.next(stream.subject_of(b"k" * 32), 1)
    assert found is not None
    assert found.sequence > 50


async def test_what_nobody_acknowledges_is_read_in_few_round_trips(stream: Losing) -> None:
    first = await own(stream, question(1), 5)
    for number in range(1, 301):
        await first.log.append(Entry(0, (b"%d" % number,)))
        first.log.acknowledged(0, 0)
    stream.reads = 0
    second = await own(stream, question(2, numbering=5), 6)
    assert second.unsent == tuple(b"%d" % number for number in range(1, 301))
    assert stream.reads < 100


@pytest.mark.parametrize("keep", [1.0, 3600.0])
async def test_what_is_needed_is_younger_than_nats_keeps_it(
    jetstream: NatsServer, keep: float
) -> None:
    """Beyond keep there are five minutes at least, whenever the server is killed."""
    client = await nats.connect(jetstream.url)
    context = client.jetstream()
    link = SimpleNamespace(jetstream=lambda: context, max_payload=client.max_payload, refusal="")
    subjects = Subjects(secrets.token_hex(8))
    store = await open_logs(cast("NatsLink", link), subjects, keep, 1)
    owned = await store.take_over(question(1), 5, False)
    assert isinstance(owned, TakenOver)
    config = (await context.stream_info(subjects.stream)).config
    assert config.max_age is not None
    # What is written just before the pause is over is written anew at the end of the next one.
    assert config.max_age - 2 * owned.log.longest_pause >= keep + 300
    await client.close()


async def test_servers_that_say_different_things_do_not_take_turns_with_the_log(
    nats_nodes: Sequence[NatsServer],
) -> None:
    """It has the most that any of them asks for."""
    client = await nats.connect([node.url for node in nats_nodes])
    context = client.jetstream()
    link = SimpleNamespace(jetstream=lambda: context, max_payload=client.max_payload, refusal="")
    subjects = Subjects(secrets.token_hex(8))
    states = []
    for keep, replicas in [(60.0, 3), (30.0, 1), (90.0, 1)]:
        await open_logs(cast("NatsLink", link), subjects, keep, replicas)
        config = (await context.stream_info(subjects.stream)).config
        states.append((config.max_age, config.num_replicas))
    assert states == [(660.0, 3), (660.0, 3), (690.0, 3)]
    await client.close()


async def test_nodes_that_are_missing_are_waited_for(
    nats_nodes: Sequence[NatsServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader takes one that has just been started for offline."""
    client = await nats.connect([node.url for node in nats_nodes])
    context = client.jetstream()
    asked = 0

    def jetstream() -> nats.js.JetStreamContext:
        nonlocal asked
        asked += 1
        return context

    link = SimpleNamespace(jetstream=jetstream, max_payload=client.max_payload, refusal="")
    await open_logs(cast("NatsLink", link), Subjects(secrets.token_hex(8)), 60.0, 3)
    asked = 0
    monkeypatch.setattr(session_log, "_OPEN_TIMEOUT", 1.0)
    # These never come.
    with pytest.raises(ClusterUnavailableError, match="5 replicas: "):
        await open_logs(cast("NatsLink", link), Subjects(secrets.token_hex(8)), 60.0, 5)
    assert asked > 1
    await client.close()


async def test_a_log_that_keeps_for_ever_goes_on_doing_so(jetstream: NatsServer) -> None:
    client = await nats.connect(jetstream.url)
    context = client.jetstream()
    link = SimpleNamespace(jetstream=lambda: context, max_payload=client.max_payload, refusal="")
    subjects = Subjects(secrets.token_hex(8))
    await open_logs(cast("NatsLink", link), subjects, 60.0, 1)
    config = (await context.stream_info(subjects.stream)).config
    config.max_age = 0
    await context.update_stream(config)
    await open_logs(cast("NatsLink", link), subjects, 60.0, 1)
    assert not (await context.stream_info(subjects.stream)).config.max_age
    await client.close()


async def test_all_of_a_session_is_written_anew(
    stream: Losing, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await own(stream, question(1), 5)
    await first.log.append(Entry(1, (b"a",)))
    monkeypatch.setattr(session_log, "_RENEW", 0.0)
    await first.log.append(Entry(2, (b"b",)))
    stored = await stream.last(stream.subject_of(b"k" * 32))
    assert stored is not None
    history = SessionHistory()
    history.read(stored.sequence, stored.data)
    assert (history.taken, history.after(0)) == (2, (b"a", b"b"))
