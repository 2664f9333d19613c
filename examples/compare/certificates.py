"""Certificates and contexts for those who encrypt with TLS."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .lab import HOST


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate that signs itself, and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def server_tls(folder: Path, client: str | None = None) -> ssl.SSLContext:
    """Return a TLS server's context, with a certificate of its own.

    :param client: the name of the one client that is let in; None lets everyone in
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(folder, "server"))
    if client is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / f"{client}.pem")
    return context


def client_tls(folder: Path, server: str = "server", own: str | None = None) -> ssl.SSLContext:
    """Return a TLS client's context, which accepts one server.

    :param own: the name of the client's certificate; None for none
    """
    context = ssl.create_default_context(cafile=folder / f"{server}.pem")
    if own is not None:
        context.load_cert_chain(folder / f"{own}.pem", folder / f"{own}.key")
    return context


async def tls_without_certificate() -> bool:
    """Return whether Python's TLS encrypts where neither end has a certificate.

    The server has none, and the client asks for none.
    """
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    server = await asyncio.start_server(
        lambda reader, writer: writer.close(), HOST, 0, ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    )
    port = server.sockets[0].getsockname()[1]
    try:
        _, writer = await asyncio.open_connection(HOST, port, ssl=anyone)
    except (ssl.SSLError, OSError):
        return False
    finally:
        server.close()
    writer.close()
    return True
