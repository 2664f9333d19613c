"""The arguments of connect() and serve(), checked before anything is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from .. import wire
from ..core.budget import CLIENT_WINDOW, FIRST_WINDOW
from ..core.introductions import Identify
from ..core.protocol import ProtocolMachine
from ..core.trace import Trace
from ..errors import ConfigurationError, HandshakeError
from ..framing import FrameLayout
from ..noise import cipher
from ..noise.credentials import Credentials
from ..noise.records import RecordLayer
from ..options import Options, Sessions
from ..trust.authorized import AuthorizedClients
from ..trust.identity import (
    ClientIdentity,
    ServerIdentity,
    credentials_of,
    identifier_of,
    token_of,
    verifier_of,
)
from ..trust.key_log import KeyLog, key_log
from ..trust.keys import PublicKey, SharedKey, shared_credentials
from ..trust.known_servers import ServerVerifier
from ..trust.peer import Peer
from ..version import SOFTWARE
from ..wire.control import SessionHello

Security: TypeAlias = SharedKey | ServerIdentity | ClientIdentity


@dataclass(frozen=True, kw_only=True)
class ConnectionConfig:
    """How to talk: packets, extended, sealed, or a foreign framing.

    :raises ConfigurationError: the arguments cannot work together
    :raises MissingExtraError: sealing needs ``cryptography``, or a client's key asks for
        ML-KEM-768, which is missing
    :raises KeyFileError: ``SEALFRAME_KEYLOG`` names a file that cannot be a key log
    """

    client: bool
    """Whether this end connects."""
    security: Security | None = None
    context: bytes | str = b""
    framing: FrameLayout | None = None
    pipelining: bool = True
    """Whether a client may send a message before one has come for the one before."""
    extended: bool = False
    options: Options = field(default_factory=Options)
    takes_streams: bool = False
    """Whether the peer may open streams here."""
    takes_requests: bool = False
    """Whether it may ask for something."""
    sessions: Sessions | None = None
    """How a server keeps the sessions that its clients ask for; None for not at all."""
    key_log: KeyLog | None = field(default=None, init=False)
    """Where the keys of sealed connections are written; None for nowhere."""

    def __post_init__(self) -> None:
        if self.security is not None:
            identity = ClientIdentity if self.client else ServerIdentity
            if not isinstance(self.security, SharedKey | identity):
                raise ConfigurationError(
                    f"security is a {type(self.security).__name__}; use a SharedKey, "
                    f"for example SharedKey.load(path), a {identity.__name__}, or None"
                )
            cipher.require()
            if isinstance(self.security, SharedKey):
                shared_credentials(self.security, client=self.client).require(client=self.client)
            object.__setattr__(self, "key_log", key_log())
        if not isinstance(self.context, bytes | str):
            raise ConfigurationError("context is text or bytes")
        if len(self.context_bytes) > wire.MAX_CONTEXT:
            raise ConfigurationError(f"context is over {wire.MAX_CONTEXT} bytes")
        if self.context and self.security is None:
            raise ConfigurationError("context belongs to a sealed connection: give security too")
        if self.sessions is not None and not isinstance(self.sessions, Sessions):
            raise ConfigurationError(f"sessions is {self.sessions!r}; use Sessions(...), or None")
        if not isinstance(self.pipelining, bool):
            raise ConfigurationError(f"pipelining is {self.pipelining!r}; use True or False")
        if not self.pipelining and self.framing is None:
            raise ConfigurationError(
                "pipelining=False belongs to a foreign framing: a sealframe server takes any "
                "number of messages"
            )
        if self.framing is not None:
            if self.sessions is not None:
                raise ConfigurationError("a foreign framing carries messages only: no sessions")
            if not isinstance(self.framing, FrameLayout):
                raise ConfigurationError(
                    f"framing is {self.framing!r}; use a layout, such as INT32_BE or "
                    "Framing(...), or None"
                )
            if self.security is not None or self.extended:
                raise ConfigurationError(
                    "a foreign framing carries messages only: no security, not extended"
                )
            narrowed = self.framing.limited(self.options.max_message_size)
            object.__setattr__(self, "framing", narrowed)

    @property
    def context_bytes(self) -> bytes:
        """The context as it goes into the handshake."""
        return self.context.encode() if isinstance(self.context, str) else self.context

    @property
    def window(self) -> int:
        """The first window for messages: what the peer may send before it gets CREDIT."""
        first = CLIENT_WINDOW if self.client else FIRST_WINDOW
        return min(self.options.pause_limit, first)

    @property
    def clients_file(self) -> AuthorizedClients | None:
        """The clients of a server that has them in a file."""
        if isinstance(self.security, ServerIdentity) and self.security.clients.path is not None:
            return self.security.clients
        return None

    def server_verifier(self, address: str) -> ServerVerifier | None:
        """Return what verifies the key of the server there; None unless the client learns the
        key in the handshake."""
        if isinstance(self.security, ClientIdentity):
            return verifier_of(self.security, address)
        return None

    def protocol(
        self,
        *,
        client_id: str = "",
        address: str = "",
        verify_server_key: Callable[[bytes], HandshakeError | None] | None = None,
        session: SessionHello | None = None,
        trace: Trace | None = None,
    ) -> ProtocolMachine:
        """Return the state machine for one new connection.

        :param client_id: for a server, the id that the client is told
        :param address: for a client, what it connects to
        :param verify_server_key: for a client that learns the server's key in the handshake,
            returns why that key is not the right one
        :param session: for a client, what HELLO says of its session; None for no session
        :param trace: logs frames and the steps of the handshake
        """
        credentials: Credentials | None = None
        identify: Identify | None = None
        invitation = b""
        match self.security:
            case SharedKey():
                credentials = shared_credentials(self.security, client=self.client)
            case ServerIdentity():
                credentials = credentials_of(self.security)
                identify = identifier_of(self.security)
            case ClientIdentity():
                credentials = credentials_of(self.security)
                invitation = token_of(self.security)

                def identify(key: bytes, _: bytes) -> Peer:
                    return Peer(address, PublicKey(key))

        records = None
        if credentials is not None:
            records = RecordLayer(
                initiator=self.client,
                credentials=credentials,
                context=self.context_bytes,
                verify_server_key=verify_server_key,
                trace=trace,
                key_log=self.key_log.write if self.key_log is not None else None,
            )
        writers = b""
        if session is not None and session.writers is not None:
            writers = session.writers.encode()
        options = self.options
        return ProtocolMachine(
            client=self.client,
            max_message_size=options.max_message_size,
            framing=self.framing,
            records=records,
            extended=self.extended,
            client_id=client_id,
            software=SOFTWARE,
            invitation=invitation,
            window=self.window,
            max_streams=options.max_streams if self.takes_streams else 0,
            max_requests=options.max_requests if self.takes_requests else 0,
            identify=identify,
            session=b"" if session is None else session.encode(),
            writers=writers,
            takes_sessions=self.sessions is not None,
            trace=trace,
        )
