"""What is inferred from the catalogue's recordings: bytes that other people's programs made."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Final

import pytest

from sealframe.framing.inference import Capture, Diagnosis, diagnose
from sealframe.framing.inference.naming import known

from ..layouts.recordings import RECORDINGS, Recording, Stream

FEWEST: Final = 4
"""Frames that a direction has if it is in the table."""
EXPECTED: Final = {
    "9p-0": "high plan-9",
    "9p-1": "high plan-9",
    "adb-0": "high adb",
    "adb-1": "high adb",
    "amqp-0-9-1-0": "high amqp-0-9-1",
    "amqp-0-9-1-1": "high amqp-0-9-1",
    "amqp-1-0-0": "high amqp-1-0",
    "amqp-1-0-1": "high amqp-1-0",
    "amqp-1-0-sasl-0": "high amqp-1-0-sasl",
    "amqp-1-0-sasl-1": "high amqp-1-0-sasl",
    "ams-0": "high ams",
    "ams-1": "high ams",
    "beanstalk-0": "high beanstalk",
    "beanstalk-1": "high beanstalk",
    "bgp-0": "high bgp",
    "bgp-1": "high bgp",
    "bitcoin-0": "high bitcoin",
    "bittorrent-0": "high bittorrent",
    "bittorrent-1": "high bittorrent",
    "bolt-0": "high bolt",
    "capnp-0": "high capnp",
    "capnp-1": "high capnp",
    "cassandra-0": "high cassandra",
    "cassandra-1": "high cassandra",
    "cassandra-v5-0": "high cassandra-v5",
    "cassandra-v5-compressed-0": "high cassandra-v5-compressed",
    "coap-tcp-0": "high coap-tcp",
    "coap-tcp-1": "high coap-tcp",
    "dbus-0": "high dbus",
    "dbus-1": "high dbus",
    "dbus-2": "high dbus",
    "dbus-3": "high dbus",
    "diameter-0": "high diameter",
    "diameter-1": "high diameter",
    "dicom-0": "high dicom",
    "dicom-1": "high dicom",
    "doip-0": "high doip",
    "doip-1": "high doip",
    "epics-ca-0": "high epics-ca",
    "epics-ca-1": "high epics-ca",
    "erlang-packet-1-0": "none",
    "erlang-packet-2-0": "guess",
    "erlang-packet-4-0": "guess",
    "esphome-0": "high esphome",
    "esphome-1": "high esphome",
    "ethernet-ip-0": "high ethernet-ip",
    "ethernet-ip-1": "high ethernet-ip",
    "execnet-0": "high execnet",
    "execnet-1": "high execnet",
    "fastcgi-0": "high fastcgi",
    "fastcgi-1": "high fastcgi",
    "fastcgi-2": "high fastcgi",
    "fastcgi-3": "high fastcgi",
    "fastcgi-4": "high fastcgi",
    "fastcgi-5": "high fastcgi",
    "fix-0": "high fix",
    "frame-streams-0": "high frame-streams",
    "gearman-0": "high gearman",
    "gearman-1": "high gearman",
    "gelf-tcp-0": "high gelf-tcp",
    "giop-10": "high giop",
    "giop-11": "high giop",
    "giop-6": "high giop",
    "giop-7": "high giop",
    "git-0": "high git",
    "git-1": "high git",
    "git-2": "high git",
    "git-3": "high git",
    "git-4": "high git",
    "git-5": "high git",
    "grpc-0": "guess",
    "grpc-1": "guess",
    "hsms-0": "high hsms",
    "hsms-1": "high hsms",
    "http-2-0": "high http-2",
    "http-2-1": "high http-2",
    "http-2-grpc-0": "high http-2",
    "http-2-grpc-1": "high http-2",
    "ice-0": "high ice",
    "ice-1": "high ice",
    "iec-104-0": "high iec-104",
    "iec-104-1": "high iec-104",
    "ipfix-0": "high ipfix",
    "iscsi-0": "high iscsi",
    "iscsi-1": "high iscsi",
    "jdwp-0": "high jdwp",
    "jdwp-1": "high jdwp",
    "json-lines-0": "none",
    "kafka-0": "high kafka",
    "knxnet-ip-0": "high knxnet-ip",
    "ldap-0": "high ldap",
    "ldap-1": "high ldap",
    "lsp-0": "high lsp",
    "mavlink-0": "high mavlink",
    "memcached-binary-0": "high memcached-binary",
    "memcached-binary-1": "high memcached-binary",
    "meshtastic-0": "high meshtastic",
    "meshtastic-1": "high meshtastic",
    "milter-0": "high milter",
    "milter-1": "high milter",
    "minecraft-0": "high minecraft",
    "minecraft-1": "high minecraft",
    "mllp-0": "high mllp",
    "mllp-1": "high mllp",
    "modbus-tcp-0": "high modbus-tcp",
    "modbus-tcp-1": "high modbus-tcp",
    "mongodb-2": "high mongodb",
    "mongodb-3": "high mongodb",
    "mqtt-0": "high mqtt",
    "mqtt-1": "high mqtt",
    "multiprocessing-0": "guess",
    "mysql-0": "high mysql",
    "mysql-1": "high mysql",
    "nats-0": "high nats",
    "nats-1": "high nats",
    "nbd-0": "high nbd",
    "nbd-1": "high nbd",
    "nbd-2": "high nbd",
    "nbd-3": "high nbd",
    "nbd-4": "high nbd",
    "nbd-5": "high nbd",
    "netstring-0": "high",
    "netstring-1": "guess",
    "opc-ua-0": "high opc-ua",
    "opc-ua-1": "high opc-ua",
    "osc-tcp-0": "high osc-tcp",
    "postgresql-0": "high postgresql",
    "postgresql-1": "high postgresql",
    "postgresql-2": "high postgresql",
    "postgresql-3": "high postgresql",
    "protobuf-delimited-0": "guess",
    "pyro5-0": "high pyro5",
    "pyro5-1": "high pyro5",
    "python-logging-0": "high python-logging",
    "rabbitmq-stream-0": "high rabbitmq-stream",
    "rabbitmq-stream-1": "high rabbitmq-stream",
    "rabbitmq-stream-2": "high rabbitmq-stream",
    "rabbitmq-stream-3": "high rabbitmq-stream",
    "rabbitmq-stream-4": "high rabbitmq-stream",
    "rabbitmq-stream-5": "high rabbitmq-stream",
    "rabbitmq-stream-6": "high rabbitmq-stream",
    "rabbitmq-stream-7": "high rabbitmq-stream",
    "redis-0": "high resp",
    "redis-1": "high resp",
    "redis-2": "high resp",
    "redis-3": "high resp",
    "rpyc-0": "high rpyc",
    "rpyc-1": "high rpyc",
    "rsocket-0": "guess",
    "rtcm-3-0": "high rtcm-3",
    "rtr-1": "high rtr",
    "rtsp-0": "high rtsp",
    "sbf-0": "high sbf",
    "sftp-0": "high sftp",
    "sftp-1": "high sftp",
    "sip-0": "high sip",
    "sip-1": "high sip",
    "smb-0": "high smb",
    "smb-1": "high smb",
    "smpp-0": "high smpp",
    "smpp-1": "high smpp",
    "source-rcon-0": "high source-rcon",
    "sp-tcp-0": "high sp-tcp",
    "sp-tcp-1": "high sp-tcp",
    "stomp-0": "high stomp",
    "stomp-1": "high stomp",
    "sun-rpc-0": "high sun-rpc",
    "sun-rpc-1": "high sun-rpc",
    "tarantool-0": "high tarantool",
    "tarantool-1": "high tarantool",
    "tcpros-1": "high tcpros",
    "tds-0": "high tds",
    "thrift-0": "high thrift",
    "thrift-1": "high thrift",
    "thrift-2": "guess",
    "tpkt-0": "high tpkt",
    "tpkt-1": "high tpkt",
    "turn-tcp-0": "high turn-tcp",
    "turn-tcp-1": "high turn-tcp",
    "twisted-int16-0": "guess",
    "twisted-int32-0": "guess",
    "ubx-0": "high ubx",
    "ubx-1": "high ubx",
    "varlink-0": "high varlink",
    "varlink-1": "high varlink",
    "websocket-0": "high websocket",
    "websocket-1": "high websocket",
    "websocket-2": "high websocket",
    "x11-replies-0": "high x11-replies",
    "x11-requests-0": "high x11-requests",
    "zmtp-0": "high zmtp",
    "zmtp-1": "high zmtp",
    "zookeeper-0": "high zookeeper",
}
"""The first answer for each direction: how sure it is, and the name. "wrong" is cut otherwise."""


def streams() -> Iterator[tuple[str, Recording, Stream]]:
    """Yield the directions with so many frames, each with its name in the table."""
    for recording in RECORDINGS:
        for number, stream in enumerate(recording.streams):
            if len(stream.frames) >= FEWEST:
                yield f"{recording.name}-{number}", recording, stream


def starts_of(stream: Stream) -> tuple[int, ...]:
    """Return where its frames start, of those in the first 64 KiB."""
    place = len(stream.preamble)
    starts = []
    for frame in (*stream.frames, stream.rest):
        starts.append(place)
        place += len(frame)
    return tuple(start for start in starts if start < min(1 << 16, len(stream.data)))


def capture_of(stream: Stream) -> Capture:
    """Return what is shown of it: whose bytes they are is not told."""
    return Capture(stream.data, complete=not stream.rest)


def said_of(diagnosis: Diagnosis, truth: list[tuple[int, ...]]) -> str:
    """Return the first answer in short."""
    if not diagnosis.candidates:
        return "none"
    first = diagnosis.candidates[0]
    right = list(first.evidence.starts) == truth
    words = [first.confidence, first.name or "", "" if right else "wrong"]
    return " ".join(filter(None, words))


@pytest.mark.parametrize(
    ("key", "recording", "stream"), [pytest.param(*one, id=one[0]) for one in streams()]
)
def test_each_direction(key: str, recording: Recording, stream: Stream) -> None:
    diagnosis = diagnose(capture_of(stream))
    said = said_of(diagnosis, [starts_of(stream)])
    assert said == EXPECTED[key]
    assert not (said.startswith("high") and said.endswith("wrong"))
    assert {one.name for one in diagnosis.candidates} <= {None, recording.entry}
    assert diagnosis.verdict is None or not said.startswith("high")


def test_the_table_has_all_of_them() -> None:
    assert sorted(EXPECTED) == sorted(key for key, _, _ in streams())


def test_what_has_eight_frames_of_differing_size_is_cut_rightly() -> None:
    """The aim is 97 of 100; what no layout can cut says what it is instead."""
    wrong = [
        key
        for key, _, stream in streams()
        if len(stream.frames) >= 8
        and len({len(frame) for frame in stream.frames}) > 2
        and (EXPECTED[key] == "none" or EXPECTED[key].endswith("wrong"))
    ]
    assert wrong == []


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda one: one.name)
def test_no_direction_has_another_name(recording: Recording) -> None:
    for one in recording.streams:
        (found,) = known([Capture(one.data, complete=not one.rest)])
        assert found is None or found.entry.name == recording.entry
    both = known([Capture(one.data, sender=one.sender) for one in recording.streams])
    assert {one.entry.name for one in both if one} <= {recording.entry}


@pytest.mark.parametrize("name", ["amqp-0-9-1", "amqp-1-0", "amqp-1-0-sasl", "http-2-grpc"])
def test_a_preamble_of_one_direction_does_not_hide_it(name: str) -> None:
    (recording,) = (one for one in RECORDINGS if one.name == name)
    captures = [Capture(one.data, sender=one.sender) for one in recording.streams]
    (first, *_) = diagnose(captures).candidates
    assert first.evidence.starts == tuple(map(starts_of, recording.streams))
    assert (first.confidence, first.name) == ("high", recording.entry)


@pytest.mark.parametrize("name", ["amqp-0-9-1", "postgresql", "x11-replies", "mqtt"])
def test_whose_bytes_these_are_is_told_where_only_one_end_sends_such(name: str) -> None:
    (recording,) = (one for one in RECORDINGS if one.name == name)
    said = []
    for one in recording.streams:
        (first, *_) = diagnose(capture_of(one)).candidates
        said += [note for note in first.evidence.notes if "This is what a" in note]
        assert said[-1:] in ([], [f"This is what a {one.sender} sends."])
    assert bool(said) is (name != "mqtt")


def test_what_leads_to_the_second_frame_by_chance_is_no_first_frame() -> None:
    """In the greeting of NBD and what follows, an option reads as the length of a frame."""
    (recording,) = (one for one in RECORDINGS if one.name == "nbd")
    stream = recording.streams[5]
    boundaries = tuple(accumulate(stream.reads))[:-1]
    data = b"NOMAGIC!" + stream.data[8:]
    (first, *_) = diagnose(Capture(data, boundaries)).candidates
    assert first.name is None
    assert first.confidence == "guess" or first.evidence.starts[0] == starts_of(stream)[1:]


def framed(head: bytes, width: int, more: int = 0) -> bytes:
    """Return frames of a protocol that nobody has: a head, a length, text."""
    texts = [b"motor started", b"ok", b"temperature in the kitchen", b"a", b"speed 11", b"bye now"]
    return b"".join(head + (len(text) + more).to_bytes(width, "big") + text for text in texts)


@pytest.mark.parametrize(
    "data",
    [
        # Types and lengths of a byte each, as WebSocket has.
        framed(b"\x01", 1),
        framed(b"\x02", 1),
        framed(b"\x81", 1),
        # A type, a number, a length that counts all, as RADIUS has.
        framed(b"\x01\x07", 2, 4),
        framed(b"\x04\x01", 2, 4),
        # A version, two numbers and a length, as DLMS has.
        framed(b"\0\x01\0\x03\0\x09", 2),
        # A version, a type, an identifier, as FastCGI has; Kafka; Thrift; AMQP 1.0.
        framed(b"\x01\x03\0\x01", 4),
        framed(b"", 4),
        # MQTT and CoAP: a type, then a length of a byte.
        framed(b"\x30", 1),
        framed(b"\x50", 1),
    ],
    ids=range(10),
)
def test_what_is_laid_out_alike_has_no_name(data: bytes) -> None:
    assert known([Capture(data)]) == [None]
