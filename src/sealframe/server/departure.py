"""The end of a server's connections, as it closes: what is announced, and what is waited for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from ..aio.connection_protocol import ConnectionProtocol
from ..aio.session_protocol import SessionProtocol
from ..aio.time_limit import TimeLimit
from ..wire.control import Close


def go_away(protocols: Iterable[ConnectionProtocol], close: Close) -> None:
    """Announce the close of these connections; what is under way on them is finished."""
    for protocol in protocols:
        if isinstance(protocol, SessionProtocol) and protocol.detached:
            # Nobody is waited for who may not come.
            text = "the server was closed while the client had no link"
            lost = protocol.lost(text, code=close.code, reason=close.reason)
            protocol.end_session(lost)
        else:
            protocol.closer.go_away(close)


async def finish_calls(protocols: Iterable[ConnectionProtocol], deadline: float) -> None:
    """Wait for messages that ``on_message`` has not got, since their clients read too slowly what
    it sends; drop those that are left at the deadline.

    :param deadline: a time of the event loop's clock
    """
    waiting = [p for p in protocols if p.receiver.calls_back and not p.receiver.all_called]
    with contextlib.suppress(TimeoutError):
        async with TimeLimit.until(deadline):
            for protocol in waiting:
                # It closes by itself after the last one.
                await protocol.closer.wait_closed()
    for protocol in waiting:
        protocol.receiver.drop_queue()


async def close_all(protocols: Iterable[ConnectionProtocol], close: Close) -> None:
    """Close these connections, and wait until their sockets are gone."""
    closing = list(protocols)
    for protocol in closing:
        protocol.closer.close(close)
    for protocol in closing:
        await protocol.closer.wait_closed()
