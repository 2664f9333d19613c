"""What comes from the other servers, and what becomes of it here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from ..server.cluster_member import LocalServer
from .chunks import IncomingStreams, UnknownVersionError, decode_ack
from .membership import Membership
from .messages import (
    Broadcast,
    Cancel,
    Failure,
    Group,
    Kick,
    MalformedFrameError,
    Message,
    Reply,
    Request,
    RosterPart,
    RosterRequest,
    Session,
    Waiting,
    decode,
    decode_message,
)
from .numbers import ACK_EVERY, MAX_TEXT, Opcode
from .outgoing import Outgoing
from .requests import IncomingRequests, OutgoingRequests
from .session_messages import Confirm, Find, Release
from .session_messages import decode as decode_session
from .sessions import SessionAnswers, SessionSearch

logger = logging.getLogger("sealframe.cluster")

_ROOM: Final = 64 * MAX_TEXT
"""Bytes of a frame beside its payload: ids that are left out, the name of a group."""
_MESSAGE: Final = bytes([Opcode.MESSAGE])


ToMany: TypeAlias = Broadcast | Group
"""What goes to many clients of each server."""


def deliver(local: LocalServer, frame: ToMany) -> None:
    """Queue a message for those of this server's own clients that it is for."""
    match frame:
        case Broadcast(excluded, payload):
            local.broadcast(payload, excluded)
        case Group(name, excluded, payload):
            local.broadcast_to_group(name, payload, excluded)


class Incoming:
    """Takes the chunks of all other servers.

    :param send_ack: called with the id of a server and how far its stream was taken in
    :param roster_wanted: called with the id of a server that asks for our roster
    :ivar received: frames that came
    """

    def __init__(
        self,
        local: LocalServer,
        membership: Membership,
        asked: OutgoingRequests,
        asking: IncomingRequests,
        outgoing: Outgoing,
        send_ack: Callable[[str, tuple[int, int]], None],
        search: SessionSearch,
        answers: SessionAnswers,
        roster_wanted: Callable[[str], None],
    ) -> None:
        self._local = local
        self._membership = membership
        self._asked = asked
        self._asking = asking
        self._outgoing = outgoing
        self._send_ack = send_ack
        self._search = search
        self._answers = answers
        self._roster_wanted = roster_wanted
        self._unacknowledged: dict[str, int] = {}
        self._streams = IncomingStreams(local.max_message_size + _ROOM)
        self.received = 0

    @property
    def lost(self) -> int:
        """NATS messages that did not come."""
        return self._streams.lost

    def take(self, data: bytes) -> None:
        """Take a NATS message that came on this server's own subject."""
        ack = decode_ack(data)
        if ack is not None:
            sender, number, sequence = ack
            self._outgoing.acknowledge(sender.hex(), number, sequence)
            return
        streams = self._streams
        lost = streams.lost
        try:
            sender, frames = streams.feed(data)
        except UnknownVersionError:
            return  # its presence messages are of that version too, and get the line in the log
        except MalformedFrameError as error:
            self._membership.malformed(error)
            return
        server = sender.hex()
        self._membership.heard(server)
        if streams.lost != lost:
            self._asked.may_be_lost(server)
        self.received += len(frames)
        self._acknowledge(sender, server, len(data))
        send = self._local.send
        try:
            head = b""
            target = ""
            for frame in frames:
                if head and frame.startswith(head):
                    # Mostly a message is for whom the one before it was.
                    send(target, frame[len(head) :])
                elif frame[:1] == _MESSAGE:
                    target, payload = decode_message(frame)
                    head = frame[: len(frame) - len(payload)]
                    send(target, payload)
                else:
                    self._take_frame(server, frame)
        except MalformedFrameError as error:
            self._membership.malformed(error)

    def forget(self, server: str) -> None:
        """That server is gone."""
        self._streams.forget(bytes.fromhex(server))
        self._unacknowledged.pop(server, None)

    def _acknowledge(self, sender: bytes, server: str, size: int) -> None:
        size += self._unacknowledged.get(server, 0)
        if size >= ACK_EVERY:
            size = 0
            self._send_ack(server, self._streams.position(sender))
        self._unacknowledged[server] = size

    def _take_frame(self, server: str, data: bytes) -> None:
        match decode(data):
            case (Broadcast() | Group()) as frame:
                deliver(self._local, frame)
            case Message(target, payload):
                self._local.send(target, payload)
            case Request() as request:
                self._asking.take(server, request)
            case Reply() as reply:
                self._asked.take_reply(server, reply)
            case Failure() as failure:
                self._asked.take_failure(server, failure)
            case Cancel(number):
                self._asking.take_cancel(server, number)
            case Waiting(numbers):
                self._asking.take_waiting(server, numbers)
            case Kick(target, reason):
                self._local.kick(target, reason)
            case RosterRequest():
                self._roster_wanted(server)
            case Session(number, body):
                self._take_session(server, number, body)
            case RosterPart() as part:
                self._membership.take_roster(server, part)

    def _take_session(self, server: str, number: int, data: bytes) -> None:
        match decode_session(data):
            case Find() | Release() | Confirm() as question:
                self._answers.take(server, number, question)
            case None:
                pass
            case body:
                self._search.take(server, number, body)
