"""ldap3 asks ldaptor."""

from __future__ import annotations

import threading

import ldap3
from ldaptor.inmemory import ReadOnlyInMemoryLDAPEntry
from ldaptor.protocols.ldap.ldapserver import LDAPServer
from twisted.internet import protocol, reactor

PEOPLE = {"jane": "short", "richard": "long " * 4000}
failures: list[BaseException] = []


def ask() -> None:
    """Bind, look for both people, unbind; then stop the server."""
    try:
        server = ldap3.Server("127.0.0.1", int(input()), get_info=ldap3.NONE)
        link = ldap3.Connection(server, auto_bind=True)
        link.search("dc=example,dc=com", "(objectClass=person)", attributes=["cn", "description"])
        found = {str(entry.cn): str(entry.description) for entry in link.entries}
        assert found == PEOPLE, found
        assert not link.search("dc=example,dc=com", f"(|{'(cn=nobody)' * 300})")
        link.unbind()
    except BaseException as error:  # noqa: BLE001 (told to whoever started this program)
        failures.append(error)
    reactor.callFromThread(reactor.stop)


def main() -> None:
    """Serve a small directory until the client is done."""
    root = ReadOnlyInMemoryLDAPEntry(
        "dc=example,dc=com", {"dc": ["example"], "objectClass": ["domain"]}
    )
    for name, text in PEOPLE.items():
        attributes = {"cn": [name], "description": [text], "objectClass": ["person"]}
        root.addChild(f"cn={name}", attributes)

    factory = protocol.ServerFactory()

    def build(address: object) -> LDAPServer:
        del address
        server = LDAPServer()
        server.factory = root
        return server

    factory.buildProtocol = build
    listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
    print(listening.getHost().port, flush=True)
    thread = threading.Thread(target=ask)
    thread.start()
    reactor.run(installSignalHandlers=False)
    thread.join()
    if failures:
        raise failures[0]


if __name__ == "__main__":
    main()
