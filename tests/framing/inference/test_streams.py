"""What is inferred from streams of real packages."""

from __future__ import annotations

from typing import Final

import pytest

from sealframe.framing import Framing
from sealframe.framing.inference import Capture, diagnose, infer

from .streams import Stream, streams

NAMED: Final = {
    "hsms": "hsms",
    "modbus_c2s": "modbus-tcp",
    "opcua_c2s": "opc-ua",
    "iec104_s2c": "iec-104",
    "tpkt_c2s": "tpkt",
    "mllp": "mllp",
    "coap_tcp": "coap-tcp",
    "dns": "dns-tcp",
    "diameter": "diameter",
}
UNNAMED: Final = ("twisted_Int32", "multiprocessing", "uint16le_aesgcm_60")


@pytest.mark.parametrize("stream", streams(), ids=lambda one: one.name)
def test_a_whole_stream(stream: Stream) -> None:
    """Cut rightly at the first answer; "high" is never wrong, and who is not sure says why."""
    diagnosis = diagnose(stream.capture)
    first = diagnosis.candidates[0] if diagnosis.candidates else None
    right = first is not None and stream.cut_as(first.evidence.starts[0])
    assert right or stream.tags & {"cut", "nonframed", "named"}
    if first and first.confidence == "high":
        assert right
        assert diagnosis.verdict is None
    else:
        assert diagnosis.verdict
    if stream.name in NAMED:
        assert first
        assert first.name == NAMED[stream.name]
    if stream.name in UNNAMED:
        assert not (first and first.name)
    if stream.name == "syn_samelen_random":
        assert "All 20 frames have 68 bytes" in (diagnosis.verdict or "")


def test_the_streams_that_are_named_here_are_there() -> None:
    known = {stream.name for stream in there()}
    assert known >= {*NAMED, *UNNAMED, "syn_samelen_random"}


def there() -> list[Stream]:
    """Return all streams, or skip the test."""
    found = streams()
    if not found:
        pytest.skip("the streams are not there")
    return found


def test_four_frames_suffice_where_segments_are_known() -> None:
    sure = 0
    for stream in there():
        if stream.tags & {"cut", "nonframed", "named", "samelen", "preamble"} or stream.frames < 8:
            continue
        data = stream.capture.data[: stream.starts[4]]
        capture = Capture(data, tuple(stream.starts[1:4]))
        candidates = infer(capture)
        assert candidates, stream.name
        if candidates[0].confidence == "high":
            sure += 1
            assert candidates[0].evidence.starts[0] == stream.starts[:4], stream.name
    assert sure >= 12


def test_both_directions_settle_more() -> None:
    (stream,) = (one for one in there() if one.name == "grpc_messages")
    data, starts = stream.capture.data, stream.starts
    one, other = Capture(data[: starts[4]]), Capture(data[starts[4] :])
    alone, together = infer(one)[0], infer([one, other])[0]
    assert together.evidence.bits > alone.evidence.bits
    assert together.confidence == "high"
    assert together.evidence.starts == (starts[:4], tuple(s - starts[4] for s in starts[4:]))
    assert together.framing == Framing(byteorder="big", offset=1, strip=0)
