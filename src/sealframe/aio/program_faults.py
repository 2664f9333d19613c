"""What becomes of an exception of the program's code that serves a connection.

Whatever it is, the peer is told of a failure, and the log has it. A BaseException is no other: an
extension module's panic, for one, is none of asyncio's ways to end a task.
"""

from __future__ import annotations

from ..errors import ConnectionClosed, DecodeError
from ..wire import CloseCode
from ..wire.control import Close
from .connection import AnyConnection, protocol_of


def close_after(error: BaseException, conn: AnyConnection, text: str) -> Close:
    """Return what to tell the peer: ``MALFORMED`` if it sent what cannot be decoded, ``NORMAL``
    if the code only met the end of its own connection, else ``HANDLER``.

    :param text: for the peer, where the fault is the program's
    """
    if isinstance(error, DecodeError) and error.connection is conn:
        return Close(CloseCode.MALFORMED, str(error))
    # That of another connection which the code uses is a fault.
    protocol = protocol_of(conn)
    gone = protocol.receiver.error is not None or protocol.sender.error is not None
    if isinstance(error, ConnectionClosed) and gone:
        return Close()
    return Close(CloseCode.HANDLER, text)
