"""What of the library's log is on stderr: nothing twice, nothing that steers a terminal."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator

import click
import pytest

import sealframe
from sealframe.cli.commands import sealframe_command
from sealframe.cli.logs import log_of_a_command, log_to, print_log, tell_errors_once
from sealframe.cli.serve import serve
from sealframe.cli.text import speak_as

from .commands import invoked

LOG = logging.getLogger("sealframe")
SERVER = logging.getLogger("sealframe.server")
KEY_LOG = logging.getLogger("sealframe.keylog")


def texts(errors: str) -> list[str]:
    """Return lines without the time that each of them has."""
    lines = errors.splitlines()
    for line in lines:
        assert re.match(r"\d\d:\d\d:\d\d\.\d\d\d sealframe", line), line
    return [line[13:] for line in lines]


class Elsewhere(logging.Handler):
    """As the demo's: it shows the log among what the command prints."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"shown: {record.getMessage()}", file=sys.stderr)


def log_elsewhere() -> None:
    log_to(Elsewhere())


def nothing() -> None:
    """As those commands that say nothing of the log."""


@pytest.fixture
def address() -> Iterator[str]:
    with sealframe.sync.serve(lambda conn: [*conn], "127.0.0.1", 0) as server:
        address = server.addresses[0]
        assert isinstance(address, tuple)
        yield f"127.0.0.1:{address[1]}"


def test_the_first_line_is_what_version_says(address: str) -> None:
    done = invoked("-v", "send", "hello", address)
    assert (done.code, done.output) == (0, "")
    said = invoked("--version").output.splitlines()
    assert texts(done.errors) == [f"sealframe: {'; '.join(said)}"]


def test_each_frame_is_shown_once_with_vv(address: str) -> None:
    done = invoked("-vv", "send", "hello", address)
    assert (done.code, done.output) == (0, "")
    lines = texts(done.errors)
    assert lines[0].startswith(f"sealframe: sealframe {sealframe.__version__}; codec: ")
    # The server is in this process too.
    for end in (">", "<"):
        assert len([line for line in lines if line.endswith(f": {end} message, 5 bytes")]) == 1
    assert f"sealframe.client: connecting to {address}" in lines


def test_without_v_nothing_is_shown(address: str) -> None:
    done = invoked("send", "hello", address)
    assert (done.code, done.output, done.errors) == (0, "", "")


def test_an_error_stays_the_last_line_by_itself() -> None:
    done = invoked("--verbose", "chat", "./none")
    assert done.code == 1
    *log, error = done.errors.splitlines()
    assert len(texts("\n".join(log))) >= 1
    assert error.startswith("sealframe: cannot connect to ./none")


@pytest.mark.parametrize("choose", [tell_errors_once, print_log, log_elsewhere, nothing])
def test_no_line_comes_twice(
    capsys: pytest.CaptureFixture[str], choose: Callable[[], None]
) -> None:
    with log_of_a_command(1):
        choose()
        KEY_LOG.warning("keys are written")
        SERVER.info("somebody came")
        SERVER.debug("a frame")
    lines = texts(capsys.readouterr().err)[1:]
    assert lines == ["sealframe.keylog: keys are written", "sealframe.server: somebody came"]


@pytest.mark.parametrize(
    ("choose", "lines"),
    [
        (tell_errors_once, ["sealframe: keys are written"]),
        (print_log, ["sealframe: keys are written", "sealframe: somebody broke a rule"]),
        (log_elsewhere, ["shown: keys are written", "shown: somebody broke a rule"]),
    ],
)
def test_without_v_each_command_shows_what_it_always_did(
    capsys: pytest.CaptureFixture[str], choose: Callable[[], None], lines: list[str]
) -> None:
    with log_of_a_command(0):
        for _ in range(2 if choose is not log_elsewhere else 1):
            choose()
        KEY_LOG.warning("keys are written")
        SERVER.warning("somebody broke a rule")
        SERVER.info("somebody came")
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize("verbosity", [0, 1, 2])
def test_a_command_leaves_the_log_as_it_was(verbosity: int) -> None:
    before = [(log.handlers[:], log.level) for log in (LOG, KEY_LOG)]
    with log_of_a_command(verbosity):
        tell_errors_once()
        print_log()
        log_elsewhere()
    assert [(log.handlers, log.level) for log in (LOG, KEY_LOG)] == before


def test_what_a_peer_says_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with log_of_a_command(2):
        try:
            raise ValueError("\x1b[2Jcleared\nsealframe: forged\r\u202e")
        except ValueError as error:
            SERVER.exception("it said %s", error)
    escaped = r"\x1b[2Jcleared\nsealframe: forged\r\u202e"
    assert texts(capsys.readouterr().err)[1:] == [
        f"sealframe.server: it said {escaped}: ValueError: {escaped}"
    ]


@pytest.mark.parametrize("verbosity", [0, 1])
def test_nobody_reads_stderr(monkeypatch: pytest.MonkeyPatch, verbosity: int) -> None:
    """What is logged is lost, and no connection with it."""

    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    with log_of_a_command(verbosity):
        print_log()
        SERVER.warning("somebody broke a rule")


def test_one_of_several_processes_has_its_label(capsys: pytest.CaptureFixture[str]) -> None:
    speak_as("[2] ")
    try:
        with log_of_a_command(1):
            SERVER.info("somebody came")
    finally:
        speak_as("")
    assert texts(capsys.readouterr().err)[1:] == ["sealframe.server: [2] somebody came"]


@pytest.mark.parametrize("passed", [(), ("-v",), ("-v", "-v")])
def test_workers_are_as_verbose(passed: tuple[str, ...]) -> None:
    root = sealframe_command.make_context("sealframe", [*passed, "serve"])
    context: click.Context = serve.make_context("serve", ["--workers", "2"], parent=root)
    command = context.meta["sealframe.cli.serve.arguments"]
    assert command == (*passed, "serve", "--workers", "2")
