"""What each codec makes of objects and of bytes, and what it says of those it refuses."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pickle
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe import ConfigurationError, DecodeError, EncodeError, SealframeError
from sealframe.codecs import Codec, Json, Msgspec, Text, check_codec

CANARY = "sesame"
"""Content of a message that nobody is to read in an error."""


class Point(msgspec.Struct):
    x: int
    y: int


@dataclasses.dataclass
class Person:
    name: str
    age: float = 0


class Circle(msgspec.Struct, tag=True):
    radius: float


class Square(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    side: float


class Even(msgspec.Struct):
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{CANARY} is odd")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


# Text


@given(text=st.text())
def test_text_comes_back_as_it_was(text: str) -> None:
    assert Text().decode(Text().encode(text)) == text
    assert Text().encode(text) == text.encode("utf-8")


def test_text_may_be_empty() -> None:
    assert Text().encode("") == b""
    assert Text().decode(b"") == ""


@pytest.mark.parametrize(
    ("message", "place"),
    [
        (b"\xff", 0),
        (b"sesame\x80", 6),
        (b"\xc0\xaf", 0),  # longer than needed
        (b"ok\xed\xa0\x80", 2),  # half a surrogate pair
        (b"cut off \xc3", 8),
    ],
)
def test_what_is_not_utf8_is_refused(message: bytes, place: int) -> None:
    with pytest.raises(DecodeError, match=rf"(?m)^the message is not UTF-8: see byte {place}$"):
        Text().decode(message)
    with pytest.raises(DecodeError, match=rf"(?m)^the message is not UTF-8: see byte {place}$"):
        Json().decode(message)


@pytest.mark.parametrize("wrong", [b"bytes", bytearray(b"x"), 5, None, ["x"]])
def test_what_is_no_text_is_refused(wrong: Any) -> None:
    with pytest.raises(EncodeError, match=rf"is str here, not {type(wrong).__name__}"):
        Text().encode(wrong)


def test_text_without_utf8_is_refused() -> None:
    with pytest.raises(EncodeError, match="the character at index 2 has no UTF-8"):
        Text().encode("ok\ud800")


# JSON


def test_json_is_compact_utf8() -> None:
    value = {"b": [1, 2.5, None, True], "a": "grüß", "": {}}
    data = Json().encode(value)
    assert data == '{"b":[1,2.5,null,true],"a":"grüß","":{}}'.encode()
    assert Json().decode(data) == value
    assert Json().decode(b" { } \n") == {}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # With halves of surrogate pairs, which have no UTF-8.
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(value=json_values)
def test_json_comes_back_as_it_was(value: Any) -> None:
    assert Json().decode(Json().encode(value)) == value


@given(message=st.binary() | st.text('[]{}":,.\\ud-+eE0123456789nulNaItrfs').map(str.encode))
def test_all_that_json_decodes_can_be_encoded(message: bytes) -> None:
    try:
        value = Json().decode(message)
    except DecodeError:
        return
    assert Json().decode(Json().encode(value)) == value


def test_half_a_surrogate_pair_is_written_as_an_escape() -> None:
    assert Json().encode(["ü", "\ud800"]) == rb'["\u00fc","\ud800"]'


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"", r"not JSON: see character 0"),
        (b"{", r"not JSON: see character 1"),
        (b'["sesame" 1]', r"not JSON: see character 10"),
        (b'{"a": 1} sesame', r"not JSON: see character 9"),
        (b"\xef\xbb\xbf{}", r"not JSON: see character 0"),  # a byte order mark
        (b'"\\sesame"', r"not JSON: see character \d+"),
        (b"NaN", r"not JSON: NaN is no number there"),
        (b"[Infinity]", r"not JSON: Infinity is no number there"),
        (b"-Infinity", r"not JSON: -Infinity is no number there"),
        (b"1e999", r"a number that is too large"),
        (b"[-1e999]", r"a number that is too large"),
        (b"1" * 5000, r"a number that is too large"),
        (b"[" * 500_000, r"nested too deeply"),
        (b'{"":' * 500_000, r"nested too deeply"),
    ],
)
def test_what_is_not_json_is_refused(message: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text) as caught:
        Json().decode(message)
    assert CANARY not in str(caught.value)


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "wrong",
    [
        *(math.nan, math.inf, [-math.inf], {"a": {1}}, {("a",): 1}, b"bytes", object()),
        *(circular(), nested(500_000), 10**5000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_json_is_refused(wrong: Any) -> None:
    with pytest.raises(EncodeError, match=r"^there is no JSON for this message: .") as caught:
        Json().encode(wrong)
    assert caught.value.__cause__ is not None


# msgspec


@pytest.mark.parametrize("form", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Point, Point(1, -2)),
        (Person, Person("grüß", 1.5)),
        (Circle | Square, Square(2.0)),
        (list[Point], [Point(1, 2), Point(3, 4)]),
        (dict[str, int], {"a": 1}),
        (int | None, None),
    ],
    ids=str,
)
def test_typed_objects_come_back_as_they_were(form: Any, kind: Any, value: Any) -> None:
    codec = Msgspec(kind, form)
    back = codec.decode(codec.encode(value))
    assert back == value
    assert type(back) is type(value)


def test_the_format_is_json_unless_told_otherwise() -> None:
    assert Msgspec(Point).encode(Point(1, 2)) == b'{"x":1,"y":2}'
    assert Msgspec(Point, "msgpack").encode(Point(1, 2)) == b"\x82\xa1x\x01\xa1y\x02"


def test_what_is_sent_may_be_of_another_type() -> None:
    codec = Msgspec(Point, send_type=Person)
    assert codec.encode(Person("a")) == b'{"name":"a","age":0}'
    assert codec.decode(b'{"x":1,"y":2}') == Point(1, 2)


@pytest.mark.parametrize(
    ("codec", "message", "text"),
    [
        (Msgspec(Point), b'{"x":"sesame","y":2}', r"Expected `int`, got `str` - at `\$.x`$"),
        (Msgspec(Point), b'{"x":1}', r"Object missing required field `y`$"),
        (Msgspec(Point), b"", r"Input data was truncated$"),
        (Msgspec(Point), b'{"x":sesame', r"JSON is malformed: invalid character \(byte 5\)$"),
        (Msgspec(Point), b"[" * 500_000, r"Expected `object`, got `array`$"),
        (Msgspec(list[Any]), b"[" * 500_000, r"RecursionError$"),
        (Msgspec(str), b'"\xff"', r"UnicodeDecodeError$|(?i:invalid utf-8)"),
        (Msgspec(Circle | Square), b'{"type":"sesame"}', r"ValidationError - at `\$.type`$"),
        (Msgspec(list[Square]), b'[{"type":"Square","side":1,"sesame":2}]', r"ValidationError"),
        (Msgspec(Even), b'{"number":3}', r"ValidationError"),
        (Msgspec(Point, "msgpack"), b"\x82\xa1x\xa6sesame", r"Expected `int`, got `str` - at"),
        (Msgspec(Point, "msgpack"), b"\x82\xa1x\x01\xa1y", r"Input data was truncated$"),
        (Msgspec(Point, "msgpack"), b"\x82\xa1x\x01\xa1y\x02sesame", r"is malformed: trailing"),
    ],
)
def test_what_is_not_of_the_type_is_refused(codec: Any, message: bytes, text: str) -> None:
    with pytest.raises(
        DecodeError, match=rf"(?m)^the message is not as agreed: .*(?:{text})"
    ) as caught:
        codec.decode(message)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is not None


@given(message=st.binary(max_size=50))
@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_nothing_but_decode_errors(form: Any, message: bytes) -> None:
    codec = Msgspec(dict[str, Point | str | float | None], form)
    with contextlib.suppress(DecodeError):
        assert isinstance(codec.decode(message), dict)


@pytest.mark.parametrize("form", ["json", "msgpack"])
@pytest.mark.parametrize("wrong", [object(), circular(), 10**50, "\ud800", {1.5: object()}])
def test_what_msgspec_cannot_encode_is_refused(form: Any, wrong: Any) -> None:
    if form == "json" and wrong == 10**50:
        pytest.skip("JSON has large integers")
    with pytest.raises(EncodeError, match=r"^msgspec cannot encode this message: ."):
        Msgspec(Point, form).encode(wrong)


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_what_is_sent_is_checked_where_that_is_asked_for(form: Any) -> None:
    wrong: Any = Point("1", 2)  # type: ignore[arg-type]
    assert Msgspec(Point, form).encode(wrong)
    codec = Msgspec(Point, form, check_sent=True)
    with pytest.raises(EncodeError, match=r"not as agreed: Expected `int`, got `str` - at `\$.x`"):
        codec.encode(wrong)
    assert codec.decode(codec.encode(Point(1, 2))) == Point(1, 2)
    answers = Msgspec(Point, form, send_type=Person, check_sent=True)
    assert answers.encode(Person("a"))
    with pytest.raises(EncodeError, match="not as agreed"):
        answers.encode(Point(1, 2))  # type: ignore[arg-type]


def test_a_format_that_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match=r'"json" or "msgpack"'):
        Msgspec(Point, "xml")  # type: ignore[call-overload]


def test_a_type_that_msgspec_does_not_know() -> None:
    with pytest.raises(TypeError, match="more than one"):
        Msgspec(Point | Person)


WITHOUT_MSGSPEC = """
import sys
sys.modules["msgspec"] = None
import sealframe
from sealframe.codecs import Json, Msgspec
assert Json().encode([1]) == b"[1]"
try:
    Msgspec(int)
except sealframe.MissingExtraError as error:
    assert 'pip install "sealframe[msgspec]"' in str(error), error
else:
    raise AssertionError("no error")
"""


def test_the_extra_is_named_where_it_is_missing() -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_MSGSPEC],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=60,
    )


def test_sealframe_does_not_import_msgspec_unasked() -> None:
    script = "import sys, sealframe; assert 'msgspec' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=60,
    )


# All of them


def test_they_show_what_they_are() -> None:
    assert repr(Text()) == "Text()"
    assert repr(Json()) == "Json()"
    assert repr(Msgspec(Point, "msgpack")) == "Msgspec(Point, 'msgpack')"
    assert repr(Msgspec(int | None)) == "Msgspec(int | None, 'json')"
    assert repr(Msgspec(list[int])) == "Msgspec(list[int], 'json')"


@pytest.mark.parametrize("codec", [Text(), Json(), Msgspec(Point), None])
def test_what_is_a_codec(codec: Codec[Any, Any] | None) -> None:
    check_codec(codec)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [(Json, r"not a class: use Json\(\.\.\.\)"), ("utf-8", "such as sealframe"), (json, "such as")],
)
def test_what_is_none(wrong: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        check_codec(wrong)


def test_the_errors_are_of_sealframe_and_survive_pickling() -> None:
    for kind in (EncodeError, DecodeError):
        assert issubclass(kind, SealframeError)
        assert issubclass(kind, ValueError)
    error = DecodeError("where it is", message=b"what came")
    error.connection = object()
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.message, back.connection) == ("where it is", b"what came", None)
    assert CANARY not in repr(DecodeError("text", message=CANARY.encode()))
