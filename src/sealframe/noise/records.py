"""The record layer: AES-GCM under the keys of a handshake (docs/PROTOCOL.md, section 6).

Theory of operation. A sealed connection starts with a handshake, which
:class:`~sealframe.noise.handshake_driver.HandshakeDriver` leads, and goes on with records::

    +--------+------------------------+-----------+
    |  size  |       ciphertext       |    tag    |
    +--------+------------------------+-----------+
     u32 LE    1 to 65,519 bytes        16 bytes
              |<---------- size bytes ----------->|

The plaintexts of the records of one direction, joined, are the stream of the extended protocol:
where a record ends says nothing about where a frame does. The nonce is the record's number. After
every 4,096 records both ends derive the next key (Noise, section 11.3).

The owner reads into :meth:`RecordLayer.get_buffer`. :meth:`RecordLayer.take_single` takes a read
that is one small record; any other goes through :meth:`RecordLayer.buffer_updated` and
:meth:`RecordLayer.records`, which yields views of the buffer, still sealed. Each is opened before
the next is taken, into the decoder of the extended protocol. What is sent goes through
:meth:`RecordLayer.seal`. The states, one after the other:

HANDSHAKE
    Bytes go to the driver. At its end a client goes on with RECORDS.
FIRST_RECORD
    A server has not opened the client's first record, so the client has proved nothing in NNpsk0:
    at most 1,024 bytes are held, and no byte may stand behind that record.
RECORDS
    Records of up to 65,535 bytes.
FAILED
    :attr:`RecordLayer.failure` says why; nothing is opened any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from struct import Struct
from typing import Final

from .. import wire
from ..errors import (
    ConnectionClosedError,
    DecryptionError,
    FramingError,
    HandshakeError,
    NonceExhaustedError,
    ProtocolError,
)
from ..framing import FrameDecoder, Framing
from ..wire import Control, Pattern
from .cipher import CipherState
from .credentials import Credentials
from .fragmentation import fragment
from .handshake_driver import HandshakeDriver, KeyLogger, may_be_plaintext_close, plaintext_refusal

SCRATCH_SIZE: Final = 256 * 1024
"""Bytes that are read at once where records may come."""
SMALL_RECORD: Final = 32 * 1024
"""A record shorter than this is copied once more: that costs less than to seal or open
it in place."""

_HEAD: Final = Struct("<I")

_NOTHING: Final = bytearray()
"""In place of a part of a record, for all connections that have none; it stays empty."""

_LARGEST_FIRST: Final = wire.MAX_FIRST_RECORD - wire.HEAD_SIZE
"""The longest first record of a client, which has proved nothing before."""

spare_buffers: Final[list[bytearray]] = []
"""One scratch buffer that no connection holds: each needs it only during a read."""


class RecordState(Enum):
    """What the next bytes of the stream belong to."""

    HANDSHAKE = auto()
    FIRST_RECORD = auto()
    RECORDS = auto()
    FAILED = auto()


# To look these up in their class, at each record, takes longer than to compare them.
_FIRST_RECORD: Final = RecordState.FIRST_RECORD
_RECORDS: Final = RecordState.RECORDS


class RecordLayer:
    """One sealed connection, seen from one end, from its first byte to its last.

    :param initiator: whether this is the client's end
    :param credentials: our keys, and the patterns that we take
    :param context: the responder's name; both ends must give the same
    :param verify_server_key: for a client that learns the server's public key on the way:
        given its 32 bytes before the client shows its own, it returns an error to stop
    :param trace: called with one line of text for each step of the handshake; never with
        contents, keys or names
    :param key_log: called with the keys of the records, as
        :class:`~sealframe.noise.handshake_driver.HandshakeDriver` says
    """

    __slots__ = (
        "_behind",
        "_fresh",
        "_handshake",
        "_pattern",
        "_state",
        "channel_binding",
        "exported",
        "failure",
        "held",
        "output",
        "peer_key",
        "receiver",
        "sender",
    )

    def __init__(
        self,
        *,
        initiator: bool,
        credentials: Credentials,
        context: bytes = b"",
        verify_server_key: Callable[[bytes], ConnectionClosedError | None] | None = None,
        trace: Callable[[str], None] | None = None,
        key_log: KeyLogger | None = None,
    ) -> None:
        handshake = HandshakeDriver(
            initiator=initiator,
            credentials=credentials,
            context=context,
            verify_server_key=verify_server_key,
            trace=trace,
            key_log=key_log,
        )
        self._handshake: HandshakeDriver | None = handshake
        self._pattern: Pattern | None = None
        self._state = RecordState.HANDSHAKE
        self._fresh: memoryview | None = None
        self._behind = 0
        self.exported: bytearray | None = None
        """What :meth:`get_buffer` gave out, until it is taken back."""
        self.held = _NOTHING
        """The start of an unfinished record."""
        self.sender: CipherState | None = None
        """Seals; there once the handshake is over."""
        self.receiver: CipherState | None = None
        """Opens; likewise."""
        self.output: Sequence[bytes] = handshake.output
        """Handshake frames, or the plaintext refusal, for the wire as they are."""
        self.failure: ConnectionClosedError | None = None
        """Why nothing more can be received; set once."""
        self.channel_binding = b""
        """The handshake hash, the same at both ends and different each time."""
        self.peer_key = b""
        """The peer's proven public key, 32 bytes; empty where the pattern has none."""
        handshake.output = []

    @property
    def established(self) -> bool:
        """Whether both keys exist, so that :meth:`seal` may be called."""
        return self.sender is not None

    @property
    def post_quantum(self) -> bool:
        """Whether the keys come of ML-KEM-768 too; False until they are there."""
        return self._pattern is not None and self._pattern.post_quantum

    @property
    def handshaking(self) -> bool:
        """Whether the handshake is under way: neither over nor failed."""
        return self._handshake is not None

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame of the handshake, or of an unfinished record."""
        return len(self.held if self._handshake is None else self._handshake.received)

    # Receiving

    def get_buffer(self) -> memoryview:
        """Return where the next bytes from the socket go."""
        exported = self.exported
        if exported is None:
            unknown = self.receiver is None
            exported = bytearray(wire.MAX_UNAUTHENTICATED) if unknown else _take_scratch()
            self.exported = exported
        return memoryview(exported)

    def take_single(self, nbytes: int) -> bytes | None:
        """Return the small record of which the ``nbytes`` of the buffer consist, if they are
        just that, as in a dialogue; otherwise nothing has happened."""
        exported = self.exported
        if exported is None or self.held or self._state is not _RECORDS:
            return None
        size = nbytes - wire.HEAD_SIZE
        if not wire.MIN_RECORD <= size < SMALL_RECORD or _HEAD.unpack_from(exported)[0] != size:
            return None
        record = bytes(memoryview(exported)[wire.HEAD_SIZE : nbytes])
        self.return_buffer()
        return record

    def buffer_updated(self, nbytes: int) -> None:
        """Take in ``nbytes`` of the buffer and go on with the handshake.

        Each time, go through :meth:`records` then.
        """
        assert self.exported is not None
        if self.receiver is None:
            data, self.exported = memoryview(self.exported)[:nbytes], None
            self.feed(data)
        else:
            self._fresh = memoryview(self.exported)[:nbytes]

    def feed(self, data: bytes | memoryview) -> None:
        """Take in bytes that are already here, as :meth:`buffer_updated` does."""
        handshake = self._handshake
        if handshake is None:
            self._fresh = memoryview(data)
            return
        handshake.receive(data)
        self.output = [*self.output, *handshake.output]
        handshake.output = []
        if handshake.failure is not None:
            self._fail(handshake.failure)
        elif handshake.result is not None:
            self._start(handshake)

    def records(self) -> Iterator[bytes | memoryview]:
        """Yield the records that are whole now, still sealed; open each before the next.

        On any fault :attr:`failure` is set, what came before it has been yielded, and
        nothing after it ever is. Open them even if nobody wants them any more: a record
        that is not authentic also settles what may still be answered.
        """
        fresh, self._fresh = self._fresh, None
        if fresh is None:
            return
        first = self._state is _FIRST_RECORD
        largest = _LARGEST_FIRST if first else wire.MAX_RECORD
        place, end = 0, len(fresh)
        try:
            if self.held:
                place = self._complete(fresh, largest)
                if place > end:
                    return
                self._behind = end - place
                held, self.held = self.held, _NOTHING
                record = memoryview(held)[wire.HEAD_SIZE :]
                yield record
                record.release()
            while (body := place + wire.HEAD_SIZE) <= end and self.failure is None:
                size: int = _HEAD.unpack_from(fresh, place)[0]
                if not wire.MIN_RECORD <= size <= largest:
                    self._receive_plaintext(fresh[place:].tobytes(), largest)
                    break
                after = body + size
                if after > end:
                    break
                self._behind = end - after
                if size < SMALL_RECORD:
                    yield fresh[body:after].tobytes()
                else:
                    record = fresh[body:after]
                    yield record
                    # Who keeps an error keeps its frames, but not what they looked at.
                    record.release()
                place = after
            if place < end and self.failure is None:
                self.held = bytearray(fresh[place:])
        except FramingError as fault:
            self._fail_record(fault)
        finally:
            fresh.release()
            self.return_buffer()

    def return_buffer(self) -> None:
        """Take back what :meth:`get_buffer` exported: nothing will come in it."""
        exported, self.exported = self.exported, None
        if exported is not None and not spare_buffers and len(exported) == SCRATCH_SIZE:
            spare_buffers.append(exported)

    def forget_input(self) -> None:
        """Let go of an unfinished record, and of what :meth:`get_buffer` exported: the event loop
        may still be reading into that."""
        self.exported = None
        self.held = _NOTHING

    def open(self, record: bytes | memoryview) -> bytes:
        """Return the plaintext of the record; nothing, and :attr:`failure`, if it has none."""
        receiver = self.receiver
        assert receiver is not None
        try:
            plaintext = receiver.open_record(record)
        except (DecryptionError, NonceExhaustedError) as error:
            self._fail_record(error)
            return b""
        if self._state is _FIRST_RECORD:
            if self._behind:
                self._fail(HandshakeError("the client sent more before it was welcomed"))
                return b""
            self._state = _RECORDS
        return plaintext

    def open_into(self, record: bytes | memoryview, decoder: FrameDecoder) -> list[bytes | Control]:
        """Give the record's plaintext to ``decoder``; return the frames that are now whole.

        A large one is opened where the decoder wants it, which saves a copy or two.

        :raises FramingError: the decoder's, for what it found in a record that is authentic
        """
        if len(record) < SMALL_RECORD:
            return decoder.feed(self.open(record))
        size = len(record) - wire.TAG_SIZE
        receiver = self.receiver
        assert receiver is not None
        exported = decoder.get_buffer()
        if len(exported) < size:
            # The rest of one message, and the record goes on behind it.
            decoder.buffer_updated(0)
            return decoder.feed(self.open(record))
        with exported[:size] as place:
            try:
                receiver.open_record_into(record, place)
            except (DecryptionError, NonceExhaustedError) as error:
                self._fail_record(error)
                size = 0
        return decoder.buffer_updated(size)

    # Sending

    def seal(self, *plaintexts: bytes) -> list[bytes]:
        """Return the records that carry the joined ``plaintexts``, each with its head.

        Call it in wire order and write what it returns: each call uses up nonces.

        :raises NonceExhaustedError: after 2^64 - 1 records
        """
        sender = self.sender
        assert sender is not None
        pieces = fragment(plaintexts)
        if not pieces:
            return []
        if len(pieces) == 1 and len(pieces[0]) < SMALL_RECORD:
            record = sender.seal_record(pieces[0])
            return [_HEAD.pack(len(record)) + record]
        return [sender.seal_records(pieces)]

    # The handshake's end, and failures

    def end(self) -> ConnectionClosedError:
        """Return the error for a stream that ends while :attr:`handshaking`."""
        assert self._handshake is not None
        return self._handshake.end()

    def abandon(self) -> None:
        """The connection is over: drop the keys of a handshake that is not."""
        if self._handshake is not None:
            self._handshake.abandon()

    def refuse_silent(self) -> None:
        """Queue the answer to a client that has said nothing until the handshake had to be over."""
        assert self._handshake is not None
        self._handshake.refuse_silent()
        self.output = [*self.output, *self._handshake.output]
        self._handshake.output = []

    def _start(self, handshake: HandshakeDriver) -> None:
        """Go on with records; the first bytes may have come with the last message."""
        assert handshake.result is not None
        result = handshake.result
        self.sender, self.receiver = result.sender, result.receiver
        self.channel_binding, self.peer_key = result.channel_binding, result.peer_key
        self._pattern = result.pattern
        self._state = _RECORDS if handshake.initiator else _FIRST_RECORD
        self._fresh = memoryview(handshake.received)
        self._handshake = None

    def _fail(self, error: ConnectionClosedError) -> None:
        self._state = RecordState.FAILED
        self.held = _NOTHING
        self._handshake = None
        self.failure = error

    def _complete(self, fresh: memoryview, largest: int) -> int:
        """Add to the record of which a part is held; return where in ``fresh`` it ends."""
        held = self.held
        place = max(wire.HEAD_SIZE - len(held), 0)
        held += fresh[:place]
        if len(held) < wire.HEAD_SIZE:
            return len(fresh) + 1
        size: int = _HEAD.unpack_from(held)[0]
        if not wire.MIN_RECORD <= size <= largest:
            held += fresh[place:]
            self._receive_plaintext(bytes(held), largest)
            return len(fresh) + 1
        after = place + wire.HEAD_SIZE + size - len(held)
        held += fresh[place:after]
        return after

    def _receive_plaintext(self, data: bytes, largest: int) -> None:
        """Take in CLOSE in place of the peer's first record, which would prove its key: an end
        may find only in the last handshake message that it has to refuse.

        :raises FramingError: it is anything else
        """
        assert self.receiver is not None
        if self.receiver.nonce or not may_be_plaintext_close(data):
            _refuse_size(data[: wire.HEAD_SIZE], largest)
        end = wire.HEAD_SIZE + (_HEAD.unpack_from(data)[0] & wire.LENGTH_MASK)
        if len(data) < end:
            self.held = bytearray(data)
        else:
            self._fail(plaintext_refusal(data[wire.HEAD_SIZE + 1 : end], self._pattern))

    def _fail_record(self, cause: Exception) -> None:
        # Until its first record opened, the peer has proved nothing.
        assert self.receiver is not None
        first = self.receiver.nonce == 0
        kind = HandshakeError if first else ProtocolError
        failure = kind(f"the sealed stream is broken: {cause}")
        failure.__cause__ = cause
        self._fail(failure)


def _take_scratch() -> bytearray:
    try:
        return spare_buffers.pop()
    except IndexError:
        return bytearray(SCRATCH_SIZE)


def _refuse_size(head: bytes | bytearray, largest: int) -> None:
    """Raise the error for a length that no record has; the codec has the words for it."""
    Framing(minimum=wire.MIN_RECORD, maximum=largest).decoder().feed(head)
