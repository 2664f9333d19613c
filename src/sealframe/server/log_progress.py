"""How far the log of a session is behind the session: what is free to be written, claimed, settled.

.. code-block:: text

    accepted >= free >= claimed >= settled        messages of the numbering
"""

from __future__ import annotations

from ..aio.sender import Sender
from ..core.retention import Retention, cost_of_messages
from ..core.taking import SettledTaking
from .session_store import Entry, Mark


class LogProgress:
    """The counts of one session.

    :param sender: has the send queue
    :param taking: the session's
    :param unsent: the messages that the numbering begins with, which the log has
    """

    __slots__ = (
        "_claimed",
        "_claimed_done",
        "_done",
        "_free",
        "_marks",
        "_retention",
        "_sender",
        "_sent_before",
        "_settled_cost",
        "_taking",
        "_unsettled_marks",
    )

    def __init__(
        self,
        sender: Sender,
        retention: Retention,
        taking: SettledTaking,
        unsent: tuple[bytes, ...],
    ) -> None:
        self._sender = sender
        self._retention = retention
        self._taking = taking
        # How many messages of the numbering may be written, are written or being so, and what
        # those cost that are written.
        self._free = self._claimed = len(unsent)
        self._settled_cost = cost_of_messages(list(unsent))
        self._sent_before = sender.sent_cost
        # How many messages of the client the handler is done with: may be written, likewise.
        self._done = self._claimed_done = taking.done
        self._marks: list[Mark] = []
        self._unsettled_marks = 0

    @property
    def ready(self) -> int:
        """Cost of the messages in the send queue that the log has."""
        return self._settled_cost - (self._sender.sent_cost - self._sent_before)

    @property
    def all_free(self) -> bool:
        """Whether all that was accepted may be written."""
        return self._retention.messages_given + len(self._sender.queue) <= self._free

    @property
    def marks_settled(self) -> bool:
        """Whether the log knows of all control frames that were given to the link."""
        return not self._unsettled_marks

    @property
    def waits_for_earlier(self) -> bool:
        """Whether the handler has to wait for what was sent before the message in hand: the send
        queue is full, and has some of that."""
        return self._free > self._retention.messages_given and self._sender.queue.over_limit

    def free(self) -> None:
        """Let all that was accepted be written, and what the handler is done with."""
        self._free = self._retention.messages_given + len(self._sender.queue)
        self._done = self._taking.done

    def mark(self, mark: Mark) -> None:
        """Control frames were given to the link."""
        self._marks.append(mark)
        self._unsettled_marks += 1

    def claim(self) -> Entry | None:
        """Return what is to be written next, which counts as under way; None where there is
        nothing."""
        given, queue = self._retention.messages_given, self._sender.queue
        count = min(self._free, given + len(queue)) - self._claimed
        if count <= 0 and self._done == self._claimed_done and not self._marks:
            return None
        messages: list[bytes] = []
        if count > 0:
            messages = queue.peek(self._claimed - given, count)
            self._claimed += count
        self._claimed_done = self._done
        marks, self._marks = tuple(self._marks), []
        return Entry(self._done, tuple(messages), marks)

    def repeat(self) -> Entry:
        """Return an entry that says nothing new."""
        return Entry(self._claimed_done)

    def settle(self, entry: Entry) -> None:
        """The log has an entry."""
        self._settled_cost += cost_of_messages(list(entry.messages))
        self._unsettled_marks -= len(entry.marks)
