"""What HELLO, WELCOME and ACK say of a session, as bytes. The hexadecimal texts are frozen."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe import wire
from sealframe.wire import CloseCode, Opcode, control
from sealframe.wire.control import Hello, MalformedBodyError, SessionHello, SessionWelcome
from sealframe.wire.writers import UNKNOWN, Writers

TOKEN = bytes(range(1, 17))
NUMBERING = 0x1122334455667788

HELLO = SessionHello(
    token=TOKEN,
    start=1,
    link=2,
    numbering=NUMBERING,
    received=5,
    acknowledged=5,
    credit=0x0101F4,
    ack_by=1_048_576,
)
HELLO_HEX = (
    "5e00008042" + "7365616c6672616d01" + "0100040000000001" + "0300040000000100" + "04004000"
    "0102030405060708090a0b0c0d0e0f10" + "01000000" + "02000000" + "8877665544332211"
    "0500000000000000" + "0500000000000000" + "f401010000000000" + "00001000" + "01000000"
)
WELCOME = SessionWelcome(
    numbering=NUMBERING,
    received=3,
    acknowledged=2,
    credit=0x010082,
    taken=0,
    keep=120,
    ack_by=1_048_576,
)
WELCOME_HEX = (
    "5200008043" + "7365616c6672616d01" + "0100040000000001" + "0300040000000100" + "04003400"
    "8877665544332211" + "0300000000000000" + "0200000000000000" + "8200010000000000"
    "0000000000000000" + "78000000" + "00001000" + "00000000"
)

u32, u64 = (st.integers(0, 2**bits - 1) for bits in (32, 64))
u63 = st.integers(0, 2**63)
counts = st.tuples(u63, u63).map(lambda pair: (max(pair), min(pair)))
ack_bys = st.integers(1024, 2**32 - 1)


def framed(opcode: Opcode, session: bytes) -> str:
    hello = Hello(max_frame=16 * 1024 * 1024, window=65_536, session=session)
    return control.frame(opcode, hello.encode()).hex()


def test_a_worked_hello() -> None:
    """Token 01…10, start 1, link 2, a known session that goes on."""
    hello = replace(HELLO, known=True)
    assert framed(Opcode.HELLO, hello.encode()) == HELLO_HEX
    whole = Hello.decode(bytes.fromhex(HELLO_HEX)[5:])
    assert SessionHello.decode(whole.session) == hello


def test_a_worked_welcome() -> None:
    """The numbering goes on, and the session is kept for two minutes."""
    assert framed(Opcode.WELCOME, WELCOME.encode()) == WELCOME_HEX
    whole = Hello.decode(bytes.fromhex(WELCOME_HEX)[5:])
    assert SessionWelcome.decode(whole.session) == WELCOME


def test_the_only_flag_says_that_the_session_is_known() -> None:
    assert HELLO.encode()[-4:] == bytes(4)
    assert replace(HELLO, known=True).encode()[-4:] == b"\x01\0\0\0"
    assert not SessionHello.decode(HELLO.encode()).known
    for flags in (2, 3, 0x8000_0000):
        with pytest.raises(MalformedBodyError, match=f"flags of the session, 0x{flags:x}"):
            SessionHello.decode(HELLO.encode()[:-4] + pack("<I", flags))


@given(
    st.binary(min_size=16, max_size=16).filter(any),
    st.tuples(st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1)),
    st.tuples(u64, u63, ack_bys, st.booleans()),
    counts,
)
def test_a_hello_survives_the_round_trip(
    token: bytes,
    attempt: tuple[int, int],
    numbers: tuple[int, int, int, bool],
    counted: tuple[int, int],
) -> None:
    numbering, credit, ack_by, known = numbers
    hello = SessionHello(token, *attempt, numbering, *counted, credit, ack_by, known)
    value = hello.encode()
    assert len(value) == wire.SESSION_HELLO_SIZE == 64
    assert SessionHello.decode(value) == hello


@given(st.integers(1, 2**64 - 1), counts, st.tuples(u63, u63, u32, ack_bys, u32))
def test_a_welcome_survives_the_round_trip(
    numbering: int, counted: tuple[int, int], numbers: tuple[int, int, int, int, int]
) -> None:
    welcome = SessionWelcome(numbering, *counted, *numbers)
    value = welcome.encode()
    assert len(value) == wire.SESSION_WELCOME_SIZE == 52
    assert SessionWelcome.decode(value) == welcome


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (replace(HELLO, token=bytes(16)), "the token of the session is zero"),
        (replace(HELLO, start=0), "start and link of a session begin with 1"),
        (replace(HELLO, link=0), "start and link of a session begin with 1"),
        (replace(HELLO, acknowledged=6), "6 frames of the session are acknowledged, and only 5"),
        (replace(HELLO, ack_by=1023), "1023 bytes, is below 1024"),
        (replace(WELCOME, numbering=0), "the numbering of the session is 0"),
        (replace(WELCOME, acknowledged=4), "4 frames of the session are acknowledged, and only 3"),
        (replace(WELCOME, ack_by=1023), "1023 bytes, is below 1024"),
        (replace(HELLO, received=2**63 + 1), "received of the session, 9223372036854775809,"),
        (replace(HELLO, credit=2**63 + 1), "credit of the session, 9223372036854775809, is over"),
        (replace(WELCOME, received=2**64 - 1), "received of the session, .* is over"),
        (replace(WELCOME, credit=2**63 + 1), "credit of the session, .* is over"),
        (replace(WELCOME, taken=2**63 + 1), "taken of the session, .* is over"),
    ],
)
def test_numbers_that_may_not_be_there(changed: SessionHello | SessionWelcome, text: str) -> None:
    with pytest.raises(MalformedBodyError, match=text):
        type(changed).decode(changed.encode())


@pytest.mark.parametrize(
    "edge",
    [
        replace(HELLO, received=2**63, acknowledged=2**63, credit=2**63),
        replace(WELCOME, received=2**63, acknowledged=2**63, credit=2**63, taken=2**63),
        replace(HELLO, numbering=0, received=0, acknowledged=0, credit=0, ack_by=1024),
        replace(WELCOME, received=0, acknowledged=0, credit=0, keep=0, ack_by=1024),
    ],
)
def test_the_least_and_the_most_that_may_be_there(edge: SessionHello | SessionWelcome) -> None:
    assert type(edge).decode(edge.encode()) == edge


@pytest.mark.parametrize(
    ("decode", "size"), [(SessionHello.decode, 64), (SessionWelcome.decode, 52)]
)
def test_no_other_length_is_read(decode: Callable[[bytes], object], size: int) -> None:
    for length in {0, 52, 64, size - 1, size + 1} - {size}:
        with pytest.raises(MalformedBodyError, match=f"{length} bytes, not {size}"):
            decode(bytes(length))


def test_the_largest_introductions_have_room_for_it() -> None:
    hello = Hello(
        max_frame=wire.MAX_LENGTH,
        software="s" * 100,
        client_id="c" * wire.MAX_CLIENT_ID,
        invitation=bytes(wire.INVITATION_SIZE),
        window=wire.MAX_LENGTH,
        session=HELLO.encode(),
        max_streams=wire.MAX_LENGTH,
        max_requests=wire.MAX_LENGTH,
        writers=bytes(wire.MAX_WRITERS * wire.WRITER_SIZE),
    )
    assert Hello.decode(hello.encode()) == hello


def test_the_token_is_not_told() -> None:
    """Neither by what is printed nor by a copy that could be stored."""
    whole = Hello(session=HELLO.encode())
    for told in (repr(HELLO), repr(whole)):
        assert "token" not in told
        assert repr(TOKEN)[2:-1] not in told
    for thing in (HELLO, whole):
        for take in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="secret"):
                take(thing)


def test_a_worked_ack() -> None:
    assert control.ack(3).hex() == "0900008089" + "0300000000000000"
    assert control.parse_ack(control.ack(3)[5:]) == 3


@given(st.integers(0, 2**63))
def test_an_ack_survives_the_round_trip(number: int) -> None:
    assert control.parse_ack(control.ack(number)[5:]) == number


@pytest.mark.parametrize("length", [0, 7, 9])
def test_an_ack_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(MalformedBodyError, match=f"ACK is {length} bytes, not 8"):
        control.parse_ack(bytes(length))


def test_an_ack_over_all_counts_is_refused() -> None:
    body = (2**63 + 1).to_bytes(8, "little")
    with pytest.raises(MalformedBodyError, match=r"9223372036854775809 is over 2\^63"):
        control.parse_ack(body)


def test_nobody_comes_back_after_a_session_is_lost() -> None:
    assert not {CloseCode.SESSION_LOST, CloseCode.SUPERSEDED} & wire.RETRY_CODES


names = st.binary(min_size=8, max_size=8).filter(any)


@given(names, st.lists(names | st.just(UNKNOWN), max_size=2).map(tuple))
def test_writers_survive_the_round_trip(own: bytes, earlier: tuple[bytes, ...]) -> None:
    hello = replace(HELLO, writers=Writers(own, earlier))
    assert hello.writers is not None
    body = Hello(session=hello.encode(), writers=hello.writers.encode()).encode()
    assert body.endswith(b"\x0e\x00" + pack("<H", 8 + 8 * len(earlier)) + own + b"".join(earlier))
    found = Hello.decode(body)
    assert SessionHello.decode(found.session, found.writers) == hello


@pytest.mark.parametrize("length", [0, 7, 9, 20, 32])
def test_writers_of_another_length_are_refused(length: int) -> None:
    body = Hello(session=HELLO.encode()).encode() + pack("<HH", 14, length) + bytes(length)
    with pytest.raises(MalformedBodyError, match=f"writers of the session are {length} bytes"):
        Hello.decode(body)


def test_a_start_without_a_writer_is_refused() -> None:
    with pytest.raises(MalformedBodyError, match="writers of the session"):
        SessionHello.decode(HELLO.encode(), UNKNOWN + b"87654321")


def test_a_server_names_one_writer() -> None:
    welcome = replace(WELCOME, writer=b"12345678")
    assert SessionWelcome.decode(welcome.encode(), b"12345678") == welcome
    with pytest.raises(MalformedBodyError, match="16 bytes"):
        SessionWelcome.decode(WELCOME.encode(), bytes(16))


@pytest.mark.parametrize(
    ("earlier", "last", "follows"),
    [
        ((), b"own-own-", True),
        ((), b"another-", False),
        ((b"another-", b"before--"), b"another-", True),
        ((b"another-", b"before--"), b"before--", True),
        ((b"another-", b"before--"), b"unheard-", False),
        ((b"another-", UNKNOWN), b"unheard-", True),
        ((), UNKNOWN, True),
    ],
)
def test_who_may_follow_whom(earlier: tuple[bytes, ...], last: bytes, follows: bool) -> None:
    assert Writers(b"own-own-", earlier).may_follow(last) is follows
