"""What the two ends say of themselves: HELLO of the client, WELCOME of the server.

docs/PROTOCOL.md, section 4. HELLO and WELCOME have the same fields; here they are the *local* and
the *peer* settings of a connection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Protocol, TypeAlias

from .. import wire
from ..errors import HandshakeError
from ..wire import CloseCode, Opcode, control
from ..wire.control import Hello, MalformedBodyError


class PeerIdentity(Protocol):
    """Who a peer has proved to be; only ``identify`` and the owner know more of it."""

    @property
    def name(self) -> str:
        """What to call it."""


Identify: TypeAlias = Callable[[bytes, bytes], PeerIdentity | HandshakeError]


class UnreadableIntroductionError(ValueError):
    """A HELLO or WELCOME does not parse.

    :ivar code: the close code that says why
    :ivar reads_control: whether its sender reads control frames; another would take our CLOSE
        for a length
    """

    def __init__(self, text: str, body: bytes) -> None:
        super().__init__(text)
        self.reads_control = body.startswith(wire.MAGIC)
        other = self.reads_control and body[8:9] != bytes((wire.VERSION,))
        self.code = CloseCode.VERSION if other else CloseCode.PROTOCOL


class Introductions:
    """The settings of both ends of one connection, and who the peer is.

    :param local: what this end says
    :param client_id: on a server, the id that WELCOME tells the client
    :param identify: given the key that the peer has proved and, on a server, the token
        that it showed, returns who that is, or the error that refuses it
    """

    __slots__ = ("_client_id", "identify", "identity", "local", "peer")

    def __init__(self, local: Hello, client_id: str, identify: Identify | None) -> None:
        self._client_id = client_id
        self.identify = identify
        self.local = local
        self.peer: Hello | None = None
        """What the peer said, less what names it; None until it did."""
        self.identity: PeerIdentity | None = None
        """Who is at the other end, as it proved, where it has an identity."""

    def hello(self) -> bytes:
        """Return the client's frame."""
        return control.frame(Opcode.HELLO, self.local.encode())

    def welcome(self, session: bytes = b"", writer: bytes = b"") -> bytes:
        """Return the body of the server's frame.

        :param session: field 4, empty for none
        :param writer: field 14, empty for none
        """
        local = self.local
        if session:
            local = replace(local, session=session, writers=writer)
        return local.encode(client_id=self._client_id)

    @staticmethod
    def read(body: bytes) -> Hello:
        """Return what the peer says.

        :raises UnreadableIntroductionError: it does not parse
        """
        try:
            return Hello.decode(body)
        except MalformedBodyError as error:
            raise UnreadableIntroductionError(str(error), body) from error

    def check_identity(self, key: bytes, invitation: bytes) -> HandshakeError | None:
        """Find out who holds a key; return the error for one that is not let in.

        :param key: what the peer has proved, 32 bytes; empty where the pattern has none
        :param invitation: the token that it showed, perhaps empty
        """
        if self.identify is None:
            return None
        found = self.identify(key, invitation)
        if isinstance(found, HandshakeError):
            return found
        self.identity = found
        return None

    def settle(self, hello: Hello) -> Hello:
        """Keep what the peer said, less what names it, and return that."""
        self.peer = introduction(
            hello.max_frame, "", hello.window, hello.max_streams, hello.max_requests
        )
        return self.peer

    @property
    def windowed(self) -> bool:
        """Whether both ends give each other CREDIT for messages (section 7)."""
        return self.peer is not None and None not in (self.peer.window, self.local.window)


@lru_cache(maxsize=16)
def introduction(
    max_message_size: int, software: str, window: int | None, max_streams: int, max_requests: int
) -> Hello:
    """Return settings that many connections share, once for all of them."""
    return Hello(
        max_frame=max_message_size,
        software=software,
        window=window,
        max_streams=max_streams,
        max_requests=max_requests,
    )
