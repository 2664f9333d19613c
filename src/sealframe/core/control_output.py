"""Control frames of one connection that wait to be written.

Bounded, whatever a peer that reads nothing makes us answer: of PONG the latest is kept, and credit
adds up to one CREDIT (docs/PROTOCOL.md, sections 3 and 7). CLOSE goes after everything else.
"""

from __future__ import annotations

from ..wire import MAX_WINDOW, Opcode, control


class ControlOutput:
    """The frames; made when there is the first, since most idle connections have none.

    :ivar plaintext: a whole frame that goes out as it is, even before a sealed handshake
    :ivar close: the last frame of this end
    """

    __slots__ = ("_credit", "_frames", "_pong", "close", "plaintext")

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._pong: bytes | None = None
        self._credit = 0
        self.close: bytes | None = None
        self.plaintext = b""

    def __bool__(self) -> bool:
        return bool(
            self._frames
            or self._credit
            or self._pong is not None
            or self.close is not None
            or self.plaintext
        )

    def __len__(self) -> int:
        """Return how many frames wait beside PONG, CREDIT, CLOSE and plaintext."""
        return len(self._frames)

    def add(self, frame: bytes) -> None:
        """Queue a whole frame."""
        self._frames.append(frame)

    def pong(self, body: bytes) -> None:
        """Queue the answer to a PING, in place of one that waits."""
        self._pong = body

    def credit(self, increment: int) -> None:
        """Let the peer send messages of that cost more."""
        # The limit is reached only by who uses credit that it was not told of.
        self._credit = min(self._credit + increment, MAX_WINDOW)

    def clear(self) -> None:
        """Forget all frames but CLOSE and plaintext: the connection has failed."""
        self._frames.clear()
        self._credit = 0
        self._pong = None

    def take(self) -> list[bytes]:
        """Return the frames in one buffer, without CLOSE and plaintext."""
        frames, self._frames = self._frames, []
        if self._pong is not None:
            frames.append(control.frame(Opcode.PONG, self._pong))
            self._pong = None
        if self._credit:
            frames.append(control.frame(Opcode.CREDIT, self._credit.to_bytes(4, "little")))
            self._credit = 0
        return [b"".join(frames)] if len(frames) > 1 else frames

    def take_close(self) -> list[bytes]:
        """Return CLOSE, if it is due."""
        close, self.close = self.close, None
        return [] if close is None else [close]

    def take_plaintext(self) -> list[bytes]:
        """Return what goes out as it is, if there is anything."""
        plaintext, self.plaintext = self.plaintext, b""
        return [plaintext] if plaintext else []
