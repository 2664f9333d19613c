"""Messages between asyncio programs over one socket.

Length-prefixed frames parsed in C, sealed with AES-GCM when you ask for it::

    async with sealframe.serve(handler, "127.0.0.1", 1234) as server: ...
    async with sealframe.connect("127.0.0.1", 1234) as conn: ...

See :func:`serve`, :func:`connect`, :class:`Connection` and :class:`SharedKey`; and
:mod:`sealframe.sync` for programs without asyncio.
"""

from __future__ import annotations

from . import sync as sync
from .authorized import AuthorizedClients
from .client import connect, is_fatal
from .connection import Connection
from .disconnect import Disconnect, DisconnectKind
from .errors import (
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
    KeyFileError,
    KeyFormatError,
    ListenError,
    MalformedLengthError,
    MessageTooLargeError,
    MessageTooSmallError,
    MetricsError,
    MissingExtraError,
    NonceExhaustedError,
    NotSupportedError,
    PeerTimeoutError,
    ProtocolError,
    RemoteError,
    RequestCancelledError,
    RequestError,
    RequestTimeoutError,
    SealframeError,
    ServerKeyChangedError,
    SlowPeerError,
    StreamError,
    StreamResetError,
    TruncatedError,
    UnauthorizedError,
    UnknownClientError,
    UnknownServerError,
    WaitTimeoutError,
    WrongLoopError,
)
from .files.inbox import Inbox
from .framing import IMPLEMENTATION, Framing
from .groups import Group
from .identity import ClientIdentity, ServerIdentity
from .keys import Invitation, PrivateKey, PublicKey, SharedKey
from .known_servers import KnownServers
from .options import ClientOptions, ServerOptions
from .peer import Peer
from .server import Server, serve
from .shutdown import ShutdownReport
from .stats import ServerStats, Stats
from .stream import Stream
from .version import __version__
from .wire import CloseCode, FileRefusal

__all__ = [
    "IMPLEMENTATION",
    "AuthorizedClients",
    "ClientIdentity",
    "ClientOptions",
    "CloseCode",
    "ConfigurationError",
    "ConnectError",
    "ConnectTimeoutError",
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
    "Invitation",
    "KeyFileError",
    "KeyFormatError",
    "KnownServers",
    "ListenError",
    "MalformedLengthError",
    "MessageTooLargeError",
    "MessageTooSmallError",
    "MetricsError",
    "MissingExtraError",
    "NonceExhaustedError",
    "NotSupportedError",
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
    "Server",
    "ServerIdentity",
    "ServerKeyChangedError",
    "ServerOptions",
    "ServerStats",
    "SharedKey",
    "ShutdownReport",
    "SlowPeerError",
    "Stats",
    "Stream",
    "StreamError",
    "StreamResetError",
    "TruncatedError",
    "UnauthorizedError",
    "UnknownClientError",
    "UnknownServerError",
    "WaitTimeoutError",
    "WrongLoopError",
    "__version__",
    "connect",
    "is_fatal",
    "serve",
]
