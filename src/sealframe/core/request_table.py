"""The requests of one connection, both ways: their numbers, and which of them lack an answer.

docs/PROTOCOL.md section 9 has the rules. A local request is one that this end makes, a peer
request one that it answers. The body or the reply of a request may come on a stream; the
:class:`~sealframe.core.multiplexer.Multiplexer` connects the two.
"""

from __future__ import annotations

from ..wire.control import Hello
from .channel_frames import ViolationError


class RequestTable:
    """Which requests are under way.

    :param local: what this end announced
    :param peer: what the peer announced
    """

    __slots__ = (
        "_local",
        "_peer",
        "answered",
        "bodies",
        "local_pending",
        "local_replying",
        "next_local",
        "next_peer",
        "peer_pending",
    )

    def __init__(self, *, local: Hello, peer: Hello) -> None:
        self._local = local
        self._peer = peer
        self.next_local = 0
        self.next_peer = 0
        self.local_pending: set[int] = set()
        """Local requests without a whole answer."""
        self.local_replying: set[int] = set()
        """Those of them whose reply is coming on a stream."""
        self.peer_pending: set[int] = set()
        """Peer requests whose answer is not written yet: the peer counts these too."""
        self.bodies: dict[int, int] = {}
        """Peer requests whose body is coming on a stream, and that stream."""
        self.answered: list[int] = []
        """Peer requests whose answer waits to be written."""

    # Local requests

    @property
    def may_make(self) -> bool:
        """Whether the peer takes one more request now."""
        return len(self.local_pending) < self._peer.max_requests

    @property
    def are_taken(self) -> bool:
        """Whether the peer takes any requests at all."""
        return self._peer.max_requests > 0

    def make(self) -> int:
        """Begin a local request; return its number."""
        number = self.next_local
        self.next_local += 1
        self.local_pending.add(number)
        return number

    def receive_answer(self, number: int) -> None:
        """Count the answer to a local request."""
        self._check_pending(number)
        self.local_pending.discard(number)

    def receive_reply_stream(self, number: int) -> None:
        """Count an answer that begins; it is whole at :meth:`end_reply_stream`."""
        self._check_pending(number)
        self.local_replying.add(number)

    def end_reply_stream(self, number: int) -> None:
        """Count the end of the stream on which the reply came."""
        self.local_pending.discard(number)
        self.local_replying.discard(number)

    def _check_pending(self, number: int) -> None:
        # Section 9: exactly one answer comes for each request.
        if number not in self.local_pending or number in self.local_replying:
            raise ViolationError(f"request {number} does not wait for an answer")

    # Peer requests

    def receive(self, number: int) -> None:
        """Count a peer request."""
        if number != self.next_peer:
            raise ViolationError(f"request {number} is made where {self.next_peer} is next")
        limit = self._local.max_requests
        if len(self.peer_pending) >= limit:
            raise ViolationError(f"more than {limit} requests are made at a time")
        self.next_peer += 1
        self.peer_pending.add(number)

    def receive_cancel(self, number: int) -> bool:
        """Return whether CANCEL comes in time: the request has no answer yet."""
        if number >= self.next_peer:
            raise ViolationError(f"request {number} was never made")
        return number in self.peer_pending

    def answer(self, number: int) -> None:
        """Count an answer that waits to be written."""
        self.answered.append(number)

    def answers_written(self) -> None:
        """Count the answers as sent: only now the peer may take their slots again."""
        self.peer_pending.difference_update(self.answered)
        self.answered.clear()

    def reply_stream_written(self, number: int) -> None:
        """Count an answer that went out on a stream, now that this is over."""
        self.peer_pending.discard(number)
