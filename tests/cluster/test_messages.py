"""Frames between servers: what was encoded is decoded, and nothing else is."""

from __future__ import annotations

import operator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sealframe.cluster.messages import (
    Broadcast,
    Cancel,
    Failure,
    FailureKind,
    Frame,
    Group,
    Kick,
    MalformedFrameError,
    Message,
    Reply,
    Request,
    RosterPart,
    RosterRequest,
    Session,
    Waiting,
    decode,
    decode_message,
    encode,
    encode_message,
)
from sealframe.cluster.numbers import MAX_TEXT, Opcode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["", "\0", "a.b.*.>", "\ufeff", "👩‍👩‍👧", "\u202e", "x" * MAX_TEXT, "é" * (MAX_TEXT // 2)]
)
TEXTS = st.lists(TEXT, max_size=4).map(tuple)
OPCODE = st.integers(1, max(Opcode)).map(lambda number: bytes([number]))
NUMBER = st.integers(0, 2**64 - 1)
SECONDS = st.none() | st.floats(0, allow_nan=False, allow_infinity=False)
PART = st.tuples(st.integers(0, 2**32 - 2), st.integers(1, 100)).map(
    lambda pair: (pair[0], min(pair[0] + pair[1], 2**32 - 1))
)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Message, TEXT, st.binary()),
    st.builds(Broadcast, TEXTS, st.binary()),
    st.builds(Group, TEXT, TEXTS, st.binary()),
    st.builds(Request, NUMBER, SECONDS, TEXT, st.binary()),
    st.builds(Reply, NUMBER, st.binary()),
    st.builds(Failure, NUMBER, st.sampled_from(FailureKind), TEXT, TEXT),
    st.builds(Cancel, NUMBER),
    st.builds(Kick, TEXT, TEXT),
    st.just(RosterRequest()),
    st.builds(Session, NUMBER, st.binary()),
    st.builds(Waiting, st.lists(NUMBER, max_size=4).map(tuple)),
    st.builds(
        lambda number, place, clients: RosterPart(number, place[0], place[1], clients),
        NUMBER,
        PART,
        st.binary(),
    ),
)

BYTES: list[tuple[Frame, str]] = [
    (Message("ab", b"xyz"), "01 02000000 6162 78797a"),
    (Broadcast(("a", ""), b"p"), "02 02000000 01000000 61 00000000 70"),
    (Group("é", (), b"p"), "03 02000000 c3a9 00000000 70"),
    (Request(258, 1.5, "a", b"p"), "04 0201000000000000 000000000000f83f 01000000 61 70"),
    (Request(1, None, "", b""), "04 0100000000000000 000000000000f07f 00000000"),
    (Reply(1, b"p"), "05 0100000000000000 70"),
    (
        Failure(1, FailureKind.REMOTE, "E", "why"),
        "06 0100000000000000 01 01000000 45 03000000 776879",
    ),
    (Cancel(1), "07 0100000000000000"),
    (Kick("a", "b"), "08 01000000 61 01000000 62"),
    (RosterRequest(), "09"),
    (RosterPart(7, 1, 2, b"[]"), "0a 0700000000000000 01000000 02000000 5b5d"),
    (Session(7, b"\x01x"), "0b 0700000000000000 0178"),
    (Waiting((1, 258)), "0c 0100000000000000 0201000000000000"),
]
"""How each frame is written: servers of different versions have to agree on it."""


@pytest.mark.parametrize(("frame", "data"), BYTES)
def test_frames_are_written_as_documented(frame: Frame, data: str) -> None:
    assert encode(frame) == bytes.fromhex(data)
    assert decode(bytes.fromhex(data)) == frame


def test_every_opcode_is_tried() -> None:
    assert {bytes.fromhex(data)[0] for _, data in BYTES} == set(Opcode)


@given(FRAMES)
def test_what_was_encoded_is_decoded(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


@given(TEXT, st.binary())
def test_a_message_needs_no_object(target: str, payload: bytes) -> None:
    data = encode(Message(target, payload))
    assert encode_message(target, payload) == data
    assert decode_message(data) == (target, payload)


@given(FRAMES, st.data())
def test_a_frame_that_is_cut_is_malformed_or_shorter(frame: Frame, data: st.DataObject) -> None:
    whole = encode(frame)
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        decoded = decode(part)
    except MalformedFrameError:
        return
    # What ends with a payload may be a whole frame with a shorter one.
    assert decoded is not None
    assert encode(decoded) == part


@given(st.binary(max_size=200) | st.builds(operator.add, OPCODE, st.binary(max_size=60)))
@example(b"")
@example(b"\x02\xff\xff\xff\xff")
def test_any_bytes_are_a_frame_or_malformed_or_unknown(data: bytes) -> None:
    try:
        frame = decode(data)
    except MalformedFrameError:
        return
    if frame is None:
        assert data[0] not in set(Opcode)
    elif not isinstance(frame, Failure):  # its kind may be one that a later version has added
        assert encode(frame) == data


@pytest.mark.parametrize("number", [0, max(Opcode) + 1, 127, 255])
def test_an_unknown_opcode_is_no_fault(number: int) -> None:
    assert decode(bytes([number]) + b"whatever") is None


def test_an_unknown_kind_of_failure_is_another() -> None:
    data = bytearray(encode(Failure(1, FailureKind.CLOSED, "", "")))
    data[9] = 200
    assert decode(bytes(data)) == Failure(1, FailureKind.OTHER, "", "")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "empty"),
        ("01 010000", "ends early"),
        ("01 02000000 61", "ends early"),
        ("01 01000100" + "61" * (MAX_TEXT + 1), f"a text of {MAX_TEXT + 1} bytes"),
        ("01 02000000 c328", "not UTF-8"),
        ("01 03000000 eda080", "not UTF-8"),
        ("08 00000000 02000000 c328", "not UTF-8"),
        ("02 ffffffff", "ends early"),
        ("04 0100000000000000 000000000000f8ff 00000000", "time-out of nan"),
        ("04 0100000000000000 000000000000f0bf 00000000", "time-out of -1.0"),
        ("07 0100000000000000 00", "1 bytes too many"),
        ("09 00", "too many"),
        ("0a 0000000000000000 02000000 02000000", "part 2 of a roster that has 2"),
        ("0a 0000000000000000 00000000 00000000", "part 0 of a roster that has 0"),
    ],
)
def test_malformed_bytes_are_told(data: str, complaint: str) -> None:
    with pytest.raises(MalformedFrameError, match=complaint):
        decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    "make",
    [
        lambda text: Message(text, b""),
        lambda text: Broadcast((text,), b""),
        lambda text: Group(text, (), b""),
        lambda text: Request(1, None, text, b""),
        lambda text: Kick("a", text),
    ],
)
def test_text_that_cannot_be_sent_is_refused(make: type[Kick]) -> None:
    with pytest.raises(ValueError, match=r"character 2 is the lone surrogate U\+D83D"):
        encode(make("ab\ud83d"))  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=f"at most {MAX_TEXT} bytes of UTF-8, not {MAX_TEXT + 2}"):
        encode(make("é" * (MAX_TEXT // 2 + 1)))  # type: ignore[call-arg]
