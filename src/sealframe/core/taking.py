"""Which messages of a session's peer the program has taken, and up to which frame it is done.

A session that acknowledges what is *taken* (docs/PROTOCOL.md, section 12) says ACK up to the frame
before the oldest message that its program has not finished. A message is taken when the program
gets it, and finished when it asks for the next one. Counts of one numbering. No clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Taking:
    """What the program has done with the messages of one numbering.

    :param name: the public name of the session
    :param before: how many messages of the session were taken when the numbering began
    :param carried: how many messages of an earlier numbering come first; they have no frame here
    :param writer: which start of the client's program the others are from, for people
    :param last: from which the last message is that came before, likewise
    :ivar taken: how many the program has got since, the carried ones among them
    """

    __slots__ = ("_before", "_carried", "_finished", "_marks", "_writers", "name", "taken")

    def __init__(
        self, name: str, before: int, carried: int = 0, *, writer: str = "", last: str = ""
    ) -> None:
        self.name = name
        self._writers = last, writer
        self._before = before
        self._carried = carried
        self._finished = 0
        # (messages, frames) that have come at some time: up to the next of them the messages are
        # counted first. So no control frame is acknowledged too early, and few are late.
        self._marks: deque[tuple[int, int]] = deque([(0, 0)])
        self.taken = 0

    @property
    def writer(self) -> str:
        """Which start of the client's program the message at :attr:`position` is from."""
        return self._writers[self.taken > self._carried]

    @property
    def position(self) -> int:
        """The number of the message that the program got last, from the start of the session."""
        return self._before + self.taken

    def finish(self) -> None:
        """The program asks for the next one: what it has got is done."""
        self._finished = self.taken

    def receive(self, messages: int, frames: int) -> None:
        """Take in how many messages, and how many frames, have come in this numbering."""
        last_messages, last_frames = self._marks[-1]
        if frames == last_frames:
            return
        same = messages == last_messages or frames - messages == last_frames - last_messages
        if same and len(self._marks) > 1:
            self._marks.pop()
        self._marks.append((messages, frames))

    @property
    def acknowledgeable(self) -> int:
        """Up to which frame the peer need not keep any."""
        marks, finished = self._marks, self._finished - self._carried
        while len(marks) > 1 and marks[1][0] <= finished:
            marks.popleft()
        messages, frames = marks[0]
        if len(marks) == 1:
            return frames
        return frames + max(0, finished - messages)


class SettledTaking(Taking):
    """Where what the program has finished counts once a store has it, and not before.

    :ivar on_finish: called each time that the program is done with something
    """

    __slots__ = ("_asked", "on_finish")

    def __init__(self, name: str, before: int, *, writer: str = "", last: str = "") -> None:
        super().__init__(name, before, writer=writer, last=last)
        self._asked = 0
        self.on_finish: Callable[[], None] = _nothing

    @property
    def in_hand(self) -> bool:
        """Whether the program has got something that it is not done with."""
        return self.taken > self._asked

    @property
    def unsettled(self) -> bool:
        """Whether the program is done with something that the store does not have as done."""
        return self._asked > self._finished

    @property
    def done(self) -> int:
        """How many messages of the session the program is done with."""
        return self._before + self._asked

    def finish(self) -> None:
        """The program asks for the next one: what it has got is to be stored as done."""
        if self.in_hand:
            self._asked = self.taken
            self.on_finish()

    def settle(self, done: int) -> None:
        """The store has it that so many messages of the session are done."""
        self._finished = done - self._before


def _nothing() -> None:
    """In place of a store that is not there yet."""
