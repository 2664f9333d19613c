"""An outbox beside a list: whatever is done in whatever order, both hold the same."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from example_counts import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sealframe.outbox import Outbox
from sealframe.outbox.store import OutboxStore

SIZES = st.lists(st.sampled_from([0, 1, 100, 5_000, 70_000]), min_size=1, max_size=6)
FRACTION = st.floats(0, 1)


class OutboxAndList(RuleBasedStateMachine):
    """The list is of what is kept; the first of it have numbers from ``acknowledged`` + 1 up."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "0.db"
        self.kept: list[bytes] = []
        self.acknowledged = 0
        self.numbered = 0
        """How many of those that are kept have a number."""
        self.sent: dict[int, bytes] = {}
        """Every message that ever had a number in this session."""
        self.begun = False
        self.position = 0
        self.count = 0

    @initialize(durable=st.sampled_from(["process", "power"]))
    def open(self, durable: str) -> None:
        self.durable = durable
        self.store = self.opened()
        self.start = 1

    def opened(self) -> OutboxStore:
        outbox = Outbox(self.path, durable=self.durable, keep_free=0)  # type: ignore[arg-type]
        return self.runner.run(OutboxStore.open(outbox))

    def number_all(self) -> None:
        for number, message in enumerate(self.kept, self.acknowledged + 1):
            self.sent[number] = message
        self.numbered = len(self.kept)

    def forget(self, count: int) -> None:
        del self.kept[:count]
        self.acknowledged += count
        self.numbered -= count
        self.position = max(0, self.position - count)

    @rule(calls=st.lists(SIZES, min_size=1, max_size=4))
    def append(self, calls: list[list[int]]) -> None:
        groups = []
        for sizes in calls:
            groups.append([b"%d " % (self.count + i) + bytes(n) for i, n in enumerate(sizes)])
            self.count += len(sizes)

        async def append_all() -> None:
            async with asyncio.TaskGroup() as tasks:
                for group in groups:
                    tasks.create_task(self.store.append(group))

        self.runner.run(append_all())
        self.kept += [message for group in groups for message in group]
        if self.begun:
            self.number_all()

    @precondition(lambda self: self.numbered)
    @rule(part=FRACTION)
    def acknowledge(self, part: float) -> None:
        count = round(part * self.numbered)

        async def tell() -> None:
            self.store.acknowledge(self.acknowledged + count)

        self.runner.run(tell())
        self.forget(count)

    @rule(part=FRACTION, more=st.integers(1, 9))
    def begin(self, part: float, more: int) -> None:
        """The server has some of them; after the file went back, more."""
        taken = self.acknowledged + round(part * self.numbered)
        if not self.begun and part == 1:
            taken += more
        self.runner.run(self.store.begin(taken))
        self.forget(min(taken - self.acknowledged, self.numbered))
        self.acknowledged = taken
        self.number_all()
        self.begun = True
        self.position = 0

    @precondition(lambda self: self.begun and self.position < len(self.kept))
    @rule(size=st.sampled_from([1, 1_000, 200_000]))
    def read(self, size: int) -> None:
        messages = self.runner.run(self.store.read(size))
        end = self.position + len(messages)
        assert messages
        assert messages == self.kept[self.position : end]
        self.position = end

    @rule(part=FRACTION)
    def renew(self, part: float) -> None:
        count = round(part * self.numbered)
        self.runner.run(self.store.renew(self.acknowledged + count))
        self.forget(count)
        self.acknowledged = self.numbered = self.position = 0
        self.sent.clear()
        self.begun = False
        self.start = 1

    @rule()
    def open_again(self) -> None:
        self.runner.run(self.store.close())
        self.after_opening()

    @rule()
    def be_killed(self) -> None:
        """What is in the files is what a process leaves behind that is killed now."""
        path = self.folder / f"{int(self.path.stem) + 1}.db"
        for name in ("", "-wal"):
            shutil.copy(f"{self.path}{name}", f"{path}{name}")
        self.runner.run(self.store.close())
        self.path = path
        self.after_opening()

    def after_opening(self) -> None:
        self.store = self.opened()
        # Acknowledgements may be missing: they wait for the next transaction.
        missing = range(self.store.acknowledged + 1, self.acknowledged + 1)
        self.kept[:0] = [self.sent[number] for number in missing]
        self.acknowledged -= len(missing)
        self.numbered += len(missing)
        self.begun = False
        self.position = 0
        self.start += 1

    @invariant()
    def they_are_the_same(self) -> None:
        store = self.store
        assert store.start == self.start
        assert store.begun == self.begun
        assert store.acknowledged == self.acknowledged
        assert store.numbered == self.acknowledged + self.numbered
        assert store.kept == len(self.kept)

    def teardown(self) -> None:
        self.begin(0, 1)
        while self.position < len(self.kept):
            self.read(200_000)
        self.runner.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)


TestOutboxAndList = OutboxAndList.TestCase
TestOutboxAndList.settings = settings(
    max_examples=examples(15), stateful_step_count=20, deadline=None
)
