"""ldap3 asks ldaptor's server: ``pip install ldap3==2.9.1 ldaptor==21.2.0``."""

from __future__ import annotations

import threading

import ldap3
from ldaptor.inmemory import ReadOnlyInMemoryLDAPEntry
from ldaptor.interfaces import IConnectedLDAPEntry
from ldaptor.protocols.ldap.ldapserver import LDAPServer
from twisted.internet import protocol, reactor
from twisted.python.components import registerAdapter

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """RFC 4511, 5.1: BER, so a tag, a length (X.690, 8.1.3) and so many bytes."""
    if data[1] < 0x80:
        return 2 + data[1]
    count = data[1] & 0x7F
    length = data[2 : 2 + count]
    if len(length) < count:
        raise IndexError
    return 2 + count + int.from_bytes(length, "big")


def ask(tap: Tap) -> None:
    """Bind, search with few and with long answers, unbind; then stop the reactor."""
    server = ldap3.Server("127.0.0.1", tap.port, get_info=ldap3.NONE)
    link = ldap3.Connection(server, auto_bind=True)
    link.search("dc=example,dc=com", "(cn=jane)", attributes=["cn", "mail"])
    link.search("dc=example,dc=com", "(objectClass=*)", attributes=["*"])
    link.search("dc=example,dc=com", f"(|{'(cn=nobody)' * 30})", attributes=["cn"])
    link.unbind()
    reactor.callFromThread(reactor.stop)


def main() -> None:
    """Serve a small directory."""
    root = ReadOnlyInMemoryLDAPEntry(
        "dc=example,dc=com", {"dc": ["example"], "objectClass": ["domain"]}
    )
    for name, text in (("jane", "short"), ("richard", "long " * 60)):
        root.addChild(
            f"cn={name}",
            {
                "cn": [name],
                "mail": [f"{name}@example.com"],
                "description": [text],
                "objectClass": ["person"],
            },
        )

    class Factory(protocol.ServerFactory):
        protocol = LDAPServer

    registerAdapter(lambda factory: root, Factory, IConnectedLDAPEntry)
    factory = Factory()

    def build(address: object) -> LDAPServer:
        server = LDAPServer()
        server.factory = factory
        return server

    factory.buildProtocol = build
    listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
    tap = Tap(("127.0.0.1", listening.getHost().port))
    thread = threading.Thread(target=ask, args=(tap,))
    thread.start()
    reactor.run(installSignalHandlers=False)
    thread.join()
    [connection] = tap.connections
    save(
        "ldap",
        "ldap",
        __file__,
        [
            stream(connection.client, package("ldap3"), size_of),
            stream(connection.server, package("ldaptor"), size_of),
        ],
    )


main()
