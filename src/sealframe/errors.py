"""Every exception that sealframe raises, in one tree.

``except SealframeError`` catches all of them. Only a wrong argument in a call gets
Python's own ``TypeError``, ``ValueError`` or ``BufferError``. Whatever ends a connection is a
:exc:`ConnectionClosed`, so one ``except`` around a loop of ``recv`` and
``send`` is enough to reconnect.
"""

from __future__ import annotations

import copy
import itertools
from functools import cached_property, partial
from typing import Any, TypeVar

_Error = TypeVar("_Error", bound=Exception)


class SealframeError(Exception):
    """Base of everything below."""

    # A program's own class may have an attribute of that name: then that one counts.
    @cached_property
    def topic(self) -> str:
        """The name by which ``sealframe explain`` knows it: of a program's own, its base's."""
        return _topic(self)

    @cached_property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        """What a traceback shows below the text (PEP 678), made when somebody looks at it."""
        return [f"What to do: sealframe explain {_topic(self)}"]


def _fresh(error: _Error) -> _Error:
    fresh = copy.copy(error)
    # Otherwise a note that is added to one would stand on all of them.
    vars(fresh).pop("__notes__", None)
    return fresh


def _topic(error: SealframeError) -> str:
    return next(
        kind.__name__
        for kind in type(error).__mro__
        if kind.__module__ == __name__ and not kind.__name__.startswith("_")
    )


class ConfigurationError(SealframeError, ValueError):
    """Arguments that cannot work together, refused before anything is opened."""


class MissingExtraError(SealframeError, ImportError):
    """A feature needs a package that is not installed; the text names the extra."""


class WrongLoopError(SealframeError, RuntimeError):
    """An object was used from a thread, event loop or process other than its own."""


class WaitTimeoutError(SealframeError, TimeoutError):
    """A blocking call (:mod:`sealframe.sync`) was not done within its ``timeout=``.

    It was cancelled, and nothing is lost.
    """


class NotSupportedError(SealframeError):
    """This connection cannot do that, for example ``ping`` where only packets flow."""


class UnknownClientError(SealframeError, LookupError):
    """No client of that id is there: it left, or the id was never one.

    :ivar id: what was asked for
    """

    def __init__(self, id: object, where: str = "server") -> None:
        super().__init__(id, where)
        self.id = id
        self._where = where

    def __str__(self) -> str:
        what = "the id" if self._where == "server" else "the id or the name"
        return (
            f"no client has {what} {self.id!r}: it may have left; {self._where}.clients has those "
            "that are there, by id"
        )


class MetricsError(SealframeError):
    """A server's figures cannot be had now: its event loop is busy, or closed."""


class _MessageSizeError(SealframeError, ValueError):
    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size = size
        self.limit = limit


class MessageTooLargeError(_MessageSizeError):
    """A message to be sent is over the limit. Nothing was sent.

    :ivar size: bytes in the refused message
    :ivar limit: the largest message that can be sent here, in bytes
    """

    def __str__(self) -> str:
        return f"a message of {self.size} bytes is over the limit of {self.limit} bytes"


class MessageTooSmallError(_MessageSizeError):
    """A message to be sent is below the minimum of this framing. Nothing was sent.

    :ivar size: bytes in the refused message
    :ivar limit: the smallest message that can be sent here, in bytes
    """

    def __str__(self) -> str:
        return f"a message of {self.size} bytes is below the minimum of {self.limit} bytes"


class MessageFormatError(SealframeError, ValueError):
    """A message to be sent cannot be a frame of this framing. Nothing was sent.

    It has the delimiter inside, or is not the one whole frame that it has to be.
    """


class SendQueueFullError(SealframeError):
    """``send_nowait`` found no room in the send queue. The message was not accepted.

    :ivar limit: ``outbox_limit``, in bytes
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"the send queue is full: outbox_limit, {self.limit} bytes, is reached, or others wait "
            "for room: await send(), which waits for its turn, or raise outbox_limit"
        )


class EncodeError(SealframeError, ValueError):
    """The codec cannot encode what was to be sent. Nothing was sent."""


class DecodeError(SealframeError, ValueError):
    """The codec cannot decode a message, or the answer to a request, that came.

    That message is taken: whoever receives again gets the next one. The text says of what
    kind the fault is, and where, and nothing of the content; ``__cause__`` may quote it.
    A codec or a handler that finds fault with a message itself raises ``DecodeError(text)``:
    the peer is told the text.

    :ivar message: the message as it came
    :ivar connection: the :class:`sealframe.Connection` it came on, ``None`` where the codec
        was called without one
    """

    def __init__(self, text: str, *, message: bytes = b"") -> None:
        super().__init__(text)
        self.message = message
        self.connection: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(type(self), message=self.message), self.args)


class KeyFormatError(SealframeError, ValueError):
    """A key, its text form, or a line of a list of keys is malformed; a passphrase is too weak."""


class _PlainOSError(SealframeError, OSError):
    """An OSError whose text is for people and does not start with a number."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


class KeyFileError(_PlainOSError):
    """A file with a key, or a list of keys, cannot be used.

    It is missing or unreadable, belongs to another user, or cannot be written because
    another program holds it; a key file is readable by others or already there, a list
    of keys can be written by others.
    """


class DecryptionError(SealframeError):
    """Authentication of a ciphertext failed. Nothing of it was handed out."""


class NonceExhaustedError(SealframeError):
    """A cipher has used every nonce its key allows; a new connection is needed."""


class ConnectError(_PlainOSError):
    """No connection could be opened: refused, no such host, no such path."""


class ConnectTimeoutError(ConnectError, TimeoutError):
    """No connection could be opened within ``connect_timeout``."""


class ListenError(_PlainOSError):
    """The server cannot listen there: the address is in use, forbidden or unknown."""


class OutboxError(SealframeError):
    """The file of an :class:`sealframe.Outbox` cannot be used as asked. Base of those below.

    What was accepted before stays in the file.
    """


class OutboxFullError(OutboxError):
    """The disk is full, or a quota or limit of file sizes is reached. Nothing was accepted.

    The outbox goes on as soon as there is room.
    """


class OutboxLockedError(OutboxError):
    """Another program, or another connection of this one, uses the file."""


class OutboxCorruptError(OutboxError):
    """The file is damaged, or was never an outbox."""


class OutboxVersionError(OutboxError):
    """The file was made by a version of sealframe that writes another format."""


class OutboxFileError(OutboxError):
    """The file cannot be opened or written.

    Its folder is missing or cannot be written, it is read-only, others can read it, its file
    system is not fit for it, or the disk reports an error.
    """


class OutboxClosedError(OutboxError):
    """The outbox was closed before. Nothing was accepted."""


class StreamError(SealframeError):
    """A stream is over in that direction, by what this end did."""

    def fresh(self) -> StreamError:
        """Return a copy without traceback and notes, so that it can be raised many times."""
        return _fresh(self)


class StreamResetError(StreamError):
    """The other end reset the stream.

    :ivar code: 0 if it just wanted no more, 1 to 15 if it could not serve the stream
        (:class:`sealframe.wire.ResetCode`), from 16 up what its program said
    :ivar reason: the text that came with it
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        detail = f": {self.reason}" if self.reason else ""
        return f"the other end reset the stream (code {self.code}){detail}"


class ClusterError(SealframeError):
    """A cluster cannot be joined, or one of its calls cannot be carried out."""


class ClusterUnavailableError(ClusterError):
    """NATS is away, and with it all other servers: what needs them is not tried.

    The server's own clients are served on, and it joins again by itself.
    """


class RequestError(SealframeError):
    """A request got no reply, and the connection goes on."""


class RemoteError(RequestError):
    """What answered the request at the other end raised an exception.

    To answer with an error of its own, ``on_request`` raises ``RemoteError(type, message)``.

    :ivar type: the name of the exception's class there
    :ivar message: its text
    """

    def __init__(self, type: str, message: str = "") -> None:
        super().__init__(type, message)
        self.type = type
        self.message = message

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class RequestTimeoutError(RequestError, TimeoutError):
    """There was no answer in time; the other end was told to stop."""


class RequestCancelledError(RequestError):
    """The other end gave the request up, and the connection goes on.

    Where it did so because it shuts down, that is a :exc:`ConnectionClosed`.
    """


class FileTransferError(SealframeError):
    """A file did not go over. Base of those below."""


class FileRefusedError(FileTransferError):
    """The receiving end does not take a file, or not any further.

    :ivar code: why (:class:`sealframe.FileRefusal`)
    :ivar reason: the same for people
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class FileUnreadableError(FileTransferError, _PlainOSError):
    """What is to be sent cannot be read, or is neither a regular file nor a directory."""


class FileChangedError(FileTransferError):
    """A file was written to while it was being sent; send it again."""


class DirectoryTransferError(FileTransferError):
    """Parts of a directory did not go over; the others did.

    :ivar failures: for each of them, by its name at the other end, why
    :ivar receipt: what has arrived (:class:`sealframe.files.Receipt`)
    """

    def __init__(self, failures: dict[str, FileTransferError], receipt: Any) -> None:
        super().__init__(failures, receipt)
        self.failures = failures
        self.receipt = receipt

    def __str__(self) -> str:
        shown = [f"{name}: {error}" for name, error in itertools.islice(self.failures.items(), 3)]
        more = len(self.failures) - len(shown)
        return (
            f"{len(self.failures)} were not sent and {len(self.receipt.names)} were: "
            + "; ".join(shown)
            + (f"; and {more} more" if more else "")
        )


class FramingError(SealframeError):
    """Received bytes cannot be a frame of this layout; the decoder stays unusable.

    :ivar frames: the whole frames that came before the fault in the same call
    """

    frames: list[Any]

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.frames = []


class FrameTooLargeError(FramingError):
    """A frame declares more than the limit."""


class FrameTooSmallError(FramingError):
    """A frame declares less than its own header, or less than the minimum."""


class MalformedLengthError(FramingError):
    """A length is not written as the layout says, or runs on past its limit."""


class MagicError(FramingError):
    """A frame does not begin with the bytes that every frame of the layout begins with."""


class TrailerError(FramingError):
    """A frame does not end with the bytes that every frame of the layout ends with."""


class ChecksumError(FramingError):
    """A frame has another checksum than its bytes come to: it was damaged on the way."""


class IncompleteFrameError(FramingError):
    """The stream ended inside a frame.

    :ivar received: bytes of that frame that came
    :ivar size: bytes that it has in all; 0 if too little came to tell
    """

    received: int = 0
    size: int = 0


class ConnectionClosed(SealframeError, ConnectionError):  # noqa: N818 - the name websockets users know
    """The connection is over, or nothing more can be sent on it.

    :ivar code: the close code (:class:`sealframe.CloseCode`) that the peer
        sent or that we sent to it, ``None`` where no CLOSE was seen
    :ivar reason: the text that came with it
    """

    def __init__(self, message: str, *, code: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason

    def fresh(self) -> ConnectionClosed:
        """Return a copy without traceback and notes, so that it can be raised many times."""
        error = _fresh(self)
        error.__cause__ = self.__cause__
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(type(self), code=self.code, reason=self.reason), self.args)


class ConnectionClosedOK(ConnectionClosed):
    """Both sides closed properly; ``async for`` simply ends on it."""


class ConnectionClosedError(ConnectionClosed):
    """The connection ended in any other way."""


class SessionLostError(ConnectionClosedError):
    """The session is over, and not all that was sent is known to have arrived.

    The numbers count the messages of this end, and add up to those that it has accepted for
    sending: the first so many have arrived, the next were discarded, and so on, in this order.
    Where the session was not lost by itself, ``__cause__`` is the error that ended it, as
    :exc:`SlowPeerError`.

    :ivar arrived: the other end has acknowledged them
    :ivar discarded: it has acknowledged them, and then its program did not take them: it closed,
        or put this end out, and threw them away
    :ivar unknown: they were given to a link, and no acknowledgement has come: they may have
        arrived, or not. Where this end has put the other out, those too that wait to be sent and
        still are; ``on_disconnect`` is told how that has ended
    :ivar unsent: they were given to none, and have not arrived. After a loss of power, with an
        outbox that is only ``durable="process"``, the last of them may have been given to a link
        and have arrived: the file is older than that
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        reason: str = "",
        arrived: int = 0,
        discarded: int = 0,
        unknown: int = 0,
        unsent: int = 0,
    ) -> None:
        super().__init__(message, code=code, reason=reason)
        self.arrived = arrived
        self.discarded = discarded
        self.unknown = unknown
        self.unsent = unsent

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            partial(
                type(self),
                code=self.code,
                reason=self.reason,
                arrived=self.arrived,
                discarded=self.discarded,
                unknown=self.unknown,
                unsent=self.unsent,
            ),
            self.args,
        )


class TruncatedError(ConnectionClosedError):
    """The stream ended inside a frame, or without the CLOSE that is owed."""


class ProtocolError(ConnectionClosedError):
    """The peer sent something that the protocol does not allow there."""


class PeerTimeoutError(ConnectionClosedError, TimeoutError):
    """The peer was silent for too long, or nothing that was sent to it was acknowledged."""


class SlowPeerError(ConnectionClosedError):
    """The peer did not read fast enough, and the policy is to disconnect it."""


class HandshakeError(ConnectionClosedError):
    """A sealed or extended connection could not be established."""


class UnauthorizedError(HandshakeError):
    """The server proved itself and does not let this client's key in.

    It says so inside the seal, so that nobody on the way can have made it up. A live
    connection whose key is withdrawn ends with :exc:`ConnectionClosedError` instead,
    code ``UNAUTHORIZED``.
    """


class UnknownServerError(HandshakeError):
    """The server's key is not among the known ones, and is not to be trusted unasked.

    Ask somebody who can compare the key, add it to the known servers, and connect again.

    :ivar name: the server's address, as the file of known servers has it
    :ivar key: the key that the server showed (:class:`sealframe.PublicKey`)
    """

    def __init__(self, message: str, *, name: str = "", key: Any = None) -> None:
        super().__init__(message)
        self.name = name
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(type(self), name=self.name, key=self.key), self.args)


class ServerKeyChangedError(HandshakeError):
    """The server's key is not the one known for its address: maybe somebody poses as it.

    :ivar name: the server's address, as the file of known servers has it
    :ivar known: the key in the file (:class:`sealframe.PublicKey`)
    :ivar offered: the key that the server showed
    """

    def __init__(
        self, message: str, *, name: str = "", known: Any = None, offered: Any = None
    ) -> None:
        super().__init__(message)
        self.name = name
        self.known = known
        self.offered = offered

    def __reduce__(self) -> tuple[Any, ...]:
        keys = {"known": self.known, "offered": self.offered}
        return (partial(type(self), name=self.name, **keys), self.args)


class HandshakeTimeoutError(HandshakeError, PeerTimeoutError):
    """The handshake was not finished within ``handshake_timeout``."""
