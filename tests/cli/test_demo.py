"""``sealframe demo``."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import sealframe
from sealframe.cli.demo import story
from sealframe.cli.demo.absent import not_shown
from sealframe.cli.demo.links import links
from sealframe.cli.demo.room import Difference, Room, difference
from sealframe.cli.demo.story import Story
from sealframe.cli.demo.view import View
from sealframe.cli.errors import CommandError
from sealframe.cli.lines import Lines

from .commands import COMMAND, outcome, running

ALONE = """
import sys
sys.modules |= dict.fromkeys(("click", "rich", "cryptography", "uvloop"))
before = set(sys.modules)
import sealframe.cli
from sealframe.cli.demo import story
story._PAUSE = 0.0
try:
    sealframe.cli.main()
finally:
    new = {name.partition(".")[0] for name in sys.modules.keys() - before}
    # What is compiled comes with two modules of Cython's, which are no packages.
    others = {name for name in new - sys.stdlib_module_names if "cython_" not in name}
    print(*sorted(others), file=sys.stderr)
"""
"""The demo without the packages that it could use; on stderr, what it imported nevertheless."""

COMMAND_ALONE = (sys.executable, "-W", "error", "-c", ALONE)

SEALING = "sealing: who the other end is, and that nobody else can read or change it"
NO_CRYPTOGRAPHY = (
    "sealing needs the cryptography package, version 48.0.1 or newer: "
    'run: pip install "sealframe[crypto]"'
)
COMMANDS = "the table of clients that is live, and every other command: serve, send, …"
ADVICE = [
    "To see it, from a clone:",
    '  uvx --from ".[cli]" sealframe demo',
    '  pipx run --spec ".[cli]" sealframe demo',
]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads along, and a twentieth of what is sent goes the same way."""
    monkeypatch.setattr(story, "_PAUSE", 0.0)
    monkeypatch.setattr(story, "_SMALL", 1000)
    monkeypatch.setattr(story, "_FILE_SIZE", 256 * 1024)
    # Where lines are counted, and much else runs, it takes longer.
    monkeypatch.setattr(story, "TIME_LIMIT", 120.0)


async def test_from_start_to_end() -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
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


async def test_of_the_standard_library_alone() -> None:
    done = await outcome("demo", command=COMMAND_ALONE)
    assert (done.code, done.errors) == (0, "sealframe\n")
    text, _, rest = done.output.partition("All is well.\n")
    assert rest.splitlines() == [
        "",
        "Not shown:",
        f"  {SEALING} ({NO_CRYPTOGRAPHY})",
        f"  {COMMANDS} (needs click and rich)",
        *ADVICE,
    ]
    # Nothing of what it says is that anything was sealed.
    assert re.findall(r".*seal.*|.*AES.*", text) == [
        *re.findall(r".* server  listens on 127\.0\.0\.1:\d+, and nothing is sealed", text),
        *re.findall(r".*   west  none of it is sealed: whoever .* can read and change it", text),
        *re.findall(r" +sealed  no: all of it went in the clear; 5 links, .*", text),
    ]
    assert len(set(re.findall(r"is here as ([0-9a-f]+-\d+)", text))) == 4
    assert text.count("the same") == 4
    assert re.search(r"west  back after [\d.]+ s, and has all that it missed", text)
    assert re.search(r"^ *lost  0, differing or doubled: 0$", text, re.MULTILINE)


async def test_of_the_standard_library_alone_its_reader_may_go() -> None:
    async with running("demo", command=COMMAND_ALONE) as demo:
        await demo.lines_until("they talk")
        demo.close_output()
        done = await demo.end()
        assert (done.code, done.errors) == (1, "sealframe\n")


@pytest.mark.parametrize(
    ("absent", "why_plain", "lines"),
    [
        ([], "", []),
        (["click"], "", [f"  {COMMANDS} (needs click)"]),
        (["rich"], "no key", [f"  {SEALING} (no key)", f"  {COMMANDS} (needs rich)"]),
    ],
)
def test_what_was_not_shown_is_said(
    absent: list[str], why_plain: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in absent:
        monkeypatch.setitem(sys.modules, name, None)
    used = replace(links(), why_plain=why_plain)
    assert not_shown(used)[1:] == (lines and [*lines, *ADVICE])


def test_links_are_sealed_where_they_can_be() -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    assert links().security is not None
    assert links().why_plain == ""


def test_cryptography_that_cannot_be_imported_is_no_sealing(tmp_path: Path) -> None:
    """It is installed nevertheless, as in a subinterpreter or of a wheel for another machine."""
    package = tmp_path / "cryptography"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('not in here')")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from sealframe.cli.demo.links import links; used = links()\n"
        "print(used.security, used.name, used.why_plain, sep='; ')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == (
        "None; not sealed; sealing needs the cryptography package, which cannot be imported here: "
        "not in here\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals to send")
@pytest.mark.parametrize("command", [COMMAND, COMMAND_ALONE])
async def test_ctrl_c(command: Sequence[str]) -> None:
    async with running("demo", command=command) as demo:
        await demo.lines_until("they talk")
        done = await demo.end_by(signal.SIGINT)
        assert (done.code, done.errors.strip()) == (130, "" if command is COMMAND else "sealframe")


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
    await Story(View(Lines()), Room(), links(), "asyncio").tell()
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
        await Story(View(Lines()), Careless(), links(), "asyncio").tell()
    assert "Something went wrong." in capsys.readouterr().out


@pytest.mark.usefixtures("short")
async def test_a_client_that_fails_ends_it() -> None:
    class Closed(Room):
        """Lets nobody in."""

        async def handle(self, conn: sealframe.Connection) -> None:
            await conn.close(sealframe.CloseCode.NORMAL)

    with pytest.raises(CommandError, match="a client left before the end"):
        await Story(View(Lines()), Closed(), links(), "asyncio").tell()
