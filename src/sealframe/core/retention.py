"""What one end of a session keeps, so that it can be sent again over the next link.

A frame has its number from when it is given to a link for the first time; numbers begin with
1. It is kept until the peer acknowledges it (docs/PROTOCOL.md, section 12). No sockets, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..wire import HEAD_SIZE, LENGTH_MASK, MESSAGE_OVERHEAD
from .channel_frames import ViolationError
from .stream_state import Buffer, without_base

Frame: TypeAlias = list[Buffer]
"""One control frame, in the pieces that are written one after the other."""


_SMALL_BATCH: Final = 16 * 1024
"""Cost below which more of the same kind is put into one batch: each has a cost of its own."""


@dataclass(slots=True)
class Batch:
    """Frames that were given together: messages without their heads, or control frames."""

    messages: list[bytes]
    frames: list[Frame]
    cost: int

    def __len__(self) -> int:
        return len(self.messages) + len(self.frames)

    def after(self, count: int) -> Batch:
        """Return what is left behind the first so many frames."""
        messages, frames = self.messages[count:], self.frames[count:]
        return Batch(messages, frames, cost_of_messages(messages) + cost_of_frames(frames))


def cost_of_messages(messages: list[bytes]) -> int:
    """Return what messages count in a queue, in bytes."""
    return sum(map(len, messages)) + MESSAGE_OVERHEAD * len(messages)


def cost_of_frames(frames: list[Frame]) -> int:
    """Return the same of control frames."""
    return sum(sum(map(len, frame)) + MESSAGE_OVERHEAD for frame in frames)


def split_frames(buffers: Iterable[Buffer]) -> list[Frame]:
    """Return the frames of which buffers consist, to be kept; each begins a buffer of its own."""
    frames: list[Frame] = []
    missing = 0
    for buffer in buffers:
        if missing:
            frames[-1].append(without_base(buffer))
        else:
            length = int.from_bytes(buffer[:HEAD_SIZE], "little") & LENGTH_MASK
            missing = HEAD_SIZE + length
            frames.append([buffer])
        missing -= len(buffer)
    return frames


class Retention:
    """The frames that the peer has not acknowledged, in order.

    :ivar given: the number of the last frame that was given to a link
    :ivar acknowledged: that of the last one that the peer has acknowledged
    :ivar cost: what is kept, in bytes
    :ivar messages_given: how many messages of the session were given to links
    :ivar messages_acknowledged: how many of them were acknowledged

    :param taken: how many messages of the session an earlier program has given, and the peer has
        for good
    """

    __slots__ = (
        "_again",
        "_batches",
        "_place",
        "_resent",
        "acknowledged",
        "cost",
        "given",
        "messages_acknowledged",
        "messages_given",
    )

    def __init__(self, taken: int = 0) -> None:
        self._batches: list[Batch] = []
        # What the present link has not got of them. Few, and lists: an empty deque takes
        # 600 bytes.
        self._again: list[Batch] = []
        # The last frame that the present link has got.
        self._resent = 0
        self.given = 0
        self.acknowledged = 0
        self.cost = 0
        self.messages_given = taken
        self.messages_acknowledged = taken
        # How many messages of the session are acknowledged or kept: less than were given where a
        # numbering has begun anew, and some are to be given again.
        self._place = taken

    def keep_messages(self, messages: list[bytes]) -> None:
        """Give messages their numbers, and keep them."""
        if not messages:
            return
        self._place += len(messages)
        if self._place > self.messages_given:
            self.messages_given = self._place
        cost = cost_of_messages(messages)
        last = self._batches[-1] if self._batches else None
        if last is not None and last.messages and last.cost < _SMALL_BATCH:
            last.messages += messages
            last.cost += cost
        else:
            # A list of its own: more may be put into it.
            self._batches.append(Batch(messages.copy(), [], cost))
        self._count(len(messages), cost)

    def keep_frames(self, frames: list[Frame]) -> None:
        """Give control frames their numbers, and keep them."""
        cost = cost_of_frames(frames)
        last = self._batches[-1] if self._batches else None
        if last is not None and last.frames and last.cost < _SMALL_BATCH:
            last.frames += frames
            last.cost += cost
        else:
            self._batches.append(Batch([], frames.copy(), cost))
        self._count(len(frames), cost)

    def _count(self, frames: int, cost: int) -> None:
        assert not self.resending
        self.cost += cost
        self.given += frames
        self._resent = self.given

    def receive_ack(self, number: int) -> None:
        """Take in ACK.

        :raises ViolationError: it goes down, or says more than was sent
        """
        if number < self.acknowledged:
            raise ViolationError(f"it goes down from {self.acknowledged} to {number}")
        self.acknowledge(number)

    def acknowledge(self, number: int) -> None:
        """Forget all frames up to this one; those that are forgotten already stay so.

        :raises ViolationError: it was not given to the present link
        """
        if number > self._resent:
            raise ViolationError(f"frame {number} is acknowledged, and {self._resent} were sent")
        batches = self._batches
        while number > self.acknowledged:
            first = batches[0]
            count = min(len(first), number - self.acknowledged)
            rest = first.after(count)
            self.acknowledged += count
            self.messages_acknowledged += len(first.messages) - len(rest.messages)
            self.cost -= first.cost - rest.cost
            if len(rest):
                batches[0] = rest
            else:
                del batches[0]

    # A numbering that begins anew

    @property
    def to_give_again(self) -> int:
        """How many messages were given to a link in an earlier numbering, and wait for
        their numbers in this one: the first that are accepted for sending."""
        return self.messages_given - self._place

    def begin_anew(self, taken: int, waiting: list[bytes]) -> list[bytes]:
        """Begin to count from 0: the peer has lost its memory. Control frames are forgotten.

        :param taken: how many messages of the session the peer has for good; it acknowledges them
        :param waiting: what was accepted for sending and has no number, in order
        :return: all that waits for a number now, in order; nothing is kept any more
        :raises ViolationError: the peer has acknowledged more, or was not given so many
        """
        if not self.messages_acknowledged <= taken <= self.messages_given:
            raise ViolationError(
                f"{taken} messages are taken, of {self.messages_given} sent and "
                f"{self.messages_acknowledged} acknowledged"
            )
        kept = [message for batch in self._batches for message in batch.messages]
        left = (kept + waiting)[taken - self.messages_acknowledged :]
        self._batches.clear()
        self._again.clear()
        self._resent = self.given = self.acknowledged = self.cost = 0
        self._place = self.messages_acknowledged = taken
        return left

    # Sending again

    @property
    def resending(self) -> bool:
        """Whether the present link has not got all of it yet."""
        return self._resent < self.given

    def rewind(self, received: int) -> None:
        """Begin with a new link, whose peer has received all up to this frame.

        That frees nothing: the peer may lose its memory before it acknowledges.

        :raises ViolationError: it has not been given so many, or has acknowledged more
        """
        if not self.acknowledged <= received <= self.given:
            raise ViolationError(
                f"{received} frames were received, of {self.given} sent and "
                f"{self.acknowledged} acknowledged"
            )
        self._resent = received
        self._again.clear()
        number = self.acknowledged
        for batch in self._batches:
            if number + len(batch) > received:
                self._again.append(batch.after(max(0, received - number)))
            number += len(batch)

    def abandon(self) -> None:
        """Give the present link nothing more of it."""
        self._again.clear()
        self._resent = self.given

    def take(self, size: int) -> list[Batch]:
        """Return what the present link is to get next of it, in order.

        :param size: cost of all, about
        """
        taken: list[Batch] = []
        while self._again and size > 0:
            batch = self._again.pop(0)
            self._resent += len(batch)
            size -= batch.cost
            taken.append(batch)
        return taken
