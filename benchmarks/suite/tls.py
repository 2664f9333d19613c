"""TLS for the peers that know nothing else, as strict as a sealed link: 1.3, verified."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Final

from .job import HOST

_DAY = datetime.timedelta(days=1)

HYBRID: Final = "X25519MLKEM768"
CLASSIC: Final = "X25519"
_KEY_SHARES: Final = {HYBRID: b"\x11\xec\x04\xc0", CLASSIC: b"\x00\x1d\x00\x20"}
"""How a group's key share begins in ClientHello: its number (RFC 8446, section 4.2.7;
draft-ietf-tls-ecdhe-mlkem) and the length of what follows."""

_CONFIGURATION: Final = """\
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
Groups = {group}
"""


def lacks_hybrid() -> str:
    """Return why no peer can be held to a group and compared with X25519MLKEM768, or nothing."""
    if ssl.OPENSSL_VERSION_INFO >= (3, 5):
        return ""
    return f"{ssl.OPENSSL_VERSION} has no {HYBRID}: it takes OpenSSL 3.5"


def take_group(directory: str, group: str) -> Path:
    """Write a configuration of OpenSSL (``OPENSSL_CONF``) in which there is one group.

    From Python 3.15 on ``SSLContext.set_groups`` does it too.
    """
    path = Path(directory, "openssl.cnf")
    path.write_text(_CONFIGURATION.format(group=group))
    return path


def check_group(context: ssl.SSLContext, group: str) -> None:
    """End unless the client offers that group alone, so that no other can be negotiated."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOST).do_handshake()
    hello = outgoing.read()
    offered = [name for name, share in _KEY_SHARES.items() if share in hello]
    if offered != [group]:
        raise SystemExit(f"the client offers key shares of {offered}, and not of {group} alone")


def make_certificate(directory: str, kind: str = "P-256") -> None:
    """Make a self-signed certificate and its key in ``directory``, unless they are there.

    :param kind: ``P-256`` or ``RSA-2048``
    """
    certificate_file, key_file = files(directory)
    if certificate_file.exists():
        return
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if kind == "RSA-2048"
        else ec.generate_private_key(ec.SECP256R1())
    )
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


def server_context(directory: str, *, mutual: bool = False) -> ssl.SSLContext:
    """Return what a TLS server needs.

    :param mutual: whether clients must prove themselves, with the certificate that is the server's
        too
    """
    make_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Nobody resumes a session here: to make tickets would only cost the peers time.
    context.num_tickets = 0
    context.load_cert_chain(*files(directory))
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files(directory)[0])
    return context


def client_context(directory: str, *, mutual: bool = False) -> ssl.SSLContext:
    """Return what a TLS client needs; it accepts that one server and no other."""
    make_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(files(directory)[0])
    if mutual:
        context.load_cert_chain(*files(directory))
    return context


def files(directory: str) -> tuple[Path, Path]:
    """Return where the certificate and its key are."""
    return Path(directory, "certificate.pem"), Path(directory, "key.pem")
