"""Two ends of a session over pipes of bytes: their links begin, are cut, and go on elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from sealframe.core import joining
from sealframe.core.events import Phase
from sealframe.core.protocol import ProtocolMachine
from sealframe.core.session import Session
from sealframe.noise.records import RecordLayer
from sealframe.wire import MIN_ACK_BY, Pattern
from sealframe.wire.control import Hello, SessionHello, SessionWelcome

from .peers import CONTEXT, MAXIMUM, Peer, credentials, exchange, identify

TOKEN = bytes(range(1, 17))
NUMBERING = 0x1122334455667788
LIMIT = 100_000
"""How much each end keeps, where a test does not say otherwise."""
WINDOW = 1_000_000

HELLO = SessionHello(
    token=TOKEN,
    start=1,
    link=1,
    numbering=0,
    received=0,
    acknowledged=0,
    credit=0,
    ack_by=MIN_ACK_BY,
)
"""Of a client that has read no WELCOME."""
BEGINS = SessionWelcome(
    numbering=NUMBERING,
    received=0,
    acknowledged=0,
    credit=WINDOW,
    taken=0,
    keep=120,
    ack_by=MIN_ACK_BY,
)


def machine(*, client: bool, seal: Pattern | None, session: bytes = b"") -> ProtocolMachine:
    """Return the machine of one link.

    :param seal: None for plain
    :param session: on a client, field 4
    """
    records = None
    if seal is not None:
        keys = credentials(client=client, pattern=seal)
        records = RecordLayer(initiator=client, credentials=keys, context=CONTEXT)
    return ProtocolMachine(
        client=client,
        max_message_size=MAXIMUM,
        records=records,
        extended=True,
        identify=None if seal in (None, Pattern.NNPSK0) else identify,
        window=WINDOW,
        max_streams=3,
        max_requests=3,
        session=session,
        takes_sessions=not client,
    )


class Pair(NamedTuple):
    """The client and the server of one link."""

    client: Peer
    server: Peer


def ask(seal: Pattern | None, field: SessionHello | bytes = HELLO) -> Pair:
    """Return two ends of which the server has just read HELLO with this field."""
    field = field if isinstance(field, bytes) else field.encode()
    client = Peer(machine(client=True, seal=seal, session=field))
    server = Peer(machine(client=False, seal=seal))
    while server.protocol.phase is not Phase.JOINING:
        server.read(client.take())
        client.read(server.take())
    return Pair(client, server)


def session(*, limit: int = LIMIT, peer_ack_by: int = MIN_ACK_BY) -> Session:
    """Return one end's part of a session that begins."""
    return Session(numbering=NUMBERING, limit=limit, peer_ack_by=peer_ack_by)


def begin(seal: Pattern | None, *, limit: int = LIMIT) -> Pair:
    """Return two ends with whose link a session begins, both of whom have joined it."""
    pair = client, server = ask(seal)
    joining.join(server.protocol, session(limit=limit), welcome=BEGINS)
    release(server)
    client.read(server.take())
    joining.join(client.protocol, session(limit=limit))
    release(client)
    exchange(client, server)
    return pair


def release(peer: Peer) -> None:
    """Let it take in what it holds."""
    peer.messages += joining.release(peer.protocol)
    peer.note()


def counts(peer: Peer) -> Session:
    """Return an end's part of the session."""
    found = peer.protocol.session
    assert found is not None
    return found


def cut_off(peer: Peer) -> Session:
    """Let an end know that its link is gone."""
    peer.protocol.leave()
    return counts(peer)


def hello_of(client: Peer, link: int) -> SessionHello:
    """Return what a client says with its next HELLO."""
    known = cut_off(client)
    return replace(
        HELLO,
        link=link,
        numbering=known.numbering,
        received=known.received,
        acknowledged=known.confirm(),
        credit=WINDOW,
        known=True,
    )


def resume(before: Pair, seal: Pattern | None, *, link: int = 2) -> Pair:
    """Cut a link, whatever was under way on it, and go on over another one."""
    hello = hello_of(before.client, link)
    pair = client, server = ask(seal, hello)
    resume_server(before.server, server, hello)
    client.read(server.take())
    welcome = SessionWelcome.decode(named(client).session)
    known = counts(before.client)
    known.resume(welcome)
    joining.join(client.protocol, known, before=before.client.protocol)
    release(client)
    return pair


def resume_server(before: Peer, server: Peer, hello: SessionHello) -> None:
    """Have the server's end of the session go on over a link whose HELLO is here."""
    known = cut_off(before)
    known.resume(hello)
    welcome = replace(BEGINS, received=known.received, acknowledged=known.confirm())
    joining.join(server.protocol, known, welcome=welcome, before=before.protocol)
    release(server)


def named(peer: Peer) -> Hello:
    """Return the HELLO or WELCOME that names a session; there must be one."""
    link = peer.protocol.joining
    assert peer.protocol.phase is Phase.JOINING
    assert link is not None
    assert link.hello is not None
    return link.hello
