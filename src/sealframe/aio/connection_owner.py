"""What a connection tells whoever made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ConnectionClosedError
from ..wire.control import Hello
from .link_change import LinkChange

if TYPE_CHECKING:
    from .connection_protocol import ConnectionProtocol


class ConnectionOwner:
    """What a connection tells of itself, to whoever made it; who derives from this class does
    nothing where it has no method of its own."""

    __slots__ = ()

    def on_established(self, protocol: ConnectionProtocol, hello: Hello) -> None:
        """Messages may flow; it is called once."""

    def on_joining(self, protocol: ConnectionProtocol, hello: Hello) -> None:
        """The peer names a session: join it, hand the link over to it, or refuse."""

    def on_link_lost(self, protocol: ConnectionProtocol, error: ConnectionClosedError) -> None:
        """A session has lost its link, and goes on over the next one."""

    def on_queued(self, protocol: ConnectionProtocol) -> None:
        """What waits for a session without a link has become more."""

    def on_link_changed(self, protocol: ConnectionProtocol, change: LinkChange) -> None:
        """A session has lost its link, or has another: the program may be told."""

    def on_failed(self, protocol: ConnectionProtocol, error: ConnectionClosedError) -> None:
        """It ends in an error; it is called at most once, before or after the other."""

    def on_callback_failed(self, protocol: ConnectionProtocol, error: BaseException) -> None:
        """``on_message`` raised an exception; it is called at most once."""

    def on_finished(self, protocol: ConnectionProtocol) -> None:
        """The socket is gone; it is called once, as the last."""

    def connection(self, protocol: ConnectionProtocol) -> Any:
        """Return what programs see of it."""
