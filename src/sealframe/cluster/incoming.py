"""What comes from the other servers, and what becomes of it here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from ..server.cluster_member import LocalServer
from .chunks import IncomingStreams, UnknownVersionError
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
    decode,
    decode_message,
)
from .numbers import MAX_TEXT, Opcode
from .requests import IncomingRequests, OutgoingRequests

logger = logging.getLogger("sealframe.cluster")

_ROOM: Final = 64 * MAX_TEXT
"""Bytes of a frame beside its payload: ids that are left out, the name of a group."""
_MESSAGE: Final = bytes([Opcode.MESSAGE])


class Incoming:
    """Takes the chunks of all other servers.

    :param roster_wanted: called with the id of a server that asks for our roster
    :ivar received: frames that came
    """

    def __init__(
        self,
        local: LocalServer,
        membership: Membership,
        asked: OutgoingRequests,
        asking: IncomingRequests,
        roster_wanted: Callable[[str], None],
    ) -> None:
        self._local = local
        self._membership = membership
        self._asked = asked
        self._asking = asking
        self._roster_wanted = roster_wanted
        self._streams = IncomingStreams(local.max_message_size + _ROOM)
        self.received = 0

    @property
    def lost(self) -> int:
        """NATS messages that did not come."""
        return self._streams.lost

    def take(self, data: bytes) -> None:
        """Take a NATS message that came on this server's own subject."""
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
        send = self._local.send
        try:
            for frame in frames:
                if frame[:1] == _MESSAGE:
                    send(*decode_message(frame))
                else:
                    self._take_frame(server, frame)
        except MalformedFrameError as error:
            self._membership.malformed(error)

    def forget(self, server: str) -> None:
        """That server is gone."""
        self._streams.forget(bytes.fromhex(server))

    def _take_frame(self, server: str, data: bytes) -> None:
        match decode(data):
            case Broadcast(excluded, payload):
                self._local.broadcast(payload, excluded)
            case Group(name, excluded, payload):
                self._local.broadcast_to_group(name, payload, excluded)
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
            case Kick(target, reason):
                self._local.kick(target, reason)
            case RosterRequest():
                self._roster_wanted(server)
            case RosterPart() as part:
                self._membership.take_roster(server, part)
