"""How a link is let in to NATS, and how not: credentials, rights, TLS, and what is kept secret."""

from __future__ import annotations

import asyncio
import base64
import copy
import datetime
import hashlib
import ipaddress
import json
import logging
import os
import pickle
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nkeys
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sealframe import ClusterError, ClusterUnavailableError, ConfigurationError, KeyFileError
from sealframe.cluster.events import ProbeOutcome
from sealframe.cluster.nats_servers import NatsServers

from .links import Ear, ears, new_cluster
from .nats_servers import one_server

SECRET = "s3cret@:/%"
QUOTED = "s3cret%40%3A%2F%25"


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Not at DEBUG, either."""
    caplog.set_level(logging.DEBUG)
    yield
    assert "s3cret" not in caplog.text


async def lets_in(servers: NatsServers) -> None:
    """Check that it is let in, and may do all that a link does."""
    async with ears(servers, "a", "b") as (a, b):
        a.link.publish(b.subject, b"message")
        a.link.publish(b.everybody, b"presence")
        await b.until(lambda: bool(b.messages and b.presence))
        assert await a.link.probe(b.subject, 5) is ProbeOutcome.ANSWERED
        assert await a.link.probe(f"{b.subject}x", 5) is ProbeOutcome.NO_RESPONDERS


async def refuses(servers: NatsServers, match: str) -> str:
    """Check that opening fails at once, and return why."""
    ear = Ear(servers, new_cluster(), "a")
    with pytest.raises(ClusterError, match=match) as why:
        await ear.link.open(60)
    assert not isinstance(why.value, ClusterUnavailableError)
    await ear.link.close()
    assert "s3cret" not in f"{why.value!r} {why.value.__cause__!r} {why.value.__context__!r}"
    return str(why.value)


async def test_user_and_password(tmp_path: Path) -> None:
    users = f'authorization {{ user: "us er", password: "{SECRET}" }}\n'
    with one_server(tmp_path, users) as server:
        where = f"127.0.0.1:{server.port}"
        await lets_in(NatsServers(server.url, user="us er", password=SECRET))
        await lets_in(NatsServers(f"nats://us%20er:{QUOTED}@{where}"))
        await refuses(NatsServers(server.url, user="us er", password="s3cret"), "Authorization")
        await refuses(NatsServers(f"nats://us%20er:s3cret@{where}"), "Authorization Violation")
        await refuses(NatsServers(server.url, token="s3cret"), "does not let this server in")
        await refuses(NatsServers(server.url), "does not let this server in")


async def test_token(tmp_path: Path) -> None:
    with one_server(tmp_path, f'authorization {{ token: "{SECRET}" }}\n') as server:
        await lets_in(NatsServers(server.url, token=SECRET))
        await lets_in(NatsServers(f"nats://{QUOTED}@127.0.0.1:{server.port}"))
        await refuses(NatsServers(server.url, token="s3cret"), "Authorization Violation")


def seed(kind: int) -> bytes:
    return nkeys.encode_seed(os.urandom(32), kind)  # type: ignore[no-any-return]


async def test_nkey(tmp_path: Path) -> None:
    mine, other = seed(nkeys.PREFIX_BYTE_USER), seed(nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(mine)).public_key.decode()
    file = tmp_path / "seed"
    file.write_bytes(mine + b"\n")
    with one_server(tmp_path, f'authorization {{ users: [ {{ nkey: "{public}" }} ] }}\n') as server:
        await lets_in(NatsServers(server.url, nkey_file=file))
        file.write_bytes(other)
        await refuses(NatsServers(server.url, nkey_file=str(file)), "Authorization Violation")
        for broken in (b"", b"s3cret", mine[:20], b"\xff" * 58):
            file.write_bytes(broken)
            await refuses(NatsServers(server.url, nkey_file=file), "look at nkey_file")


def jwt(issuer: bytes, subject: str, name: str, claims: dict[str, Any]) -> str:
    """Sign what NATS calls a JWT of version 2."""
    pair = nkeys.from_seed(bytearray(issuer))
    body = {
        "iat": 1,
        "iss": pair.public_key.decode(),
        "name": name,
        "sub": subject,
        "nats": {**claims, "version": 2},
    }
    body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode()
    parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, body]
    text = b".".join(_base64(json.dumps(part).encode()) for part in parts)
    return (text + b"." + _base64(pair.sign(text))).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


async def test_credentials_file(tmp_path: Path) -> None:
    operator, account, user = (
        seed(kind)
        for kind in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER)
    )
    names = [
        nkeys.from_seed(bytearray(key)).public_key.decode() for key in (operator, account, user)
    ]
    unlimited = dict.fromkeys(
        ("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1
    ) | {"wildcards": True}
    operator_jwt = jwt(operator, names[0], "O", {"type": "operator"})
    account_jwt = jwt(operator, names[1], "A", {"type": "account", "limits": unlimited})
    limits = {"subs": -1, "data": -1, "payload": -1}
    user_jwt = jwt(account, names[2], "U", {"type": "user", **limits})
    file = tmp_path / "creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.decode()}\n------END USER NKEY SEED------\n"
    )
    config = (
        f"operator: {operator_jwt}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {names[1]}: {account_jwt} }}\n"
    )
    with one_server(tmp_path, config) as server:
        await lets_in(NatsServers(server.url, credentials_file=file))
        for broken in ("s3cret", user_jwt, file.read_text().replace(user.decode(), "s3cret")):
            (tmp_path / "broken").write_text(broken)
            servers = NatsServers(server.url, credentials_file=tmp_path / "broken")
            async with asyncio.timeout(20):
                await refuses(servers, "credentials_file|Authorization Violation")


async def test_rights(tmp_path: Path) -> None:
    """All subjects of a link are below ``sealframe.``; too few rights are told at once."""

    def user(name: str, publish: str, subscribe: str) -> str:
        rights = f'permissions: {{ publish: "{publish}", subscribe: "{subscribe}" }}'
        return f'{{ user: "{name}", password: "x", {rights} }}'

    users = [
        user("all", "sealframe.>", "sealframe.>"),
        user("deaf", "sealframe.>", "sealframe.*.presence"),
        user("dumb", "other.>", "sealframe.>"),
    ]
    config = f"authorization {{ users: [ {', '.join(users)} ] }}\n"
    with one_server(tmp_path, config) as server:
        await lets_in(NatsServers(server.url, user="all", password="x"))
        await refuses(
            NatsServers(server.url, user="deaf", password="x"),
            r"(?i)let this server in: Permissions Violation for Subscription to .*server\.a",
        )
        await refuses(
            NatsServers(server.url, user="dumb", password="x"),
            r"(?i)Permissions Violation for Publish to",
        )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``cert.pem``, for 127.0.0.1 and trusted by itself, and ``key.pem``."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nats")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


async def test_tls(tmp_path: Path, certificate: Path) -> None:
    cert, key = certificate / "cert.pem", certificate / "key.pem"
    config = f'tls {{ cert_file: "{cert}", key_file: "{key}" }}\n'
    trusting = ssl.create_default_context(cafile=cert)
    with one_server(tmp_path, config) as server:
        await lets_in(NatsServers(server.url, tls=trusting))
        await lets_in(NatsServers(f"tls://127.0.0.1:{server.port}", tls=trusting))
        for servers in (NatsServers(server.url), NatsServers(f"tls://127.0.0.1:{server.port}")):
            await refuses(servers, "certificate verify failed")
        async with ears(NatsServers(server.url, tls=trusting), "a") as (a,):
            server.stop()
            await a.until(lambda: a.changes == [True, False])
            server.go_on()
            await a.until(lambda: a.changes == [True, False, True])


@pytest.mark.parametrize("url", ["tls://127.0.0.1", "nats://127.0.0.1"])
async def test_nothing_is_said_without_the_tls_that_was_asked_for(url: str) -> None:
    """A greeting that wants no TLS may come from anybody on the way."""
    said: asyncio.Queue[bytes] = asyncio.Queue()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.15.0", "max_payload": 1024, "auth_required": True}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        said.put_nowait(await reader.read())
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    context = None if url.startswith("tls") else ssl.create_default_context()
    servers = NatsServers(f"{url}:{port}", user="u", password=SECRET, tls=context)
    async with server:
        await refuses(servers, "secure connection not available")
        assert await said.get() == b""


def test_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "seed").write_text("s3cret")
    for servers in (
        NatsServers("nats://host", user="u", password=SECRET),
        NatsServers(f"nats://u:{QUOTED}@host"),
        NatsServers(f"nats://{QUOTED}@host"),
        NatsServers("nats://host", token=SECRET),
    ):
        assert repr(servers) == str(servers) == "NatsServers(nats://host:4222)"
        assert SECRET in (servers.password, servers.token)
        for spread in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="has secrets"):
                spread(servers)
        with pytest.raises(AttributeError):
            servers.password = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "urls"),
    [
        ("host", "nats://host:4222"),
        ("host:1", "nats://host:1"),
        ("nats://host:1/", "nats://host:1"),
        ("nats://[::1]", "nats://[::1]:4222"),
        ("tls://u:p@host:1", "tls://host:1"),
    ],
)
def test_urls(given: str, urls: str) -> None:
    assert NatsServers(given).urls == (urls,)
    assert NatsServers([given, given]).urls == (urls, urls)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nats://",
        "nats://:4222",
        "http://host",
        "ws://host",
        "nats://host:port",
        "nats://host:0",
        "nats://host:70000",
        "nats://[::1",
        "nats://ho st",
        "nats://host/path",
        "nats://host?x",
        "nats://u:s3cret#@host",
        "nats://u:s3cret/@host:1",
    ],
)
def test_bad_urls(url: str) -> None:
    """They may hold a password, and are not quoted."""
    with pytest.raises(ConfigurationError, match="write nats://host:4222") as why:
        NatsServers(url)
    assert "s3cret" not in repr(why.value)
    assert why.value.__cause__ is None


def test_what_does_not_go_together(tmp_path: Path) -> None:
    for options in (
        {"user": "u"},
        {"password": "p"},
        {"user": "u", "password": "p", "token": "t"},
        {"token": "t", "nkey_file": __file__},
        {"nkey_file": __file__, "credentials_file": __file__},
    ):
        with pytest.raises(ConfigurationError):
            NatsServers("nats://host", **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="not in both"):
        NatsServers("nats://u:p@host", user="u", password="p")
    with pytest.raises(ConfigurationError, match="different users"):
        NatsServers(["nats://u:p@a", "nats://b"])
    with pytest.raises(ConfigurationError, match="no URL"):
        NatsServers([])
    with pytest.raises(KeyFileError, match=r"cannot read .*absent: No such file"):
        NatsServers("nats://host", nkey_file=tmp_path / "absent")
    with pytest.raises(KeyFileError):
        NatsServers("nats://host", credentials_file=tmp_path)


def test_a_server_for_these_tests_says_why_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Parse error"), one_server(tmp_path, "nonsense: {"):
        pass
