"""A server and its clients whose links are cut anywhere, stall, and deliver old bytes late.

Protocol machines, sessions and the server's table are real. :class:`End` plays the part of
``aio/session_protocol.py``, :class:`Client` that of ``client/links.py`` and :class:`Server` that of
``server/session_keeper.py``, step by step in their order, without event loop and time. What goes
over each link is read along by a :class:`Tap`, which knows nothing of sessions but the count with
which a link begins: frames have the numbers, the bytes and the order with which they were first
written, and the books of both ends agree with it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from sealframe import wire
from sealframe.core import joining
from sealframe.core.events import (
    Acknowledged,
    Credited,
    Ended,
    Established,
    Failed,
    Joining,
    Phase,
    Ponged,
    Replied,
    Requested,
    RequestFailed,
    StreamData,
    StreamEnded,
    StreamOpened,
)
from sealframe.core.protocol import ProtocolMachine
from sealframe.core.session import Session
from sealframe.core.window import Window
from sealframe.errors import HandshakeError
from sealframe.framing import Framing
from sealframe.noise.records import RecordLayer
from sealframe.options import Sessions
from sealframe.server.session_table import EndedSession, Known, Over, SessionTable
from sealframe.wire import MESSAGE_OVERHEAD, CloseCode, Control, Opcode, Pattern
from sealframe.wire.control import Close, Hello, SessionHello, SessionWelcome

from .peers import CONTEXT, credentials

WINDOW: Final = 700
"""Cost of a few messages."""
LIMIT: Final = 1500
"""How much an end keeps."""
BATCH: Final = 300
"""Cost of messages that are framed together."""
TURN: Final = 120
"""Bytes of streams, or of what is sent again, at a time."""
FULL: Final = 900
"""Bytes under way on a link from which an end writes no more."""


def framing() -> Framing:
    return Framing(control=True, maximum=wire.MAX_LENGTH)


class Pipe:
    """One direction of a link."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = False
        """Whether its end of stream is behind the data."""


class Link:
    """A socket at either end, and what is under way between them."""

    def __init__(self) -> None:
        self.pipes = {True: Pipe(), False: Pipe()}
        """To the client, and to the server."""
        self.readers: dict[bool, Reader | None] = {True: None, False: None}
        """Who reads at the client's end and at the server's; None: nobody any more."""

    @property
    def whole(self) -> bool:
        return not any(pipe.ended for pipe in self.pipes.values())

    def cut(self, to_client: int, to_server: int) -> None:
        """Cut it; so much of what is under way still arrives."""
        for client, left in ((True, to_client), (False, to_server)):
            pipe = self.pipes[client]
            if not pipe.ended:
                del pipe.data[left:]
                pipe.ended = True

    def drop(self, client: bool) -> None:
        """One end drops its socket: it reads no more, and the other sees the end, some time."""
        self.readers[client] = None
        self.pipes[client].data.clear()
        self.pipes[client].ended = True
        self.pipes[not client].ended = True

    def write(self, client: bool, buffers: list[bytes]) -> None:
        """Write as the client or as the server."""
        pipe = self.pipes[not client]
        if not pipe.ended:
            pipe.data += b"".join(bytes(buffer) for buffer in buffers)

    def full(self, client: bool) -> bool:
        return len(self.pipes[not client].data) >= FULL

    def deliver(self, client: bool, count: int) -> None:
        """Let the client or the server read so many bytes, and then perhaps the end."""
        pipe = self.pipes[client]
        arrived = bytes(pipe.data[:count])
        del pipe.data[:count]
        while arrived and (reader := self.readers[client]) is not None:
            arrived = arrived[reader.read(arrived) :]
        # Those that the reader waited with: the link was full.
        writer = self.readers[not client]
        if writer is not None:
            writer.flush()
        if pipe.ended and not pipe.data and (reader := self.readers[client]) is not None:
            reader.lost()


class Reader:
    """Whoever has one end of a link."""

    link: Link | None
    machine: ProtocolMachine
    client: bool

    def read(self, data: bytes) -> int:
        """Take in what comes; return how many of the bytes."""
        buffer = self.machine.get_buffer()
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        self.received(self.machine.buffer_updated(count))
        self.handle_events()
        self.flush()
        return count

    def received(self, messages: list[bytes]) -> None:
        raise NotImplementedError

    def handle_events(self) -> None:
        events, self.machine.events = self.machine.events, ()
        for event in events:
            self.handle(event)

    def handle(self, event: object) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def lost(self) -> None:
        """The link has come to its end."""
        raise NotImplementedError


class Donor(Reader):
    """Shakes hands over a link, and then gives it away."""

    def __init__(self, owner: Client | Server, machine: ProtocolMachine, link: Link) -> None:
        self.owner, self.machine, self.link, self.client = owner, machine, link, machine.client
        link.readers[self.client] = self
        self.flush()

    def received(self, messages: list[bytes]) -> None:
        assert messages == []

    def handle(self, event: object) -> None:
        match event:
            case Joining(hello):
                self.owner.join(self, hello)
            case Failed():
                self.flush()
                self.owner.failed(self)
            case Established():
                # To a server that was cut off before HELLO it looks like packets.
                assert self.machine.phase is Phase.ENDED

    def flush(self) -> None:
        if self.link is not None and (self.machine.has_output or self.machine.output):
            self.link.write(self.client, self.machine.take_output([]))

    def surrender(self) -> tuple[ProtocolMachine, Link]:
        assert self.link is not None
        link, self.link = self.link, None
        return self.machine, link

    def lost(self) -> None:
        self.machine.receive_eof()
        self.handle_events()
        if self.link is not None:
            self.link.drop(self.client)
            self.link = None


@dataclass
class Tap:
    """Reads along what one end writes on one link, and keeps the book of its numbering."""

    book: list[bytes]
    """All counted frames, with their heads, in the order of their numbers."""
    place: int
    """How many of them the other end has already."""
    acknowledged: int = 0
    decoder: object = field(default_factory=lambda: framing().decoder())

    def read(self, buffers: list[bytes], received: int, given: int) -> None:
        """Check what is written.

        :param received: how many frames this end has taken in
        """
        data = b"".join(bytes(buffer) for buffer in buffers)
        for frame in self.decoder.feed(data):  # type: ignore[attr-defined]
            if isinstance(frame, Control) and not frame.opcode & wire.OPCODE_COUNTED:
                if frame.opcode == Opcode.ACK:
                    self.check_ack(int.from_bytes(frame.body, "little"), received)
                continue
            if isinstance(frame, Control):
                whole = wire.control.frame(frame.opcode, frame.body)
            else:
                whole = len(frame).to_bytes(4, "little") + frame
            if self.place < len(self.book):
                assert whole == self.book[self.place], f"frame {self.place + 1} is another"
            else:
                self.book.append(whole)
            self.place += 1
        assert self.place <= given

    def check_ack(self, number: int, received: int) -> None:
        assert self.acknowledged <= number <= received
        self.acknowledged = number

    @staticmethod
    def cost(frame: bytes) -> int:
        head = 0 if frame[3] & 0x80 else 4
        return len(frame) - head + MESSAGE_OVERHEAD


class End(Reader):
    """One end of a session, over one link after the other.

    :param name: what its messages begin with
    """

    def __init__(self, name: bytes, machine: ProtocolMachine, link: Link) -> None:
        self.name, self.machine, self.client = name, machine, machine.client
        self.link: Link | None = link
        self.tap: Tap | None = None
        self.book: list[bytes] = []
        self.over: int | None = None
        """The code with which the session ended."""
        # Messages
        self.outbox: deque[bytes] = deque()
        self.made = 0
        self.inbox: list[bytes] = []
        self.taken = 0
        self.expected: tuple[bytes, int] | None = None
        # Credit
        self.window = Window(WINDOW)
        self.credit_told = WINDOW
        self.credit_limit = WINDOW
        self.sent_cost = 0
        # Streams and requests
        self.asked: dict[int, bytes] = {}
        self.answers: dict[int, bytes] = {}
        self.owed: deque[tuple[int, bytes]] = deque()
        self.opened: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.arrived: dict[int, bytes] = {}
        self.finished: set[int] = set()
        # The close
        self.closing = self.said = self.heard = False
        self.lifted = False
        """Whether it has read CLOSE on any link: its sender gives no credit, and needs none."""
        self.waives = False
        """Whether it has said CLOSE on any link."""

    @property
    def session(self) -> Session:
        session = self.machine.session
        assert session is not None
        return session

    @property
    def sealed(self) -> bool:
        return self.machine.records is not None

    # Links

    def begin(self, session: Session, welcome: SessionWelcome | None = None) -> None:
        """A numbering begins with the link that this end has."""
        assert self.link is not None
        joining.join(self.machine, session, welcome=welcome)
        self.book = []
        self.machine.events = ()
        self.use(self.link, 0)
        self.release()

    def resume(self, donor: Donor, peer: SessionHello | SessionWelcome, *, serve: bool) -> None:
        """Go on over the link that another has made."""
        session = self.session
        self.cut_off()
        session.resume(peer)
        goes_on = peer.numbering == session.numbering
        welcome = None
        if serve:
            self.credit_told = self.window.granted if goes_on else WINDOW
            welcome = session.welcome(keep=60, credit=self.credit_told)
        machine, link = donor.surrender()
        joining.join(machine, session, welcome=welcome, before=self.machine)
        self.machine = machine
        if goes_on:
            self.credit_limit = max(self.credit_limit, peer.credit)
        self.use(link, peer.received if goes_on else 0)
        if self.window.granted > self.credit_told:
            machine.give_credit(self.window.granted - self.credit_told)
        machine.ping(b"p")
        if self.said:
            # It goes behind what is sent again.
            machine.close(Close())
        self.release()

    def use(self, link: Link, received: int) -> None:
        self.link = link
        link.readers[self.client] = self
        self.tap = None if self.sealed else Tap(self.book, received)
        self.heard = False

    def release(self) -> None:
        self.received(joining.release(self.machine))
        self.handle_events()
        self.flush()

    def cut_off(self) -> None:
        """Let nothing more of the link take effect."""
        if self.link is not None:
            self.machine.leave()
            self.link.drop(self.client)
            self.link = None

    def lost(self) -> None:
        """The link has come to its end."""
        self.cut_off()

    # Up

    def received(self, messages: list[bytes]) -> None:
        for message in messages:
            cost = len(message) + MESSAGE_OVERHEAD
            # Who has sent CLOSE gives no credit, and takes what comes without.
            allowed = self.window.charge(cost, cost) or self.waives
            assert allowed, "a message came that had no credit"
            name, _, number = message.partition(b":")
            kind, count = self.expected or (name, 0)
            assert name == kind, "a message is of another session"
            assert int(number.rstrip(b".")) == count, f"message {number!r} came in place of {count}"
            self.expected = name, count + 1
            self.inbox.append(message)

    def take(self, count: int) -> None:
        """The program takes messages."""
        self.taken += len(self.inbox[:count])
        del self.inbox[:count]
        queued = sum(len(message) + MESSAGE_OVERHEAD for message in self.inbox)
        due = self.window.update(WINDOW, queued)
        if due and self.over is None and not self.said:
            self.machine.give_credit(due)
            self.flush()

    def handle(self, event: object) -> None:
        machine = self.machine
        match event:
            case Credited(increment):
                self.credit_limit += increment
            case Requested(number, payload):
                self.owed.append((number, payload))
            case Replied(number, payload):
                assert number not in self.answers, "a request was answered twice"
                self.answers[number] = payload
                assert payload == b"re " + self.asked[number]
            case RequestFailed():
                raise AssertionError("nobody fails requests")
            case StreamOpened(number):
                assert number not in self.arrived
                self.arrived[number] = b""
            case StreamData(number, data):
                self.arrived[number] += data
                machine.multiplexer.update_window(number, len(data))
            case StreamEnded(number):
                assert number not in self.finished
                self.finished.add(number)
                machine.multiplexer.end(number)
            case Ended(close):
                assert close is not None
                if close.code == CloseCode.NORMAL:
                    self.heard = self.lifted = True
                    # Who reads CLOSE sends what it has, and closes.
                    self.closing = self.closing or self.client
                else:
                    self.end(close.code)
            case Failed(error):
                raise AssertionError(f"a fault between honest ends: {error}") from error
            case Acknowledged() | Ponged() | Established():
                pass
            case _:
                raise AssertionError(event)

    # Down

    def flush(self) -> None:
        link = self.link
        while link is not None and self.over is None and not link.full(self.client):
            messages = self._take_messages()
            if not messages and not self.machine.has_output:
                if not self._close():
                    break
                continue
            buffers = self.machine.take_output(messages, TURN)
            if not buffers:
                break
            if self.tap is not None:
                self.tap.read(buffers, self.machine.frames_received, self.session.retention.given)
            link.write(self.client, buffers)

    def _take_messages(self) -> list[bytes]:
        size = min(BATCH, self.session.room)
        # Who has sent CLOSE can give no credit.
        if not self.lifted:
            size = min(size, self.credit_limit - self.sent_cost)
        messages: list[bytes] = []
        while self.outbox and size > 0:
            messages.append(self.outbox.popleft())
            cost = len(messages[-1]) + MESSAGE_OVERHEAD
            self.sent_cost += cost
            size -= cost
        return messages

    def _close(self) -> bool:
        if not self.closing or self.said or self.outbox or self.machine.unsent:
            return False
        self.said = self.waives = True
        self.machine.close(Close())
        return True

    # The program

    def send(self, size: int) -> None:
        if self.over is None and not self.closing and len(self.outbox) < 20:
            text = b"%s:%d" % (self.name, self.made)
            self.outbox.append(text + b"." * size)
            self.made += 1
            self.flush()

    def acknowledge(self) -> None:
        if self.link is not None and self.over is None:
            self.machine.acknowledge()
            self.flush()

    def request(self, size: int) -> None:
        if not self._may_begin or not self.machine.multiplexer.may_request:
            return
        payload = self.name + b"?" * size
        self.asked[self.machine.multiplexer.request(payload)] = payload
        self.flush()

    def answer(self) -> None:
        if self.owed and self.over is None and self.machine.extended:
            number, payload = self.owed.popleft()
            self.machine.multiplexer.reply(number, b"re " + payload)
            self.flush()

    def write(self, size: int) -> None:
        """Open a stream, or write to one, or end it."""
        if not self._may_begin:
            return
        multiplexer = self.machine.multiplexer
        running = [number for number in self.opened if number not in self.ended]
        if not running:
            if multiplexer.may_open:
                self.opened[multiplexer.open(0, self.name, window=0)] = b""
        elif size % 5:
            data = bytes((size + place) % 256 for place in range(size * 3))
            multiplexer.write(running[0], data)
            self.opened[running[0]] += data
        else:
            multiplexer.end(running[0])
            self.ended.add(running[0])
        self.flush()

    @property
    def _may_begin(self) -> bool:
        return self.over is None and not self.closing and not self.heard and self.machine.extended

    def close(self) -> None:
        if self.over is None:
            self.closing = True
            self.flush()

    # The end

    def end(self, code: int) -> None:
        """The session is over."""
        self.cut_off()
        self.over = code

    @property
    def done(self) -> bool:
        """Whether this end has nothing more to say or to hear."""
        retention = self.session.retention
        return self.said and self.heard and retention.acknowledged == retention.given

    def check(self) -> None:
        """Compare the books."""
        if self.sealed or self.over is not None or self.machine.session is None:
            return
        retention = self.session.retention
        assert retention.given == len(self.book)
        kept = self.book[retention.acknowledged :]
        assert retention.cost == sum(Tap.cost(frame) for frame in kept)
        assert self.sent_cost <= self.credit_limit + BATCH or self.lifted or self.closing


def machine_of(
    *, client: bool, seal: bool, session: bytes = b"", windows: int = WINDOW
) -> ProtocolMachine:
    records = None
    if seal:
        keys = credentials(client=client, pattern=Pattern.NNPSK0)
        records = RecordLayer(initiator=client, credentials=keys, context=CONTEXT)
    return ProtocolMachine(
        client=client,
        max_message_size=100_000,
        records=records,
        extended=True,
        window=windows,
        max_streams=2,
        max_requests=2,
        session=session,
        takes_sessions=not client,
    )


class Client:
    """Makes the links of one session."""

    def __init__(self, world: World, name: bytes) -> None:
        self.world, self.name = world, name
        self.token = name.ljust(16, b"!")
        self.attempt = 0
        self.donor: Donor | None = None
        self.end: End | None = None
        self.over: int | None = None

    @property
    def attached(self) -> bool:
        return self.end is not None and self.end.link is not None

    def connect(self) -> None:
        """Give up the link that there is, or is to be, and make another."""
        if self.over is not None:
            return
        if self.donor is not None and self.donor.link is not None:
            self.donor.link.drop(True)
        self.attempt += 1
        if self.end is None:
            hello = SessionHello(
                token=self.token,
                start=1,
                link=self.attempt,
                numbering=0,
                received=0,
                acknowledged=0,
                credit=0,
                ack_by=LIMIT,
            )
        else:
            end = self.end
            end.cut_off()
            end.credit_told = end.window.granted
            hello = end.session.hello(
                token=self.token, start=1, link=self.attempt, credit=end.credit_told
            )
        link = Link()
        self.world.links.append(link)
        Donor(self.world.server, machine_of(client=False, seal=self.world.seal), link)
        machine = machine_of(client=True, seal=self.world.seal, session=hello.encode())
        self.donor = Donor(self, machine, link)

    def join(self, donor: Donor, hello: Hello) -> None:
        welcome = SessionWelcome.decode(hello.session)
        assert donor is self.donor
        self.donor = None
        if self.end is None:
            machine, link = donor.surrender()
            self.end = End(b"c" + self.name, machine, link)
            session = Session(numbering=welcome.numbering, limit=LIMIT, peer_ack_by=welcome.ack_by)
            self.end.begin(session)
        else:
            assert welcome.numbering == self.end.session.numbering
            self.end.resume(donor, welcome, serve=False)

    def failed(self, donor: Donor) -> None:
        if donor is not self.donor:
            return
        self.donor = None
        close = donor.machine.refusal
        if donor.link is not None:
            donor.link.drop(True)
        if close is None:
            return
        assert close.code != CloseCode.SUPERSEDED, "there is no later link than the newest"
        self.over = close.code
        if self.end is None:
            return
        if close.code == CloseCode.NORMAL:
            assert close.frames_received is not None
            self.end.session.retention.rewind(close.frames_received)
            self.end.session.retention.acknowledge(close.frames_received)
            assert self.end.session.retention.cost == 0
        self.end.end(close.code)


class Server:
    """Keeps the sessions."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 0.0
        self.numberings = 0
        self.table = self._new_table()
        self.ends: dict[bytes, End] = {}
        self.superseded = 0

    def _new_table(self) -> SessionTable[End]:
        return SessionTable(
            Sessions(keep=1000.0),
            cost=lambda end: end.session.retention.cost,
            used=lambda end: end.machine.frames_received > 0,
        )

    def join(self, donor: Donor, hello: Hello) -> None:
        asked = SessionHello.decode(hello.session)
        key = asked.token
        found = self.table.find(key)
        if found is None:
            if asked.known:
                self.refuse(donor, Close(CloseCode.SESSION_LOST))
            else:
                self.begin(donor, asked, key)
        elif isinstance(found, Over):
            self.refuse(donor, Close(found.ended.code, frames_received=found.ended.received))
        elif not self.table.attach(key, (asked.start, asked.link)):
            self.superseded += 1
            self.refuse(donor, Close(CloseCode.SUPERSEDED))
        else:
            self.resume(found, donor, asked)

    def begin(self, donor: Donor, asked: SessionHello, key: bytes) -> None:
        self.numberings += 1
        session = Session(numbering=self.numberings, limit=LIMIT, peer_ack_by=asked.ack_by)
        machine, link = donor.surrender()
        end = End(b"s%d%s" % (self.numberings, key.rstrip(b"!")), machine, link)
        self.ends[key] = end
        self.table.add(key, end, (asked.start, asked.link), key)
        end.begin(session, session.welcome(keep=60, credit=WINDOW))

    def resume(self, found: Known[End], donor: Donor, asked: SessionHello) -> None:
        # Between honest ends no count contradicts another.
        found.session.resume(donor, asked, serve=True)

    def refuse(self, donor: Donor, close: Close) -> None:
        joining.refuse(donor.machine, close, HandshakeError("refused", code=close.code))
        donor.handle_events()

    def failed(self, donor: Donor) -> None:
        if donor.link is not None:
            # What it has written still arrives.
            link, donor.link = donor.link, None
            link.readers[False] = None
            link.pipes[True].ended = True

    def detach(self) -> None:
        """Tell the table of the sessions that have lost their link, and end those that are done."""
        for key, end in self.ends.items():
            if end.over is not None:
                continue
            session = end.session
            if end.done and end.link is not None and session.told == end.machine.frames_received:
                # The end of its stream goes behind all that it wrote.
                link, count = end.link, end.machine.frames_received
                link.readers[False] = None
                link.pipes[True].ended = True
                end.link, end.over = None, CloseCode.NORMAL
                ended = EndedSession(CloseCode.NORMAL, session.acknowledgeable(count))
                self.table.end(key, ended, self.now, numberings=session.numberings)
            elif end.link is None:
                self.table.detach(key, self.now)

    def kick(self, key: bytes, code: CloseCode) -> None:
        """End a session, as for a key that was withdrawn."""
        end = self.ends.get(key)
        if end is None or end.over is not None:
            return
        count = end.machine.frames_received
        ended = EndedSession(code, end.session.acknowledgeable(count))
        self.table.end(key, ended, self.now, numberings=end.session.numberings)
        link, end.over = end.link, code
        if link is not None:
            end.machine.close(Close(code))
            link.write(False, end.machine.take_output([]))
            link.readers[False] = None
            link.pipes[True].ended = True
            end.link = None

    def forget(self) -> None:
        """Lose all memory."""
        for link in self.world.links:
            link.drop(False)
        for end in self.ends.values():
            end.over = CloseCode.SESSION_LOST
        self.table = self._new_table()


class World:
    """The server, its clients and all links.

    :param seal: whether links are sealed
    """

    def __init__(self, *, seal: bool = False, clients: int = 2) -> None:
        self.seal = seal
        self.links: list[Link] = []
        self.server = Server(self)
        self.clients = [Client(self, b"%d" % number) for number in range(clients)]
        self.killed = False

    def ends(self) -> list[End]:
        """Return both ends of all sessions, the client's first."""
        ends = [client.end for client in self.clients]
        return [end for end in [*ends, *self.server.ends.values()] if end is not None]

    def end(self, choice: int) -> End | None:
        ends = self.ends()
        return ends[choice % len(ends)] if ends else None

    def deliver(self, choice: int, count: int) -> None:
        """Let some of what is under way on one of the links arrive, of an old one perhaps."""
        if self.links:
            # Mostly of a late one.
            number = choice % min(len(self.links), 4)
            link = self.links[-1 - number]
            link.deliver(bool(choice // 4 % 2), count)
            self.settle_links()

    def settle_links(self) -> None:
        self.server.detach()
        for client in self.clients:
            end = client.end
            if end is not None and end.over is not None:
                client.over = end.over
        self.links = [
            link for link in self.links if any(reader for reader in link.readers.values())
        ]

    def cut(self, choice: int, to_client: int, to_server: int) -> None:
        if self.links:
            self.links[-1 - choice % len(self.links)].cut(to_client, to_server)

    def check(self) -> None:
        for end in self.ends():
            end.check()

    def finish(self, *, close: bool) -> None:
        """From now on links are whole: all arrives, and all is acknowledged."""
        for link in self.links:
            link.cut(10**6, 10**6)
        for turn in range(400):
            for client in self.clients:
                if client.over is None and client.donor is None and not client.attached:
                    client.connect()
                if close and turn > 20 and client.end is not None:
                    client.end.close()
            for link in list(self.links):
                for at_client in (False, True):
                    link.deliver(at_client, 10**6)
            for end in self.ends():
                end.take(100)
                end.answer()
                end.acknowledge()
            if close and turn > 20:
                for end in self.server.ends.values():
                    end.close()
            self.settle_links()
            self.check()
            if self._quiet(close=close):
                break
        else:
            raise AssertionError("stuck: not all arrived after the links were whole again")
        for client in self.clients:
            server = self.server.ends.get(client.token)
            if client.end is not None and server is not None and not self.killed:
                self._compare(client, client.end, server)

    def _quiet(self, *, close: bool) -> bool:
        for client in self.clients:
            if client.over is not None:
                continue
            server = self.server.ends.get(client.token)
            if close or client.end is None or server is None or not client.attached:
                return False
            for end in (client.end, server):
                if end.outbox or end.inbox or end.owed or end.session.retention.cost:
                    return False
                if end.machine.unsent or end.asked.keys() != end.answers.keys():
                    return False
        return True

    def _compare(self, client: Client, first: End, second: End) -> None:
        if client.over not in (None, CloseCode.NORMAL):
            assert second.over == client.over
            return
        for sender, receiver in ((first, second), (second, first)):
            count = 0 if receiver.expected is None else receiver.expected[1]
            assert count == sender.made, "not all messages have arrived"
            if client.over is None:
                assert receiver.arrived.items() >= sender.opened.items()
                assert receiver.finished >= sender.ended
                assert sender.answers.keys() == sender.asked.keys()
            retention = sender.session.retention
            assert retention.acknowledged == retention.given
            assert retention.messages_given == sender.made
            assert receiver.machine.frames_received == retention.given
