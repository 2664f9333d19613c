"""Control frames of one connection that wait to be written.

Bounded, whatever a peer that reads nothing makes us answer: of PONG and ACK the latest is kept, and
credit adds up to one CREDIT (docs/PROTOCOL.md, sections 3, 12 and 7). CLOSE goes after everything
else.
"""

from __future__ import annotations

from ..wire import MAX_WINDOW, Opcode, control
from ..wire.control import Close


class ControlOutput:
    """The frames; made when there is the first, since most idle connections have none.

    :ivar pending: whether any waits
    :ivar close: the last frame of this end
    :ivar close_size: bytes to which padding fills its body
    """

    __slots__ = (
        "_ack",
        "_credit",
        "_frames",
        "_plaintext",
        "_pong",
        "close",
        "close_size",
        "pending",
    )

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._pong: bytes | None = None
        self._ack: int | None = None
        self._credit = 0
        self._plaintext = b""
        self.close: Close | None = None
        self.close_size = 0
        # Kept, since each write asks for it three times.
        self.pending = False

    @property
    def frames(self) -> int:
        """How many frames wait beside PONG, ACK, CREDIT, CLOSE and plaintext."""
        return len(self._frames)

    def add(self, frame: bytes) -> None:
        """Queue a whole frame."""
        self._frames.append(frame)
        self.pending = True

    def pong(self, body: bytes) -> None:
        """Queue the answer to a PING, in place of one that waits."""
        self._pong = body
        self.pending = True

    def acknowledge(self, number: int) -> None:
        """Queue ACK of all frames up to that one, in place of an ACK that waits."""
        self._ack = number
        self.pending = True

    def credit(self, increment: int) -> None:
        """Let the peer send messages of that cost more."""
        # The limit is reached only by who uses credit that it was not told of.
        self._credit = min(self._credit + increment, MAX_WINDOW)
        self.pending = True

    def end(self, close: Close, *, size: int = 0) -> None:
        """Queue CLOSE.

        :param size: of its body, in bytes, if it would be shorter
        """
        self.close, self.close_size = close, size
        self.pending = True

    def add_plaintext(self, frame: bytes) -> None:
        """Queue a whole frame that goes out as it is, even before a sealed handshake."""
        self._plaintext = frame
        self.pending = True

    def clear(self) -> None:
        """Forget all frames but CLOSE and plaintext: the connection has failed."""
        self._frames.clear()
        self._credit = 0
        self._pong = self._ack = None
        self._update()

    def forget_close(self) -> None:
        """Forget CLOSE: nothing more goes out."""
        self.close = None
        self._update()

    def _update(self) -> None:
        self.pending = bool(
            self._frames
            or self._credit
            or self._pong is not None
            or self._ack is not None
            or self.close is not None
            or self._plaintext
        )

    def take_plaintext(self) -> list[bytes]:
        """Take what goes out as it is."""
        if not self._plaintext:
            return []
        plaintext, self._plaintext = self._plaintext, b""
        self._update()
        return [plaintext]

    def take(self) -> list[bytes]:
        """Take what goes before messages."""
        frames, self._frames = self._frames, []
        if self._pong is not None:
            frames.append(control.frame(Opcode.PONG, self._pong))
            self._pong = None
        if self._ack is not None:
            frames.append(control.ack(self._ack))
            self._ack = None
        if self._credit:
            frames.append(control.frame(Opcode.CREDIT, self._credit.to_bytes(4, "little")))
            self._credit = 0
        self.pending = self.close is not None or bool(self._plaintext)
        return [b"".join(frames)] if len(frames) > 1 else frames

    def take_close(self) -> list[bytes]:
        """Take CLOSE, which goes after messages."""
        if self.close is None:
            return []
        body = self.close.encode(size=self.close_size)
        self.forget_close()
        return [control.frame(Opcode.CLOSE, body)]
