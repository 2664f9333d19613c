"""TLS for the peers that know nothing else, as strict as a sealed link: 1.3, verified."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from .job import HOST

_DAY = datetime.timedelta(days=1)


def make_certificate(directory: str) -> None:
    """Make a self-signed certificate and its key in ``directory``, unless they are there."""
    certificate_file, key_file = files(directory)
    if certificate_file.exists():
        return
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def server_context(directory: str) -> ssl.SSLContext:
    """Return what a TLS server needs."""
    make_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Nobody resumes a session here: to make tickets would only cost the peers time.
    context.num_tickets = 0
    context.load_cert_chain(*files(directory))
    return context


def client_context(directory: str) -> ssl.SSLContext:
    """Return what a TLS client needs; it accepts that one server and no other."""
    make_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(files(directory)[0])
    return context


def files(directory: str) -> tuple[Path, Path]:
    """Return where the certificate and its key are."""
    return Path(directory, "certificate.pem"), Path(directory, "key.pem")
