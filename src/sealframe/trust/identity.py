"""Identities: key pairs of servers and clients, and what each end knows of the other.

docs/PROTOCOL.md section 6, "Who is let in", has the rules.
"""

from __future__ import annotations

import hmac
import logging
import math
import os
import time
from collections.abc import Callable, Collection, Mapping
from threading import Lock
from typing import Final

from ..errors import ConfigurationError, HandshakeError, KeyFormatError
from ..noise.cipher import KeyPair, Secret
from ..noise.credentials import Credentials
from ..wire import Pattern
from . import keylist
from .authorized import AuthorizedClients, check_name
from .keys import Invitation, PrivateKey, PublicKey
from .known_servers import KnownServers, ServerVerifier
from .patterns import IDENTITIES, accepted_patterns
from .peer import Peer, unknown_client

logger = logging.getLogger("sealframe.identity")

_MAX_INVITATIONS: Final = 1000


class ServerIdentity(Secret):
    """A server with a key pair, and the clients that it lets in.

    Give it as ``security=`` to :func:`sealframe.serve`. A client whose public key is
    not among ``clients`` is told so inside the seal and let go. A file of clients is
    looked at twice a second: a key that is added may connect, and a key that is taken
    out closes the live connections of that client.

    :param key: the server's private key
    :param clients: the path of an authorised-clients file, one line for each with
        public key, name, comment; or ``{name: public key}``
    :param patterns: Noise handshakes that are accepted: ``"XK"`` from clients that
        have the server's public key already, ``"XX"`` from those that ask for it
        (whoever connects then learns the server's public key). Both are accepted with
        ML-KEM-768 beside X25519, and without; ``"XKhfs"`` and ``"XXhfs"`` with it alone
    :raises ConfigurationError: an argument is of the wrong kind, or the server's own
        key is among the clients
    :raises KeyFileError: the file of clients cannot be read, or others can write it
    :raises KeyFormatError: a line of the file is wrong
    :raises MissingExtraError: ``cryptography`` is not installed, or has no ML-KEM-768 and
        ``patterns`` are all with it
    """

    __slots__ = ("_credentials", "_invitations", "_key", "_lock", "clients")

    def __init__(
        self,
        key: PrivateKey,
        clients: str | os.PathLike[str] | Mapping[str, PublicKey],
        *,
        patterns: Collection[str] = ("XK",),
    ) -> None:
        self._key = _private(key)
        accepted = accepted_patterns(
            patterns,
            IDENTITIES,
            advice="('XK',), ('XX',) or ('XK', 'XX'), or with post-quantum handshakes alone "
            "'XKhfs' and 'XXhfs' in their place",
        )
        self._credentials = Credentials(*accepted, static=_key_pair(self._key))
        self._credentials.require(client=False)
        # Servers in several threads may share this identity.
        self._lock = Lock()
        self._invitations: list[_Open] = []
        self.clients: Final[AuthorizedClients] = AuthorizedClients(clients)
        """The clients that are let in."""
        if self.clients.lookup(bytes(self.public_key)) is not None:
            raise ConfigurationError(
                "the server's own key is among its clients: make a key for each client"
            )

    @property
    def public_key(self) -> PublicKey:
        """What clients are given, to know this server by."""
        return self._key.public_key

    def invite(self, name: str, *, valid_for: float = 600.0) -> Invitation:
        """Return an invitation for one new client, which joins the file of clients.

        It holds this server's public key and a token that works once. The client
        gives it to :class:`ClientIdentity`. A restart of the server forgets it.

        :param name: what to call the client: one word
        :param valid_for: seconds until it expires
        :raises ConfigurationError: ``clients`` is not a file, a thousand invitations
            are open, or ``valid_for`` is not positive
        :raises ValueError: the name is not one word of printable characters
        :raises MissingExtraError: ``filelock`` is not installed
        """
        check_name(name)
        if self.clients.path is None:
            raise ConfigurationError("invitations need a file of clients, not a table")
        keylist.require()
        if not _is_time(valid_for):
            raise ConfigurationError(f"valid_for is {valid_for!r}; use a number of seconds")
        invitation = Invitation.generate(self.public_key)
        with self._lock:
            self._forget_expired()
            if len(self._invitations) >= _MAX_INVITATIONS:
                raise ConfigurationError(f"{_MAX_INVITATIONS} invitations are open already")
            self._invitations.append(_Open(invitation.token, name, valid_for))
        return invitation

    def revoke(self, invitation: Invitation) -> bool:
        """Take an invitation back; return whether it was still open.

        Whoever has used it stays until its line is taken out of the file of clients.
        """
        return self._take(invitation.token) is not None

    def _identify(self, key: bytes, token: bytes) -> Peer | HandshakeError:
        # The server's own key is never a client's: whoever stole it must not connect with it.
        if key == bytes(self.public_key):
            return unknown_client(key)
        return self.clients.lookup(key) or self._admit(key, token) or unknown_client(key)

    def _admit(self, key: bytes, token: bytes) -> Peer | None:
        invitation = self._take(token)
        if invitation is None:
            return None
        peer = self.clients.admit(invitation.name, PublicKey(key))
        logger.info("let in by invitation: %s", peer)
        return peer

    def _take(self, token: bytes) -> _Open | None:
        """Remove and return the open invitation with that token; None if there is none.

        The tokens are compared in constant time.
        """
        with self._lock:
            self._forget_expired()
            for invitation in self._invitations:
                if hmac.compare_digest(invitation.token, token):
                    self._invitations.remove(invitation)
                    return invitation
        return None

    def _forget_expired(self) -> None:
        self._invitations = [entry for entry in self._invitations if not entry.expired]


class _Open(Secret):
    """An invitation that nobody has used yet."""

    __slots__ = ("_ends", "name", "token")

    def __init__(self, token: bytes, name: str, valid_for: float) -> None:
        self.token = token
        self.name = name
        # It expires by whichever clock comes first: the monotonic one may stop while the
        # machine sleeps, and the wall clock may be set back.
        self._ends = time.monotonic() + valid_for, time.time() + valid_for

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self._ends[0] or time.time() >= self._ends[1]


class ClientIdentity(Secret):
    """A client with a key pair, and how it knows the server.

    Give it as ``security=`` to :func:`sealframe.connect`, with exactly one of
    ``server``, ``known_servers`` and ``invitation``.

    :param key: the client's private key
    :param server: the server's public key (Noise XK)
    :param known_servers: the path of a file of known servers, which need not exist
        yet (Noise XX). A server whose key differs from the file's is refused with
        :exc:`~sealframe.ServerKeyChangedError` before the client shows who it is
    :param trust_first_use: a server that is not in that file is trusted, and recorded
        once it has welcomed us; otherwise it is refused with
        :exc:`~sealframe.UnknownServerError`, which has its key
    :param invitation: what :meth:`ServerIdentity.invite` returned: it names the
        server's key and lets this client in, once; afterwards use ``server``
    :param post_quantum: whether to ask for keys that come of ML-KEM-768 beside X25519 (Noise
        XKhfs and XXhfs); False for servers that do not have it. The client never tries the
        other by itself
    :raises ConfigurationError: the arguments cannot work together
    :raises MissingExtraError: ``cryptography`` is not installed, or has no ML-KEM-768 and
        ``post_quantum`` asks for it, or, where servers are to be recorded, ``filelock``
    """

    __slots__ = ("_credentials", "_invitation", "_key", "_known", "_trust")

    def __init__(
        self,
        key: PrivateKey,
        *,
        server: PublicKey | None = None,
        known_servers: str | os.PathLike[str] | None = None,
        trust_first_use: bool = False,
        invitation: Invitation | None = None,
        post_quantum: bool = True,
    ) -> None:
        self._key = _private(key)
        if sum(way is not None for way in (server, known_servers, invitation)) != 1:
            raise ConfigurationError("give one of server=, known_servers= and invitation=")
        if server is not None and not isinstance(server, PublicKey):
            raise ConfigurationError(
                "server is a PublicKey, for example PublicKey.from_text('sealframe1...')"
            )
        if invitation is not None and not isinstance(invitation, Invitation):
            raise ConfigurationError(
                "invitation is an Invitation, for example Invitation.from_text(...)"
            )
        if known_servers is not None and not isinstance(known_servers, str | os.PathLike):
            raise ConfigurationError(f"known_servers is {known_servers!r}; use the path of a file")
        if trust_first_use:
            if known_servers is None:
                raise ConfigurationError("trust_first_use belongs to known_servers=")
            keylist.require()
        pair = _key_pair(self._key)
        server = invitation.server if invitation is not None else server
        if server is None:
            pattern = Pattern.XXHFS if post_quantum else Pattern.XX
            self._credentials = Credentials(pattern, static=pair)
        else:
            _check_server(pair, server)
            pattern = Pattern.XKHFS if post_quantum else Pattern.XK
            self._credentials = Credentials(pattern, static=pair, remote_static=bytes(server))
        self._credentials.require(client=True)
        self._invitation = invitation
        self._known = None if known_servers is None else KnownServers(known_servers)
        self._trust = bool(trust_first_use)

    @property
    def public_key(self) -> PublicKey:
        """What the server's file of clients must hold."""
        return self._key.public_key

    @property
    def _token(self) -> bytes:
        return b"" if self._invitation is None else self._invitation.token

    def _verifier(self, name: str) -> ServerVerifier | None:
        if self._known is None:
            return None
        return ServerVerifier(self._known, name, trust_first_use=self._trust)


# What connections need of an identity beside its public interface.


def credentials_of(identity: ServerIdentity | ClientIdentity) -> Credentials:
    """Return what the Noise handshake needs."""
    return identity._credentials


def identifier_of(identity: ServerIdentity) -> Callable[[bytes, bytes], Peer | HandshakeError]:
    """Return the function that tells which client has a key, or why it may not connect.

    Its arguments are the public key that the client has proved, 32 bytes, and the token of the
    invitation that it has shown, perhaps empty. It uses up the invitation.
    """
    return identity._identify


def token_of(identity: ClientIdentity) -> bytes:
    """Return the token that HELLO shows to the server; empty without an invitation."""
    return identity._token


def verifier_of(identity: ClientIdentity, name: str) -> ServerVerifier | None:
    """Return what verifies the key of the server at that address; None if the identity has
    the key already."""
    return identity._verifier(name)


def _key_pair(key: PrivateKey) -> KeyPair:
    return KeyPair(key.secret_bytes())


def _check_server(key: KeyPair, server: PublicKey) -> None:
    if bytes(server) == key.public:
        raise ConfigurationError("the server's key is this client's own: make one for each")
    try:
        key.agree(bytes(server))
    except KeyFormatError as error:
        raise ConfigurationError(f"the server's key cannot be used: {error}") from None


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf


def _private(key: object) -> PrivateKey:
    if not isinstance(key, PrivateKey):
        raise ConfigurationError(
            f"key is a {type(key).__name__}; use a PrivateKey, for example PrivateKey.load(path)"
        )
    return key
