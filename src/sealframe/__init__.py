"""Messages between asyncio programs over one socket.

Length-prefixed frames parsed in C, sealed with AES-GCM when you ask for it::

    async with sealframe.serve(handler, "127.0.0.1", 1234) as server: ...
    async with sealframe.connect("127.0.0.1", 1234) as conn: ...

See :func:`serve`, :func:`connect`, :class:`Connection` and :class:`SharedKey`; and
:mod:`sealframe.sync` for programs without asyncio.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from .aio.connection import Connection
from .aio.disconnect import Disconnect, DisconnectKind
from .aio.link_change import LinkChange
from .aio.session_info import SessionInfo
from .aio.stats import ServerStats, Stats
from .aio.stream import Stream
from .client.client import connect
from .client.connecting import Connecting
from .client.fatal import is_fatal
from .errors import (
    ChecksumError,
    ClusterError,
    ClusterUnavailableError,
    ConfigurationError,
    ConnectError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ConnectTimeoutError,
    DecodeError,
    DecryptionError,
    DirectoryTransferError,
    EncodeError,
    FileChangedError,
    FileRefusedError,
    FileTransferError,
    FileUnreadableError,
    FrameTooLargeError,
    FrameTooSmallError,
    FramingError,
    HandshakeError,
    HandshakeTimeoutError,
    IncompleteFrameError,
    KeyFileError,
    KeyFormatError,
    ListenError,
    MagicError,
    MalformedLengthError,
    MessageFormatError,
    MessageTooLargeError,
    MessageTooSmallError,
    MetricsError,
    MissingExtraError,
    NonceExhaustedError,
    NotSupportedError,
    OutboxClosedError,
    OutboxCorruptError,
    OutboxError,
    OutboxFileError,
    OutboxFullError,
    OutboxLockedError,
    OutboxVersionError,
    PeerTimeoutError,
    ProtocolError,
    RemoteError,
    RequestCancelledError,
    RequestError,
    RequestTimeoutError,
    SealframeError,
    SendQueueFullError,
    ServerKeyChangedError,
    SessionLostError,
    SlowPeerError,
    StreamError,
    StreamResetError,
    TrailerError,
    TruncatedError,
    UnauthorizedError,
    UnknownClientError,
    UnknownServerError,
    WaitTimeoutError,
    WrongLoopError,
)
from .files.inbox import Inbox
from .framing import IMPLEMENTATION, Framing
from .options import ClientOptions, ServerOptions, Sessions
from .outbox import Outbox, OutboxState
from .server.activation import activated_sockets
from .server.groups import Group
from .server.server import Server
from .server.serving import Serving, serve
from .server.shutdown import ShutdownReport
from .trust.authorized import AuthorizedClients
from .trust.identity import ClientIdentity, ServerIdentity
from .trust.keys import Invitation, PrivateKey, PublicKey, SharedKey
from .trust.known_servers import KnownServers
from .trust.peer import Peer
from .version import __version__
from .wire import CloseCode, FileRefusal

if TYPE_CHECKING:
    from types import ModuleType

    from . import sync as sync

__all__ = [
    "IMPLEMENTATION",
    "AuthorizedClients",
    "ChecksumError",
    "ClientIdentity",
    "ClientOptions",
    "CloseCode",
    "ClusterError",
    "ClusterUnavailableError",
    "ConfigurationError",
    "ConnectError",
    "ConnectTimeoutError",
    "Connecting",
    "Connection",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DecodeError",
    "DecryptionError",
    "DirectoryTransferError",
    "Disconnect",
    "DisconnectKind",
    "EncodeError",
    "FileChangedError",
    "FileRefusal",
    "FileRefusedError",
    "FileTransferError",
    "FileUnreadableError",
    "FrameTooLargeError",
    "FrameTooSmallError",
    "Framing",
    "FramingError",
    "Group",
    "HandshakeError",
    "HandshakeTimeoutError",
    "Inbox",
    "IncompleteFrameError",
    "Invitation",
    "KeyFileError",
    "KeyFormatError",
    "KnownServers",
    "LinkChange",
    "ListenError",
    "MagicError",
    "MalformedLengthError",
    "MessageFormatError",
    "MessageTooLargeError",
    "MessageTooSmallError",
    "MetricsError",
    "MissingExtraError",
    "NonceExhaustedError",
    "NotSupportedError",
    "Outbox",
    "OutboxClosedError",
    "OutboxCorruptError",
    "OutboxError",
    "OutboxFileError",
    "OutboxFullError",
    "OutboxLockedError",
    "OutboxState",
    "OutboxVersionError",
    "Peer",
    "PeerTimeoutError",
    "PrivateKey",
    "ProtocolError",
    "PublicKey",
    "RemoteError",
    "RequestCancelledError",
    "RequestError",
    "RequestTimeoutError",
    "SealframeError",
    "SendQueueFullError",
    "Server",
    "ServerIdentity",
    "ServerKeyChangedError",
    "ServerOptions",
    "ServerStats",
    "Serving",
    "SessionInfo",
    "SessionLostError",
    "Sessions",
    "SharedKey",
    "ShutdownReport",
    "SlowPeerError",
    "Stats",
    "Stream",
    "StreamError",
    "StreamResetError",
    "TrailerError",
    "TruncatedError",
    "UnauthorizedError",
    "UnknownClientError",
    "UnknownServerError",
    "WaitTimeoutError",
    "WrongLoopError",
    "__version__",
    "activated_sockets",
    "connect",
    "is_fatal",
    "serve",
]


def _log_missing_extensions() -> None:
    """Say once that what is compiled for CPython was expected, and is not here.

    A record, no warning: programs whose warnings are errors go on. Where nothing is set up for
    logs, it is a line on stderr.
    """
    if (
        IMPLEMENTATION == "python"
        and sys.implementation.name == "cpython"
        and os.environ.get("SEALFRAME_NO_EXTENSIONS") != "1"
    ):
        # Not before: nearly nobody needs it, and it takes its time to import.
        from importlib.util import find_spec

        why = (
            "it is installed without what is compiled for this CPython {}.{}; with a C compiler: "
            "SEALFRAME_EXTENSION=yes pip install --force-reinstall --no-deps --no-cache-dir "
            "--no-binary sealframe sealframe".format(*sys.version_info)
            if find_spec("sealframe.framing._codec") is None
            else "what is compiled is for the main interpreter alone"
        )
        logging.getLogger("sealframe").warning(
            "sealframe runs in pure Python, which is slower: %s; if it is meant to: "
            "SEALFRAME_NO_EXTENSIONS=1",
            why,
        )


_log_missing_extensions()


def __getattr__(name: str) -> ModuleType:
    """Import :mod:`sealframe.sync` at its first use: programs with asyncio do without it."""
    if name == "sync":
        return import_module("sealframe.sync")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
