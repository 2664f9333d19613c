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
        cost = self.cost
        if count:
            cost = cost_of_messages(messages) + cost_of_frames(frames)
        return Batch(messages, frames, cost)

    def forget(self, count: int) -> int:
        """Forget the first so many frames, and not all; return what they cost."""
        # Only they are counted: an ACK seldom ends where a batch does, and much may be left.
        cost = cost_of_messages(self.messages[:count]) + cost_of_frames(self.frames[:count])
        del self.messages[:count], self.frames[:count]
        self.cost -= cost
        return cost


def cost_of_messages(messages: list[bytes]) -> int:
    """Return what messages count in a queue, in bytes."""
    return sum(map(len, messages)) + MESSAGE_OVERHEAD * len(messages)


def cost_of_packed(count: int, buffers: list[bytes]) -> int:
    """Return the same of so many messages that are framed: a few buffers are counted sooner."""
    return sum(map(len, buffers)) + (MESSAGE_OVERHEAD - HEAD_SIZE) * count


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
    :ivar resent: that of the last one that the present link has got
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
        "acknowledged",
        "cost",
        "given",
        "messages_acknowledged",
        "messages_given",
        "resent",
    )

    def __init__(self, taken: int = 0) -> None:
        # Few, and lists: an empty deque takes 600 bytes. No list where there is nothing, as on
        # the many connections that are idle.
        self._batches: list[Batch] | tuple[()] = ()
        # What the present link has not got of them.
        self._again: list[Batch] | tuple[()] = ()
        self.given = self.resent = 0
        self.acknowledged = 0
        self.cost = 0
        self.messages_given = taken
        self.messages_acknowledged = taken
        # How many messages of the session are acknowledged or kept: less than were given where a
        # numbering has begun anew, and some are to be given again.
        self._place = taken

    def keep_messages(self, messages: list[bytes], cost: int) -> None:
        """Give messages their numbers, and keep them.

        :param cost: what they count in a queue, which who sends them knows
        """
        if not messages:
            return
        self._place += len(messages)
        if self._place > self.messages_given:
            self.messages_given = self._place
        last = self._batches[-1] if self._batches else None
        if last is not None and last.messages and last.cost < _SMALL_BATCH:
            last.messages += messages
            last.cost += cost
        else:
            # A list of its own: more may be put into it.
            self._add(Batch(messages.copy(), [], cost))
        assert self.resent == self.given
        self.cost += cost
        self.given = self.resent = self.given + len(messages)

    def keep_frames(self, frames: list[Frame], cost: int) -> None:
        """Give control frames their numbers, and keep them.

        :param cost: what :func:`cost_of_frames` says of them
        """
        last = self._batches[-1] if self._batches else None
        if last is not None and last.frames and last.cost < _SMALL_BATCH:
            last.frames += frames
            last.cost += cost
        else:
            self._add(Batch([], frames.copy(), cost))
        assert self.resent == self.given
        self.cost += cost
        self.given = self.resent = self.given + len(frames)

    def _add(self, batch: Batch) -> None:
        if isinstance(self._batches, list):
            self._batches.append(batch)
        else:
            self._batches = [batch]

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
        if number > self.resent:
            raise ViolationError(f"frame {number} is acknowledged, and {self.resent} were sent")
        while number > self.acknowledged:
            assert isinstance(self._batches, list)
            first = self._batches[0]
            count = min(len(first), number - self.acknowledged)
            self.acknowledged += count
            if first.messages:
                self.messages_acknowledged += count
            if count < len(first):
                self.cost -= first.forget(count)
                return
            self.cost -= first.cost
            del self._batches[0]
        if not self._batches:
            self._batches = ()

    def messages_after(self, received: int) -> list[bytes]:
        """Return the messages that a peer which has received all up to this frame has not got.

        :raises ViolationError: it has not been given so many, or has acknowledged more
        """
        return [message for batch in self._after(received) for message in batch.messages]

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
                f"the peer says that it has taken {taken} messages for good; it was given "
                f"{self.messages_given}, and has acknowledged {self.messages_acknowledged}. Is its "
                "position of an older or another database? Begin a new session (an outbox has "
                "begin_anew)"
            )
        kept = [message for batch in self._batches for message in batch.messages]
        left = (kept + waiting)[taken - self.messages_acknowledged :]
        self._batches = self._again = ()
        self.resent = self.given = self.acknowledged = self.cost = 0
        self._place = self.messages_acknowledged = taken
        return left

    # Sending again

    @property
    def resending(self) -> bool:
        """Whether the present link has not got all of it yet."""
        return self.resent < self.given

    def rewind(self, received: int) -> None:
        """Begin with a new link, whose peer has received all up to this frame.

        That frees nothing: the peer may lose its memory before it acknowledges.

        :raises ViolationError: it has not been given so many, or has acknowledged more
        """
        self._again = self._after(received) or ()
        self.resent = received

    def _after(self, received: int) -> list[Batch]:
        if not self.acknowledged <= received <= self.given:
            raise ViolationError(
                f"{received} frames were received, of {self.given} sent and "
                f"{self.acknowledged} acknowledged"
            )
        again: list[Batch] = []
        number = self.acknowledged
        for batch in self._batches:
            if number + len(batch) > received:
                again.append(batch.after(max(0, received - number)))
            number += len(batch)
        return again

    def abandon(self) -> None:
        """Give the present link nothing more of it."""
        self._again = ()
        self.resent = self.given

    def take(self, size: int) -> list[Batch]:
        """Return what the present link is to get next of it, in order.

        :param size: cost of all, about
        """
        taken: list[Batch] = []
        while isinstance(self._again, list) and size > 0:
            batch = self._again.pop(0)
            self.resent += len(batch)
            size -= batch.cost
            taken.append(batch)
            if not self._again:
                self._again = ()
        return taken
