"""One end of a session: a conversation that goes over any number of connections, its links.

docs/PROTOCOL.md, section 12, has the rules. What belongs to the session and not to the link is
here: the counts of both directions, what is kept to be sent again, and what this end has told the
peer. The owner hands over the counts of a link when it is gone. No sockets, no clock.
"""

from __future__ import annotations

from ..wire import MAX_WINDOW, MESSAGE_OVERHEAD, MIN_ACK_BY
from ..wire.control import SessionHello, SessionWelcome
from ..wire.writers import Writers
from .channel_frames import ViolationError
from .retention import Retention, cost_of_frames, cost_of_messages, split_frames
from .taking import Taking


def retention_limit(outbox_limit: int) -> int:
    """Return how much an end keeps until it is acknowledged, in bytes.

    Twice the send queue: an end that has filled a batch need not stop and wait for the ACK of the
    one before, nor be woken by each.
    """
    return max(MIN_ACK_BY, 2 * outbox_limit)


def ack_by(limit: int) -> int:
    """Return after how many bytes an end wants to be acknowledged at the latest.

    The peer says ACK after half of them, so the other half of what is kept stays for what is on
    its way. Each ACK wakes both ends, which costs as much as some ten messages.

    :param limit: how much it keeps, in bytes; the field has four bytes, whatever is kept
    """
    return min(max(MIN_ACK_BY, limit), MAX_WINDOW)


class Session:
    """The state of one end, whatever link it has.

    :param numbering: what both ends call this run of their counts; a client learns it from WELCOME,
        and has 0 before the first one
    :param limit: how much this end keeps before its messages and stream data wait, in bytes
    :param taken: on a server, how many messages of the client it has for good as the numbering
        begins
    :param follows: on a server, the numbering before this one, as HELLO named it; 0: there was none
    :param writer: on a server, which start of the client's program the last of these is from; empty
        where nobody says that
    :param taking: what the program has finished, where only that is acknowledged; else all that
        came is
    :ivar received: frames that the peer has sent and this end has taken in, over all links but
        the present one
    :ivar told: up to which of them this end has acknowledged
    :ivar frozen: whether it acknowledges no more: something that came was discarded
    :ivar dropped: how many messages it has acknowledged and thrown away after that
    :ivar abandoned: whether the peer gets nothing more of what is kept: the session is ending
    """

    __slots__ = (
        "_peer_ack_by",
        "_unacknowledged_bytes",
        "abandoned",
        "dropped",
        "follows",
        "frozen",
        "limit",
        "numbering",
        "received",
        "retention",
        "taken",
        "taking",
        "told",
        "writer",
    )

    def __init__(
        self,
        *,
        numbering: int,
        limit: int,
        peer_ack_by: int,
        taken: int = 0,
        follows: int = 0,
        writer: bytes = b"",
        taking: Taking | None = None,
    ) -> None:
        self.numbering = numbering
        self.follows = follows
        self.limit = limit
        self.taken = taken
        self.writer = writer
        self.taking = taking
        self.received = 0
        self.told = 0
        self.frozen = False
        self.dropped = 0
        self.abandoned = False
        self.retention = Retention()
        # The peer waits for an acknowledgement after so many bytes of its frames.
        self._peer_ack_by = peer_ack_by
        self._unacknowledged_bytes = 0

    @property
    def ack_by(self) -> int:
        """What this end asks for: to be acknowledged after so many bytes at the latest."""
        return ack_by(self.limit)

    @property
    def room(self) -> int:
        """For how much more there is room among what is kept; 0 while the link is given what
        it has to get first."""
        retention = self.retention
        return 0 if retention.resending else self.limit - retention.cost

    @property
    def data_room(self) -> int:
        """The same for data of streams."""
        return self.room

    def offer(self) -> int:
        """Messages wait to be given to the link: return for how much there is room."""
        return self.room

    def waits(self, peer_ended: bool) -> bool:
        """Return whether this end cannot close yet: the peer has not acknowledged all.

        :param peer_ended: it acknowledges no more, and only has to get what is left
        """
        if self.abandoned:
            return False
        return self.retention.resending if peer_ended else self.retention.cost > 0

    @property
    def complete(self) -> bool:
        """Whether nothing that was accepted waits elsewhere than here and in the send queue."""
        return True

    @property
    def lasts(self) -> bool:
        """Whether it goes on with the next start of the program, however this one ends it."""
        return False

    def fates(self, queued: int) -> tuple[int, int, int]:
        """Return of how many messages of this end it is known that they have arrived, of how many
        it is not known, and how many have not.

        :param queued: how many are in the send queue
        """
        retention = self.retention
        arrived = retention.messages_acknowledged
        unknown = retention.messages_given - arrived
        return arrived, unknown, queued - retention.to_give_again

    def abandon(self) -> None:
        """Give the peer nothing more of what is kept, and wait for no acknowledgement: the session
        ends with a fault, or with a CLOSE that has a code."""
        self.abandoned = True
        self.retention.abandon()

    def keep(
        self, urgent: list[bytes], messages: list[bytes], cost: int, streams: list[bytes]
    ) -> None:
        """Keep what is given to the link, in this order.

        :param urgent: whole control frames
        :param cost: what the messages count in a queue
        :param streams: control frames in pieces
        """
        retention = self.retention
        if urgent:
            retention.keep_frames([[frame] for frame in urgent], cost_of_messages(urgent))
        if messages:
            retention.keep_messages(messages, cost)
        if streams:
            frames = split_frames(streams)
            retention.keep_frames(frames, cost_of_frames(frames))

    # Acknowledging

    def read(self, nbytes: int, received: int) -> bool:
        """Count bytes of the link; return whether an acknowledgement is due now.

        :param received: the count of frames until now
        """
        if self.taking is not None or self.frozen or received == self.told:
            return False
        self._unacknowledged_bytes += nbytes
        # As the peer counts what it keeps: else it could send no more small messages, and wait for
        # the timer.
        cost = self._unacknowledged_bytes + MESSAGE_OVERHEAD * (received - self.told)
        return cost >= self._peer_ack_by // 2

    def take(self, count: int, nbytes: int) -> bool:
        """Note that the program has got messages; return whether an acknowledgement of those that
        it has finished is due.

        :param nbytes: of these messages
        """
        if self.taking is None:
            return False
        self.taking.taken += count
        self._unacknowledged_bytes += nbytes + MESSAGE_OVERHEAD * count
        return self._unacknowledged_bytes >= self._peer_ack_by // 2

    def acknowledge(self, received: int) -> int | None:
        """Return up to which frame ACK goes now, None where there is nothing to tell."""
        self._unacknowledged_bytes = 0
        number = self.acknowledgeable(received)
        if number == self.told:
            return None
        self.told = number
        return number

    def confirm(self) -> int:
        """Return what HELLO or WELCOME acknowledges."""
        self.told = self.acknowledgeable(self.received)
        return self.told

    def acknowledgeable(self, received: int) -> int:
        """Return up to which frame this end may acknowledge: all that came until something was
        discarded, or what the program has finished of it.

        :param received: the count of frames until now
        """
        if self.taking is not None:
            return self.taking.acknowledgeable
        return self.told if self.frozen else received

    def drop(self, messages: int, received: int) -> None:
        """The program never takes the last messages of those that came: they count as received, and
        CLOSE tells how many they are.

        :param received: the count of frames until now
        """
        if messages and self.taking is None:
            # Where only what is taken is acknowledged, the peer knows of them as not acknowledged.
            self.told = self.acknowledgeable(received)
            self.dropped += messages

    # The next link

    def hello(
        self,
        *,
        token: bytes,
        start: int,
        link: int,
        credit: int,
        known: bool = True,
        writers: Writers | None = None,
    ) -> SessionHello:
        """Return field 4 of the HELLO with which a client goes on; older links are cut off.

        :param start: how often the client's program has begun with this session
        :param link: the number of the new one
        :param credit: all credit for messages that the server was given
        :param known: whether a WELCOME of the session was ever read
        :param writers: of the client's file; None where it has none
        """
        return SessionHello(
            token=token,
            start=start,
            link=link,
            numbering=self.numbering,
            received=self.received,
            acknowledged=self.confirm(),
            credit=credit,
            ack_by=self.ack_by,
            known=known,
            writers=writers,
        )

    @property
    def numberings(self) -> tuple[int, int]:
        """Server: those that a client may name that has not gone on at another one: this one, and
        the one before, where the WELCOME with which this one began was lost."""
        return self.numbering, self.follows

    def left_behind(self, numbering: int) -> bool:
        """Server: return whether the client has gone on at another server since, whose WELCOME it
        has read.

        :param numbering: what its HELLO says
        """
        return numbering not in self.numberings

    def welcome(self, *, keep: int, credit: int, taken: int = 0) -> SessionWelcome:
        """Return field 4 of the WELCOME with which the session begins or goes on; the link before
        is cut off.

        :param keep: seconds for which the server keeps a session without a link
        :param credit: all credit for messages that the client was given
        :param taken: where a numbering begins, how many of its messages have been taken for good
        """
        return SessionWelcome(
            numbering=self.numbering,
            received=self.received,
            acknowledged=self.confirm(),
            credit=credit,
            taken=taken,
            keep=keep,
            ack_by=self.ack_by,
            before=0,
            writer=self.writer,
        )

    def resume(self, peer: SessionHello | SessionWelcome) -> None:
        """Begin with a new link, whose peer has these counts.

        :raises ViolationError: they contradict what this end knows
        """
        if peer.numbering == self.numbering:
            received, acknowledged = peer.received, peer.acknowledged
        elif self.received:
            raise ViolationError(f"{self.received} frames came before its first WELCOME")
        else:
            # A client that has not read the first WELCOME has acknowledged nothing (section 12).
            received = acknowledged = 0
        self.retention.rewind(received)
        if acknowledged < self.retention.acknowledged:
            raise ViolationError(
                f"{acknowledged} frames are acknowledged, and {self.retention.acknowledged} were"
            )
        self.retention.acknowledge(acknowledged)
        self._unacknowledged_bytes = 0

    def begin_anew(self, welcome: SessionWelcome, waiting: list[bytes]) -> list[bytes]:
        """Client: begin another numbering with a new link, since the server has lost its memory.

        :param waiting: the messages that were accepted for sending and have no number
        :return: those that are to be given to the link now, in order, when it has credit
        :raises ViolationError: what the server has of them contradicts what this end knows
        """
        left = self.retention.begin_anew(welcome.taken, waiting)
        self.numbering = welcome.numbering
        self.received = self.told = self._unacknowledged_bytes = 0
        self.frozen = False
        self.dropped = 0
        self._peer_ack_by = welcome.ack_by
        return left
