"""What is inferred from streams of real packages."""

from __future__ import annotations

from functools import cache

from sealframe.framing import Framing
from sealframe.framing.inference import Capture, Diagnosis, diagnose, infer

from .streams import Stream, streams


@cache
def found(stream: Stream) -> Diagnosis:
    """Return what is found in a whole stream; once for all tests."""
    return diagnose(stream.capture)


def test_every_whole_stream_is_cut_rightly_at_the_first_answer() -> None:
    wrong = []
    for stream in streams():
        if stream.tags & {"cut", "nonframed", "named"}:
            continue
        candidates = found(stream).candidates
        if not candidates or not stream.cut_as(candidates[0].evidence.starts[0]):
            wrong.append(stream.name)
    assert wrong == []


def test_high_is_never_wrong_and_whoever_is_not_sure_says_why() -> None:
    for stream in streams():
        diagnosis = found(stream)
        if diagnosis.candidates and diagnosis.candidates[0].confidence == "high":
            assert stream.cut_as(diagnosis.candidates[0].evidence.starts[0]), stream.name
            assert diagnosis.verdict is None, stream.name
        else:
            assert diagnosis.verdict, stream.name


def test_protocols_are_named() -> None:
    named = {}
    for stream in streams():
        candidates = found(stream).candidates
        if candidates and candidates[0].name:
            named[stream.name] = candidates[0].name
    for name, entry in {
        "hsms": "hsms",
        "modbus_c2s": "modbus-tcp",
        "opcua_c2s": "opc-ua",
        "iec104_s2c": "iec-104",
        "tpkt_c2s": "tpkt",
        "mllp": "mllp",
        "coap_tcp": "coap-tcp",
        "dns": "dns-tcp",
        "diameter": "diameter",
    }.items():
        assert named.get(name) == entry
    assert not named.keys() & {"twisted_Int32", "multiprocessing", "uint16le_aesgcm_60"}


def test_frames_of_one_length_prove_nothing() -> None:
    (stream,) = (one for one in streams() if one.name == "syn_samelen_random")
    diagnosis = found(stream)
    assert "All 20 frames have 68 bytes" in (diagnosis.verdict or "")


def test_four_frames_suffice_where_segments_are_known() -> None:
    sure = 0
    for stream in streams():
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
    (stream,) = (one for one in streams() if one.name == "grpc_messages")
    data, starts = stream.capture.data, stream.starts
    one, other = Capture(data[: starts[4]]), Capture(data[starts[4] :])
    alone, together = infer(one)[0], infer([one, other])[0]
    assert together.evidence.bits > alone.evidence.bits
    assert together.confidence == "high"
    assert together.evidence.starts == (starts[:4], tuple(s - starts[4] for s in starts[4:]))
    assert together.framing == Framing(byteorder="big", offset=1, strip=0)
