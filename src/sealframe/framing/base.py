"""What every frame layout offers, whatever its frames look like.

``framing=`` of ``serve`` and ``connect`` takes a :class:`FrameLayout`. It makes a
:class:`FrameDecoder` for each direction of a connection that is read, and a
:class:`FrameEncoder` for each that is written. All of them are sans-IO.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self, SupportsIndex

    from typing_extensions import Buffer

    from .codec_types import Control

__all__ = ["FrameDecoder", "FrameEncoder", "FrameLayout", "Sender"]

Sender: TypeAlias = Literal["client", "server"]
"""Whose bytes: of the end that connected, or of the one that listened."""


class FrameDecoder(Protocol):
    """Cuts one byte stream into frames.

    A frame that the layout does not allow makes the call raise a
    :exc:`~sealframe.errors.FramingError`, as soon as enough of it is there to tell. Its
    ``frames`` are the whole frames before it in the same call. The decoder is dead then:
    each later call raises the same again, with empty ``frames``.
    """

    @property
    def pending(self) -> int:
        """Bytes of the unfinished frame that have arrived; 0 between frames."""

    @property
    def frame_size(self) -> int:
        """Bytes the unfinished frame has in all; 0 while that is not known."""

    @property
    def prefix(self) -> bytes:
        """The first bytes of the whole stream, at most 8, for a diagnosis."""

    @property
    def saw_control(self) -> bool:
        """Whether the frames last returned or raised have a control frame among them."""

    def feed(self, data: Buffer, /) -> list[bytes | Control]:
        """Take the next bytes of the stream; return the messages that are now whole."""

    def get_buffer(self) -> memoryview:
        """Export the memory that the next bytes of the stream are to be written to."""

    def buffer_updated(self, nbytes: SupportsIndex, /) -> list[bytes | Control]:
        """Take the first ``nbytes`` bytes of the exported buffer, like :meth:`feed`."""

    def finish(self) -> None:
        """Say that the stream has ended.

        :raises IncompleteFrameError: it ends inside a frame
        """


class FrameEncoder(Protocol):
    """Makes frames of messages.

    Every method raises :exc:`~sealframe.errors.MessageTooLargeError` and
    :exc:`~sealframe.errors.MessageTooSmallError` for a message outside the limits of the
    layout, :exc:`TypeError` for what is not bytes-like and :exc:`BufferError` for a view
    with gaps.
    """

    def encode(self, payload: Buffer, /) -> bytes:
        """Return the frame that carries ``payload``."""

    def encode_many(self, payloads: Iterable[Buffer], /) -> bytes:
        """Return the frames that carry ``payloads``, joined; or raise and make none."""

    def pack(self, payloads: Iterable[Buffer], /) -> list[bytes]:
        """Return the frames that carry ``payloads`` as buffers to be written in one call."""

    def head(self, length: SupportsIndex, /) -> bytes:
        """Return what goes before a payload of ``length`` bytes.

        :raises NotSupportedError: that depends on the payload itself, or something goes
            behind it
        """


class FrameLayout(ABC):
    """A way to cut a byte stream into messages: what ``framing=`` takes.

    :ivar minimum: the smallest message, in bytes
    :ivar maximum: the largest message, in bytes
    """

    minimum: int
    maximum: int

    @property
    def size_decides(self) -> bool:
        """Whether a message is refused for its size alone, and nothing that is in it matters.

        Such messages are checked by their size when they are sent, and framed when they are
        written; others are framed at once.
        """
        return False

    @abstractmethod
    def limited(self, maximum: int) -> Self:
        """Return the same layout, whose messages have at most ``maximum`` bytes.

        A layout that allows no more than that is returned as it is.

        :raises ConfigurationError: no message of this layout is that small
        """

    @abstractmethod
    def decoder(self, *, sender: Sender | None = None) -> FrameDecoder:
        """Return a new decoder, for one stream in one direction.

        :param sender: whose bytes it will get; only layouts in which the two ends begin
            differently need to be told
        """

    @property
    @abstractmethod
    def encoder(self) -> FrameEncoder:
        """The encoder behind :meth:`encode`, shared by all who send in this layout."""

    def new_encoder(self, *, sender: Sender | None = None) -> FrameEncoder:
        """Return an encoder for one stream in one direction.

        It is :attr:`encoder`, unless the layout's frames depend on those before them.

        :param sender: who sends; only layouts in which the two ends begin differently need
            to be told
        """
        del sender
        return self.encoder

    def preamble(self, sender: Sender) -> bytes:
        """Return what that end sends once, before its first message; mostly nothing."""
        del sender
        return b""

    def encode(self, payload: Buffer) -> bytes:
        """Return the frame that carries a message.

        :param payload: any contiguous bytes-like object
        :raises MessageTooLargeError: it is over the maximum
        :raises MessageTooSmallError: it is below the minimum
        :raises TypeError: it is not bytes-like
        :raises BufferError: it is a view with gaps
        """
        return self.encoder.encode(payload)

    def encode_many(self, payloads: Iterable[Buffer]) -> bytes:
        """Return the frames of all ``payloads``, joined; raises like :meth:`encode`."""
        return self.encoder.encode_many(payloads)

    def head(self, length: SupportsIndex) -> bytes:
        """Return the bytes that go before a payload of ``length`` bytes.

        With it a large payload can be written without being copied behind its
        head. Raises like :meth:`encode` if the size is wrong.

        :raises NotSupportedError: they depend on the payload itself, or something goes
            behind it
        """
        return self.encoder.head(length)
