"""Who may go on with a session: one file alone always, a copy only where nothing is lost by it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from sealframe.server.session_writers import may_follow, told
from sealframe.wire.control import SessionHello
from sealframe.wire.writers import UNKNOWN, Writers

_numbers = itertools.count(1)


def _draw() -> bytes:
    """Return another writer; not at random, so that a failure is the same again."""
    return next(_numbers).to_bytes(8, "little")


class File:
    """An outbox, as far as this goes."""

    def __init__(self) -> None:
        self.writers = Writers(_draw())
        self.begun = False
        self.numbered: list[int] = []
        self.unnumbered: list[int] = []
        self.refused = False
        self.acknowledged = 0

    def start(self) -> None:
        self.writers = Writers(_draw(), self.writers.earlier)
        self.begun = False

    def read_welcome(self, taken: list[int], writer: bytes) -> None:
        more = len(taken) > self.acknowledged
        if more and not self.writers.may_have_sent(writer):
            self.refused = True
        if self.refused:
            return
        self.acknowledged = len(taken)
        if self.begun:
            return
        self.begun = True
        self.writers = Writers(self.writers.own, (self.writers.own, writer))
        self.numbered += taken[len(self.numbered) :] + self.unnumbered
        self.unnumbered = []


class Turns(RuleBasedStateMachine):
    """A server, its database, and a file with its copies; links come and go as they like.

    Which attempt is the later one does not count here: that refuses some of them besides.
    """

    files = Bundle("files")
    FILES = 1

    def __init__(self) -> None:
        super().__init__()
        self.messages = itertools.count(1)
        # What has come, and whose the last of it is; the same as it is stored.
        self.taken: list[int] = []
        self.last = UNKNOWN
        self.stored: tuple[list[int], bytes] = [], UNKNOWN
        self.attached: File | None = None
        self.present = UNKNOWN
        # Whether its client has read the WELCOME with which the present numbering began.
        self.told = False
        self.all: list[File] = []

    @rule(target=files, number=st.integers(0))
    def make(self, number: int) -> File:
        """The first one is a file, the others are copies of one that is there."""
        if not self.all:
            made = File()
        elif len(self.all) < self.FILES:
            made = copy.copy(self.all[number % len(self.all)])
            made.numbered, made.unnumbered = made.numbered.copy(), made.unnumbered.copy()
            made.start()
        else:
            return self.all[number % len(self.all)]
        self.all.append(made)
        return made

    @rule(file=files)
    def start(self, file: File) -> None:
        self._detach(file)
        file.start()

    @rule(file=files)
    def accept(self, file: File) -> None:
        (file.numbered if file.begun else file.unnumbered).append(next(self.messages))

    @rule(file=files, arrives=st.booleans())
    def connect(self, file: File, arrives: bool) -> None:
        """HELLO comes; WELCOME may be lost."""
        own = file.writers.own
        if file.refused or not self._lets_in(file, self.last):
            return
        self._detach(self.attached)
        if own != self.present:
            # Another start, or another server: what was not finished comes again.
            self._forget()
            if not self._lets_in(file, self.last):
                return
            self.present, self.told = own, False
        if arrives and not self.told:
            self.told = True
            hello = SessionHello(b"t" * 16, 1, 1, 0, 0, 0, 0, 1024, writers=file.writers)
            file.read_welcome(self.taken, told(hello, len(self.taken), self.last))
            self._check(file)
        if arrives and not file.refused:
            self.attached = file

    def _lets_in(self, file: File, last: bytes) -> bool:
        if not may_follow(file.writers, last):
            assert len(self.all) > 1
            file.refused = True
        return not file.refused

    def _check(self, file: File) -> None:
        assert not file.refused or len(self.all) > 1

    def _detach(self, file: File | None) -> None:
        if self.attached is file:
            self.attached = None

    def _forget(self) -> None:
        taken, self.last = self.stored
        self.taken = taken.copy()

    @rule(stored=st.booleans())
    def deliver(self, stored: bool) -> None:
        file = self.attached
        if file is not None and len(file.numbered) > len(self.taken):
            self.taken.append(file.numbered[len(self.taken)])
            self.last = file.writers.own
            if stored:
                self.store()

    @rule()
    def store(self) -> None:
        self.stored = self.taken.copy(), self.last

    @rule()
    def kill(self) -> None:
        """The server dies, and another one has the database."""
        self.attached, self.present = None, UNKNOWN
        self._forget()

    @invariant()
    def nothing_is_taken_for_something_else(self) -> None:
        file = self.attached
        if file is not None:
            together = min(len(file.numbered), len(self.taken))
            assert file.numbered[:together] == self.taken[:together]


class Copies(Turns):
    """The same with two copies."""

    FILES = 3


TestCopies = Copies.TestCase
TestCopies.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    phases=(Phase.generate,),
)


def _send(turns: Turns, file: File) -> None:
    turns.accept(file)
    turns.deliver(stored=True)


_STEPS: tuple[Callable[[Turns, File], None], ...] = (
    lambda turns, file: turns.start(file),
    lambda turns, file: turns.connect(file, arrives=True),
    lambda turns, file: turns.connect(file, arrives=False),
    lambda turns, _: turns.deliver(stored=False),
    lambda turns, _: turns.kill(),
    _send,
)


def test_one_file_alone_is_always_let_in() -> None:
    """Whatever happens, in six steps."""
    for steps in itertools.product(_STEPS, repeat=6):
        turns = Turns()
        file = File()
        turns.all.append(file)
        for step in steps:
            step(turns, file)
            turns.nothing_is_taken_for_something_else()


def test_a_copy_of_a_file_that_goes_on_within_its_start() -> None:
    """The server has more of that start than the copy was told of."""
    turns = Turns()
    turns.FILES = 2
    original = File()
    turns.all.append(original)
    turns.connect(original, arrives=True)
    _send(turns, original)
    copied = turns.make(0)
    assert isinstance(copied, File)
    turns.connect(copied, arrives=True)
    turns.accept(copied)
    turns.kill()
    turns.connect(original, arrives=True)
    _send(turns, original)
    turns.connect(copied, arrives=True)
    assert copied.refused
    turns.nothing_is_taken_for_something_else()
