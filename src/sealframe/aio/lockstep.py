"""A client that sends one message at a time: ``connect(..., pipelining=False)``.

A message is written only once a message has come since the one before was written. The first may go
at once. Any message counts as the answer: what came unasked, too, for this layer cannot tell. RFC
1350, section 2, calls that lock-step; it is what Modbus masters and others owe to peers that take
one request, and drop what comes behind it.

It is a credit of one message. The queue, the batches and the fast path know how to hold messages
back for credit (docs/PROTOCOL.md, section 7); here it is each message of the peer that gives one
more, in place of CREDIT.

- ``send`` accepts as on any connection: what waits for an answer waits in the send queue, and at
  ``outbox_limit`` ``send`` waits, too.
- There is no time-out: a peer that never answers is found by the program that waits for the answer,
  or by ``idle_timeout``.
- ``close()`` goes on in lock-step, within ``close_timeout``. Once the peer has ended, nothing is
  answered any more, and what waits is dropped: ``close()`` returns False, and ``stats.unsent``
  counts it.
- Another connection begins anew: nothing waits, and the first message may go.
"""

from __future__ import annotations

from .connection_protocol import ConnectionProtocol
from .sender import Sender


class LockstepSender(Sender):
    """The sending half."""

    __slots__ = ()

    def __init__(self, protocol: ConnectionProtocol, limit: int) -> None:
        super().__init__(protocol, limit)
        # A message may pass the limit of credit, so 1 is one message of any size.
        self.credit_limit = 1

    def answered(self, sent_cost: int) -> None:
        """A message came: the next may go.

        :param sent_cost: of what was written before it came; what was written since, by the
            program that was told of it, is still to be answered
        """
        self.credit_limit = sent_cost + 1
        self.flush()

    def lift_credit(self) -> bool:
        """The peer has ended, and answers nothing any more: drop what waits."""
        return self.drop_queue()


class LockstepProtocol(ConnectionProtocol):
    """The transport protocol of such a client."""

    __slots__ = ()

    sender: LockstepSender

    def _make_sender(self) -> LockstepSender:
        return LockstepSender(self, self.options.outbox_limit)

    def buffer_updated(self, nbytes: int) -> None:
        """Take in the bytes of one read."""
        before, sent_cost = self.machine.frames_received, self.sender.sent_cost
        super().buffer_updated(nbytes)
        if self.machine.frames_received != before:
            self.sender.answered(sent_cost)
