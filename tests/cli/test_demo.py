"""``sealframe demo``."""

from __future__ import annotations

import re
import signal
import sys

import pytest

import sealframe
from sealframe.cli.demo import story
from sealframe.cli.demo.room import Difference, Room, difference
from sealframe.cli.demo.story import Story
from sealframe.cli.demo.view import View
from sealframe.cli.errors import CommandError
from sealframe.cli.output import Output

from .commands import outcome, running


@pytest.fixture(autouse=True)
def _needs_cryptography() -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads along, and a twentieth of what is sent goes the same way."""
    monkeypatch.setattr(story, "_PAUSE", 0.0)
    monkeypatch.setattr(story, "_SMALL", 1000)
    monkeypatch.setattr(story, "_FILE_SIZE", 256 * 1024)
    # Where lines are counted, and much else runs, it takes longer.
    monkeypatch.setattr(story, "TIME_LIMIT", 120.0)


async def test_from_start_to_end() -> None:
    done = await outcome("demo")
    assert (done.code, done.errors) == (0, "")
    text = done.output
    said, delivered = (
        int(number.replace(",", ""))
        for number in re.findall(r"messages  ([\d,]+) said, ([\d,]+) delivered", text)[0]
    )
    assert said > 20_000
    assert delivered == 4 * said
    assert re.search(r"^ *rates  [\d,]+ messages/s; [\d.]+ MiB/s$", text, re.MULTILINE)
    assert re.search(r"^ *sealed  yes; 5 handshakes", text, re.MULTILINE)
    assert re.search(rf"^ *codec  {sealframe.IMPLEMENTATION}, event loop ", text, re.MULTILINE)
    assert re.search(r"^ *lost  0, differing or doubled: 0$", text, re.MULTILINE)
    assert text.count("the same") == 4
    assert re.search(r"west  back after [\d.]+ s, and has all that it missed", text)
    assert text.endswith("All is well.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals to send")
async def test_ctrl_c() -> None:
    async with running("demo") as demo:
        await demo.lines_until("they talk")
        done = await demo.end_by(signal.SIGINT)
        assert (done.code, done.errors) == (130, "")


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ([b"a", b"b", b"c"], Difference(lost=0, differing=0, surplus=0)),
        ([b"a", b"b"], Difference(lost=1, differing=0, surplus=0)),
        ([], Difference(lost=3, differing=0, surplus=0)),
        ([b"a", b"B", b"c"], Difference(lost=0, differing=1, surplus=0)),
        ([b"b", b"a", b"c"], Difference(lost=0, differing=2, surplus=0)),
        ([b"a", b"b", b"c", b"c"], Difference(lost=0, differing=0, surplus=1)),
    ],
)
def test_what_differs_is_found(got: list[bytes], expected: Difference) -> None:
    found = difference([b"a", b"b", b"c"], got)
    assert found == expected
    assert bool(found) == (got != [b"a", b"b", b"c"])


@pytest.mark.usefixtures("short")
async def test_it_runs_under_asyncio_too(capsys: pytest.CaptureFixture[str]) -> None:
    await Story(View(Output(), ""), Room(), "asyncio").tell()
    assert capsys.readouterr().out.endswith("All is well.\n")


@pytest.mark.usefixtures("short")
async def test_a_change_on_the_way_makes_it_fail(capsys: pytest.CaptureFixture[str]) -> None:
    class Careless(Room):
        """Gives one message to its members other than it was said."""

        def say(self, message: bytes) -> None:
            super().say(message)
            if message == b"west is back":
                self.said[-1] = b"west is gone"

    with pytest.raises(CommandError, match=r"^0 messages were lost and 4 differ"):
        await Story(View(Output(), ""), Careless(), "asyncio").tell()
    assert "Something went wrong." in capsys.readouterr().out


@pytest.mark.usefixtures("short")
async def test_a_client_that_fails_ends_it() -> None:
    class Closed(Room):
        """Lets nobody in."""

        async def handle(self, conn: sealframe.Connection) -> None:
            await conn.close(sealframe.CloseCode.NORMAL)

    with pytest.raises(CommandError, match="a client left before the end"):
        await Story(View(Output(), ""), Closed(), "asyncio").tell()
