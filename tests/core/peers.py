"""Two ends of a connection over a pipe of bytes: no socket, no event loop, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TypedDict, TypeVar, Unpack
from unittest.mock import patch

import pytest

from sealframe import wire
from sealframe.core.events import Ended, Established, Event, Failed, Phase
from sealframe.core.protocol import ProtocolMachine
from sealframe.errors import ConnectionClosedError, HandshakeError
from sealframe.framing import Framing
from sealframe.noise.credentials import Credentials
from sealframe.noise.handshake import Handshake
from sealframe.noise.records import RecordLayer
from sealframe.trust.keys import PrivateKey
from sealframe.trust.peer import Peer as Identity
from sealframe.trust.peer import unknown_client
from sealframe.wire import Opcode, Pattern, control
from sealframe.wire.control import Close, Hello

WITH_PSK = (Pattern.NNPSK0, Pattern.NNHFS_PSK0)
"""Those with a shared key, and no message 3."""
WITH_MESSAGE_3 = (Pattern.XK, Pattern.XX, Pattern.XKHFS, Pattern.XXHFS)
WITH_XX = (Pattern.XX, Pattern.XXHFS)
"""Those whose message 1 proves nothing."""
NOISE_SIZES = {
    Pattern.NNPSK0: (48, 48),
    Pattern.XK: (48, 48, 64),
    Pattern.XX: (32, 96, 64),
    Pattern.NNHFS_PSK0: (1248, 1152),
    Pattern.XKHFS: (1248, 1152, 64),
    Pattern.XXHFS: (1216, 1200, 64),
}
"""Bytes of each Noise message."""
PSK = bytes(range(1, 33))
SERVER_KEY = PrivateKey(bytes(range(33, 65)))
CLIENT_KEY = PrivateKey(bytes(range(65, 97)))
CONTEXT = b"chat.example"
MAXIMUM = 200_000
"""What both ends accept, where a test does not say otherwise."""

_E = TypeVar("_E")

HELLO = control.frame(Opcode.HELLO, Hello(max_frame=MAXIMUM).encode())
WELCOME = control.frame(Opcode.WELCOME, Hello(max_frame=MAXIMUM).encode())
CLOSE = control.frame(Opcode.CLOSE, Close().encode())


@contextmanager
def codec(name: str) -> Iterator[None]:
    """Let every decoder and encoder made meanwhile be the one of that backend."""
    module = import_module(
        "sealframe.framing._codec_py" if name == "python" else "sealframe.framing._codec"
    )
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr("sealframe.framing.layout.Decoder", module.Decoder)
        patches.setattr("sealframe.framing.layout.Encoder", module.Encoder)
        patches.setattr("sealframe.core.protocol.Decoder", module.Decoder)
        patches.setattr("sealframe.core.faults.Decoder", module.Decoder)
        # Its encoder is made once and kept.
        patches.setattr(
            "sealframe.core.protocol.SENDING", Framing(control=True, maximum=wire.MAX_LENGTH)
        )
        probe = Framing()
        assert (type(probe.decoder()), type(probe.encoder)) == (module.Decoder, module.Encoder)
        yield


def places(size: int) -> list[int]:
    """Return where to change a byte: everywhere in what is short, else at the ends of its parts
    and here and there."""
    if size < 100:
        return list(range(size))
    # e; e1 or ekem1, perhaps with a tag; the last tag, maybe with s before it.
    return sorted({*range(0, size, 53), 31, 32, *range(size - 85, size, 7), size - 1})


def message(payload: bytes) -> bytes:
    """Return a message frame."""
    return len(payload).to_bytes(4, "little") + payload


class Peer:
    """A protocol, with what it has to write and what came out of it so far."""

    def __init__(self, protocol: ProtocolMachine) -> None:
        self.protocol = protocol
        self.output = bytearray()
        self.messages: list[bytes] = []
        self.events: list[Event] = []
        self.note()

    def note(self) -> None:
        """Collect the events."""
        self.events += self.protocol.events
        self.protocol.events = []

    def read(self, data: bytes, *, step: int | None = None) -> None:
        """Let it receive ``data``, in reads of at most ``step`` bytes."""
        rest = memoryview(data)
        while rest:
            buffer = self.protocol.get_buffer()
            count = min(len(rest), len(buffer), step or len(rest))
            buffer[:count] = rest[:count]
            self.messages += self.protocol.buffer_updated(count)
            self.note()
            rest = rest[count:]

    def end(self) -> None:
        """Let it receive the end of the stream."""
        self.protocol.receive_eof()
        self.note()

    def send(self, *messages: bytes) -> None:
        """Let it frame messages, and whatever else it wants to write."""
        self.output += b"".join(self.protocol.take_output(list(messages)))

    def take(self) -> bytes:
        """Return what it writes, and forget it."""
        self.send()
        data = bytes(self.output)
        self.output.clear()
        return data

    def events_of(self, kind: type[_E]) -> list[_E]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def error(self) -> ConnectionClosedError | None:
        """The fault, if there was one."""
        failures = self.events_of(Failed)
        assert len(failures) <= 1, "a connection fails once"
        return failures[0].error if failures else None

    @property
    def fault(self) -> ConnectionClosedError:
        """The fault; there must be one."""
        assert self.error is not None
        return self.error

    @property
    def close(self) -> Close | None:
        """What the peer's CLOSE said; there must have been an end."""
        (ended,) = self.events_of(Ended)
        return ended.close

    def established(self) -> bool:
        """Whether messages may be sent."""
        return bool(self.events_of(Established))


def exchange(first: Peer, second: Peer, *, step: int | None = None) -> None:
    """Carry bytes both ways until neither has any."""
    while True:
        from_first, from_second = first.take(), second.take()
        if not from_first and not from_second:
            return
        second.read(from_first, step=step)
        first.read(from_second, step=step)


class Announced(TypedDict, total=False):
    """What an end says in HELLO or WELCOME of what it takes beside messages."""

    window: int | None
    max_streams: int
    max_requests: int


def plain(
    *,
    client: bool,
    extended: bool = False,
    maximum: int = MAXIMUM,
    **announced: Unpack[Announced],
) -> Peer:
    """Return one end of a plain connection, fresh."""
    return Peer(
        ProtocolMachine(client=client, max_message_size=maximum, extended=extended, **announced)
    )


def credentials(*, client: bool, pattern: Pattern = Pattern.NNPSK0) -> Credentials:
    """Return what an honest end has: the one key, or those of a server and its client."""
    if pattern in WITH_PSK:
        return Credentials(pattern, psk=PSK)
    own, other = (CLIENT_KEY, SERVER_KEY) if client else (SERVER_KEY, CLIENT_KEY)
    pinned = client and pattern in (Pattern.XK, Pattern.XKHFS)
    remote = bytes(other.public_key) if pinned else None
    return Credentials(pattern, static=own.secret_bytes(), remote_static=remote)


def sealed(
    *,
    client: bool,
    psk: bytes = PSK,
    context: bytes = CONTEXT,
    maximum: int = MAXIMUM,
    pattern: Pattern = Pattern.NNPSK0,
    **announced: Unpack[Announced],
) -> Peer:
    """Return one end of a sealed connection, fresh.

    :param psk: for those with a shared key; the other patterns have keys of their own
    """
    keys = credentials(client=client, pattern=pattern)
    if pattern in WITH_PSK:
        keys = Credentials(pattern, psk=psk)
    return Peer(
        ProtocolMachine(
            client=client,
            max_message_size=maximum,
            records=RecordLayer(initiator=client, credentials=keys, context=context),
            identify=None if pattern in WITH_PSK else identify,
            **announced,
        )
    )


def identify(key: bytes, token: bytes) -> Identity | HandshakeError:
    """Let in who the two ends of a test are, and nobody else."""
    for name, private in (("server", SERVER_KEY), ("client", CLIENT_KEY)):
        if key == bytes(private.public_key):
            return Identity(name, private.public_key)
    return unknown_client(key)


def packets_pair() -> tuple[Peer, Peer]:
    """Return a client and a server that speak packets."""
    return plain(client=True), plain(client=False)


def extended_pair(**announced: Unpack[Announced]) -> tuple[Peer, Peer]:
    """Return an extended client and its server, after HELLO and WELCOME."""
    client = plain(client=True, extended=True, **announced)
    server = plain(client=False, **announced)
    exchange(client, server)
    assert client.protocol.extended
    assert server.protocol.extended
    return client, server


def sealed_pair(
    pattern: Pattern = Pattern.NNPSK0, **announced: Unpack[Announced]
) -> tuple[Peer, Peer]:
    """Return a sealed client and its server, after the handshake, HELLO and WELCOME."""
    client = sealed(client=True, pattern=pattern, **announced)
    server = sealed(client=False, pattern=pattern, **announced)
    exchange(client, server)
    assert client.protocol.extended
    assert server.protocol.extended
    return client, server


PAIRS = {"packets": packets_pair, "extended": extended_pair, "sealed": sealed_pair}


def frames(data: bytes) -> list[bytes | wire.Control]:
    """Return the frames in bytes that hold whole frames only."""
    decoder = Framing(control=True, maximum=wire.MAX_LENGTH).decoder()
    found = decoder.feed(data)
    assert decoder.pending == 0, "a frame was cut short"
    return found


def opcodes(data: bytes) -> list[int | None]:
    """Return the opcode of each frame, None for a message."""
    return [frame.opcode if isinstance(frame, wire.Control) else None for frame in frames(data)]


@contextmanager
def ephemerals(*private: bytes) -> Iterator[None]:
    """Let handshakes use these private keys in turn as their ephemeral ones."""
    from sealframe.noise.cipher import KeyPair

    pairs = [KeyPair(key) for key in private]
    with patch("sealframe.noise.handshake.KeyPair.generate", side_effect=pairs):
        yield


@contextmanager
def fixed_kem(seed: bytes, ciphertext: bytes) -> Iterator[None]:
    """Let clients have this ML-KEM-768 key pair, and servers encapsulate so."""
    from sealframe.noise.kem import DecapsulationKey, EncapsulationKey

    pair = DecapsulationKey(seed)
    secret = pair.decapsulate(ciphertext)

    def captured(key: EncapsulationKey) -> tuple[bytes, bytes]:
        encapsulate(key)
        return ciphertext, secret

    encapsulate = EncapsulationKey.encapsulate

    with (
        patch("sealframe.noise.handshake.DecapsulationKey.generate", return_value=pair),
        patch.object(EncapsulationKey, "encapsulate", captured),
    ):
        yield


def inject(victim: Peer, other: Peer, *data: bytes) -> None:
    """Let ``victim`` receive frames that ``other`` would never send, each in a record of
    its own where the connection is sealed."""
    layer = other.protocol.records
    for frame in data:
        victim.read(frame if layer is None else b"".join(layer.seal(frame)))


def reveal(writer: Peer, reader: Peer) -> list[bytes | wire.Control]:
    """Return the frames that ``writer`` has to write, opened with ``reader``'s key."""
    layer = reader.protocol.records
    data = writer.take()
    if layer is None:
        return frames(data)
    assert layer.receiver is not None
    plain_text = b"".join(layer.receiver.open(record) for record in records(data))
    return frames(plain_text)


def records(data: bytes) -> list[bytes]:
    """Return the records in the bytes of a sealed stream, without their heads."""
    found = Framing(maximum=wire.MAX_RECORD).decoder().feed(data)
    return [record for record in found if isinstance(record, bytes)]


def first_message(pattern: Pattern = Pattern.NNPSK0) -> bytes:
    """Return a valid first frame."""
    return sealed(client=True, pattern=pattern).take()


def waiting_client(pattern: Pattern = Pattern.NNPSK0) -> Peer:
    """Return a client that has sent its first frame."""
    client = sealed(client=True, pattern=pattern)
    client.take()
    return client


def handshaken(pattern: Pattern = Pattern.NNPSK0) -> tuple[Peer, Peer]:
    """Return a client and a server that have keys, before HELLO was sent."""
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    shake_hands(client, server)
    return client, server


def shake_hands(client: Peer, server: Peer) -> None:
    """Carry the messages of the handshake, and not yet HELLO."""
    server.read(client.take())
    client.read(server.take())
    # Where there is a message 3, HELLO would go with it.
    layer = client.protocol.records
    assert layer is not None
    server.read(b"".join(layer.output))
    layer.output = []


def preamble(pattern: Pattern) -> bytes:
    """Return what stands before the Noise message in the first frame."""
    return wire.MAGIC + bytes((wire.VERSION, pattern))


def noise(pattern: Pattern, *, initiator: bool) -> Handshake:
    """Return the Noise handshake of an honest end, to be led astray by a test."""
    prologue = preamble(pattern) + len(CONTEXT).to_bytes(2, "little") + CONTEXT
    keys = credentials(client=initiator, pattern=pattern)
    return keys.handshake(pattern, initiator=initiator, prologue=prologue)


def handshake(body: bytes) -> bytes:
    return control.frame(Opcode.HANDSHAKE, body)


def check_failed(peer: Peer, reply: bytes) -> HandshakeError:
    """Check that it failed with exactly this reply, and that nothing follows."""
    assert peer.take() == reply
    assert peer.protocol.phase is Phase.FAILED
    assert not peer.established()
    assert not peer.protocol.extended
    assert peer.messages == []
    assert peer.protocol.channel_binding == b""
    peer.read(first_message() + b"\xff" * 3000 + message(b"x"))
    peer.end()
    assert peer.take() == b""
    assert isinstance(peer.fault, HandshakeError)
    return peer.fault
