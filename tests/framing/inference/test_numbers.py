"""What a suspicious length is."""

from __future__ import annotations

import pytest

from sealframe.framing.inference import explain_number


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1195725856, '"GET "'),
        (542393671, '"GET "'),
        (1347375956, "HTTP request"),
        (1213486160, "HTTP response"),
        (1397966893, "SSH"),
        (0x16030100, "TLS handshake"),
        # As Pulsar and others log it: "Adjusted frame length exceeds 5253120: 1195725860".
        (1195725860, "Less 4, which the header adds"),
        (1347375960, '"POST"'),
        (0x15030300, "TLS alert"),
        (5635, "TLS handshake"),
        (0x0300001F, "TPKT"),
        (0x1F8B0800, "gzip"),
        (0x30303132, "Digits(4)"),
        (0x7B226964, "part of a message"),
        (0x48006900, "UTF-16"),
        (16777216 * 5, "other byte order it is 5"),
        (0x2C010000, "other byte order it is 300"),
        (2147483660, "top bit it is 12"),
        (4294967295, "-1"),
        (-1, "signed"),
        (-2147483636, "top bit it is 12"),
        (1065353216, "floating-point number 1."),
        (1 << 40, "halves"),
        (1 << 70, "2^64"),
        (-(1 << 70), "-2^63"),
    ],
)
def test_it_is_named(number: int, said: str) -> None:
    assert said in " ".join(explain_number(number))


@pytest.mark.parametrize("number", [0, 12, 255, 300, 20000, 1442560])
def test_of_an_ordinary_length_nothing_is_said(number: int) -> None:
    assert explain_number(number) == []
