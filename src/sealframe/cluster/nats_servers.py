"""Which NATS servers, and the credentials for them, checked before anything is opened."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import ConfigurationError, KeyFileError

_PORT: Final = 4222
"""Of NATS, where a URL has none."""


@dataclass(frozen=True, init=False, repr=False)
class NatsServers:
    """Where NATS is, and how to be let in. Never in a repr, a log or an error: its secrets.

    One way to be let in at most: user and password, a token, an nkey, or credentials (a JWT and its
    nkey). User and password, or a token in place of the user, may stand in the URLs
    (``nats://user:password@host``), percent-encoded and alike in all. TLS is used where the server
    wants it. With ``tls=`` or the scheme ``tls://`` nothing is said to a server without it.

    :ivar urls: as given, with a scheme and a port, and without what is secret; never empty
    """

    urls: tuple[str, ...]
    user: str | None
    password: str | None
    token: str | None
    nkey_file: Path | None
    credentials_file: Path | None
    tls: ssl.SSLContext | None = field(compare=False)

    def __init__(
        self,
        urls: str | Iterable[str],
        *,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        nkey_file: str | Path | None = None,
        credentials_file: str | Path | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """
        :param urls: one or several, ``nats://host:port`` or ``tls://host:port``: of any nodes of
            one NATS cluster, which name the others
        :param nkey_file: the file with the seed of an nkey
        :param credentials_file: the file with a JWT and the seed of its nkey
        :param tls: with which certificates TLS is spoken; the system's, where none is given
        :raises ConfigurationError: a URL is none, or several ways to be let in are given
        :raises KeyFileError: one of the files cannot be read
        """
        given = [urls] if isinstance(urls, str) else list(urls)
        if not given:
            raise ConfigurationError("no URL of NATS is given: name one, as nats://host:4222")
        parts = [_split(url) for url in given]
        found = {(part.username, part.password) for part in parts}
        if len(found) > 1:
            raise ConfigurationError(
                "the URLs of NATS have different users or passwords: there is one for all servers"
            )
        in_url = found.pop()
        if in_url[0] is not None:
            if (user, password, token) != (None, None, None):
                raise ConfigurationError(
                    "give user, password and token of NATS in the URL or as arguments, not in both"
                )
            name, secret = (None if text is None else unquote(text) for text in in_url)
            user, password, token = (None, None, name) if secret is None else (name, secret, None)
        if (user is None) != (password is None):
            raise ConfigurationError("a user of NATS needs a password, and a password its user")
        ways = [way for way in (user, token, nkey_file, credentials_file) if way is not None]
        if len(ways) > 1:
            raise ConfigurationError(
                "give one way to be let in to NATS: user and password, token=, nkey_file= or "
                "credentials_file="
            )
        plain = tuple(f"{part.scheme}://{_host(part)}" for part in parts)
        object.__setattr__(self, "urls", plain)
        object.__setattr__(self, "user", user)
        object.__setattr__(self, "password", password)
        object.__setattr__(self, "token", token)
        object.__setattr__(self, "nkey_file", _readable(nkey_file))
        object.__setattr__(self, "credentials_file", _readable(credentials_file))
        object.__setattr__(self, "tls", tls)

    @property
    def wants_tls(self) -> bool:
        """Whether nothing may be said to a server without TLS."""
        return self.tls is not None or any(url.startswith("tls://") for url in self.urls)

    def __repr__(self) -> str:
        return f"NatsServers({', '.join(self.urls)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("NatsServers has secrets, and is not pickled: make it where it is needed")


def _split(url: str) -> SplitResult:
    """Check a URL. What is wrong is told without quoting it: it may hold a password."""
    if "://" not in url:
        url = f"nats://{url}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError(_bad("its host or port is none")) from None
    if parts.scheme not in ("nats", "tls"):
        raise ConfigurationError(_bad("its scheme is neither nats:// nor tls://"))
    if not parts.hostname or any(letter.isspace() for letter in url):
        raise ConfigurationError(_bad("it has no host, or a space"))
    if port == 0:
        raise ConfigurationError(_bad("its port is 0"))
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigurationError(
            _bad("something follows the port; in a password / ? # @ : are percent-encoded")
        )
    return parts


def _bad(why: str) -> str:
    return f"a URL of NATS cannot be used: {why}: write nats://host:4222"


def _host(parts: SplitResult) -> str:
    assert parts.hostname is not None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port or _PORT}"


def _readable(file: str | Path | None) -> Path | None:
    if file is None:
        return None
    path = Path(file)
    try:
        path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror or error}") from None
    return path
