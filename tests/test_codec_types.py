"""What type checkers know of connections with a codec, and what they refuse.

mypy and pyright are the ones who test here: each ``type: ignore`` would be an error if it were of
no use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_type

from msgspec import Struct

from sealframe import (
    Connecting,
    Connection,
    LinkChange,
    Server,
    Serving,
    Sessions,
    connect,
    serve,
)
from sealframe.buffers import BytesLike
from sealframe.codecs import Codec, Json, Msgspec, Text


@dataclass
class Question:
    text: str


@dataclass
class Answer:
    text: str


class Come(Struct, tag=True):
    """One of two kinds of message."""


class Left(Struct, tag=True):
    """The other."""

    thing: str


class Upper:
    """A codec of a user's own, which knows nothing of ours."""

    def encode(self, message: Answer) -> bytes:
        return message.text.encode()

    def decode(self, message: bytes) -> Question:
        return Question(message.decode().upper())


async def of_bytes(conn: Connection) -> None:
    assert_type(await conn.recv(), bytes)
    assert_type(await conn.recv_many(), list[bytes])
    assert_type(await conn.request(bytearray(b"x"), timeout=1), bytes)
    async for message in conn:
        assert_type(message, bytes)
    await conn.send(bytearray(b"x"))
    await conn.send_many([b"x", memoryview(b"x")])
    await conn.send("text")  # type: ignore[arg-type]
    await conn.request("text")  # type: ignore[arg-type]


async def of_text(conn: Connection[str, str]) -> None:
    assert_type(await conn.recv(), str)
    await conn.send("text")
    assert_type(await conn.request("text"), str)
    await conn.send(b"bytes")  # type: ignore[arg-type]
    await conn.request(b"bytes")  # type: ignore[arg-type]


async def answers(conn: Connection[Answer, Question]) -> None:
    assert_type(await conn.recv(), Question)
    assert_type(await conn.recv_many(), list[Question])
    async for question in conn:
        assert_type(question, Question)
        await conn.send(Answer(question.text))
        await conn.send_many([Answer(question.text)])
        await conn.send(question)  # type: ignore[arg-type]
        await conn.send_many([question])  # type: ignore[list-item]
        assert_type(await conn.request(Answer(question.text)), Question)
        await conn.request(question)  # type: ignore[arg-type]


def test_what_codecs_take_and_give() -> None:
    text: Codec[str, str] = Text()
    anything: Codec[Any, Any] = Json()
    own: Codec[Answer, Question] = Upper()
    wrong: Codec[str, str] = Upper()  # type: ignore[assignment]
    assert_type(Msgspec(Question), Msgspec[Question, Question])
    assert_type(Msgspec(Question, "msgpack"), Msgspec[Question, Question])
    assert_type(Msgspec(Question, send_type=Answer), Msgspec[Answer, Question])
    assert_type(Msgspec(Question | None), Msgspec[Any, Any])
    assert_type(Msgspec(list[Question]), Msgspec[list[Question], list[Question]])
    assert all((text, anything, own, wrong))


def test_what_is_served() -> None:
    codec = Msgspec(Question, send_type=Answer)
    assert_type(serve(of_bytes, "::1", 0), Serving[BytesLike, bytes])
    assert_type(serve(of_text, "::1", 0, codec=Text()), Serving[str, str])
    assert_type(serve(answers, "::1", 0, codec=codec), Serving[Answer, Question])
    assert_type(serve(answers, "::1", 0, codec=Upper()), Serving[Answer, Question])
    serve(answers, "::1", 0, codec=Json())
    serve(of_bytes, "::1", 0, codec=Text())  # type: ignore[arg-type]
    serve(of_text, "::1", 0, codec=codec)  # type: ignore[arg-type]
    serve(answers, "::1", 0, codec=Msgspec(Question))  # type: ignore[arg-type]


async def both(conn: Connection[Come | Left, Come | Left]) -> None:
    assert_type(await conn.recv(), Come | Left)
    await conn.send(Left("a"))
    await conn.send("text")  # type: ignore[arg-type]


def test_a_union() -> None:
    codec: Msgspec[Come | Left, Come | Left] = Msgspec(Come | Left)
    assert_type(serve(both, "::1", 0, codec=codec), Serving[Come | Left, Come | Left])
    assert_type(connect("::1", 1, codec=codec), Connecting[Come | Left, Come | Left])


async def answer(conn: Connection[Answer, Question], question: Question) -> Answer:
    return Answer(question.text)


async def nothing(conn: Connection[Answer, Question], question: Question) -> None:
    """None is an answer, if the codec can encode it."""


async def wrong_question(conn: Connection[Answer, Question], question: str) -> Answer:
    return Answer(question)


async def wrong_answer(conn: Connection[Answer, Question], question: Question) -> Question:
    return question


async def answer_bytes(conn: Connection, payload: bytes) -> bytearray:
    return bytearray(payload)


def test_what_is_answered() -> None:
    codec = Msgspec(Question, send_type=Answer)
    serve(answers, "::1", 0, codec=codec, on_request=answer)
    serve(None, "::1", 0, codec=codec, on_request=answer)
    serve(None, "::1", 0, codec=codec, on_request=nothing)
    serve(None, "::1", 0, on_request=answer_bytes)
    serve(of_bytes, "::1", 0, on_request=answer_bytes)
    serve(None, "::1", 0, codec=codec, on_request=wrong_question)  # type: ignore[arg-type]
    serve(None, "::1", 0, codec=codec, on_request=wrong_answer)  # type: ignore[arg-type]
    connect("::1", 1, codec=codec, on_request=answer)
    connect("::1", 1, on_request=answer_bytes)
    connect("::1", 1, codec=codec, on_request=wrong_answer)  # type: ignore[arg-type]


def on_link(conn: Connection[Answer, Question], change: LinkChange) -> None:
    assert_type(change.connected, bool)
    assert_type(change.after, float | None)


async def on_link_later(conn: Connection, change: LinkChange) -> None:
    assert_type(await conn.wait_connected(), None)


def not_on_link(conn: Connection) -> None:
    """It takes no change."""


def test_what_is_told_of_sessions() -> None:
    keep = Sessions(keep=60)
    for hook in (on_link, on_link_later):
        serve(answers, "::1", 0, codec=Upper(), sessions=keep, on_link=hook)
        connect("::1", 1, session=True, on_link=hook)
    serve(of_bytes, "::1", 0, sessions=keep, on_link=on_link_later)
    connect("::1", 1, session=True, on_link=not_on_link)  # type: ignore[arg-type]


def test_what_is_connected() -> None:
    assert_type(connect("::1", 1), Connecting[BytesLike, bytes])
    assert_type(connect("::1", 1, codec=Text()), Connecting[str, str])
    questions = Msgspec(Answer, send_type=Question)
    assert_type(connect("::1", 1, codec=questions), Connecting[Question, Answer])


async def the_three_ways(connecting: Connecting[Question, Answer]) -> None:
    assert_type(await connecting, Connection[Question, Answer])
    async with connecting as conn:
        assert_type(conn, Connection[Question, Answer])
    async for again in connecting:
        assert_type(again, Connection[Question, Answer])


async def a_server(serving: Serving[Answer, Question], plain: Server) -> None:
    async with serving as server:
        assert_type(server, Server[Answer, Question])
        assert_type(server.clients, Mapping[str, Connection[Answer, Question]])
        server.broadcast(Answer("to all"), exclude=server.clients["1"])
        server.broadcast(b"to all")  # type: ignore[arg-type]
        server.group("some").broadcast(Answer("to some"))
        server.group("some").broadcast(b"to some")  # type: ignore[arg-type]
    assert_type(plain.clients, Mapping[str, Connection])
    plain.broadcast(b"to all", exclude=plain.clients.values())


def test_the_class_can_be_subscribed_when_it_runs() -> None:
    assert Connection[Answer, Question].__args__ == (Answer, Question)  # type: ignore[attr-defined]
