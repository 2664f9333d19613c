"""From the arguments of ``sealframe doctor`` to its answer."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from ...framing import FrameLayout
from ..address import Address, UnixAddress, parse
from ..captures import live, reading
from ..captures.stream import Stream
from ..errors import Exit
from ..output import Output
from ..running import run
from ..stopping import stop_signals
from .answer import Answer, as_json
from .checking import Checks
from .findings import Findings
from .numbers import Number

_NUMBER: Final = re.compile(r"-?(?:0[xX][0-9a-fA-F]{1,32}|\d[\d_,]{0,39})")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be looked at.

    :ivar targets: files, ``-``, an address or a number, as they were typed
    :ivar layout: what is to be checked; None to look for one
    :ivar number: which connection of a capture
    :ivar raw: take files as they are
    :ivar proxy: where to listen, and where to pass on to
    :ivar seconds: how long to listen
    """

    targets: tuple[str, ...]
    layout: FrameLayout | None
    number: int | None
    raw: bool
    proxy: tuple[Address, Address] | None
    seconds: float | None

    @property
    def lone(self) -> str:
        """The only target; empty where there are several, or none."""
        return self.targets[0] if len(self.targets) == 1 else ""

    @property
    def is_number(self) -> bool:
        """Whether it is a number, and no file of that name."""
        return _NUMBER.fullmatch(self.lone) is not None and not Path(self.lone).exists()

    @property
    def live(self) -> Address | None:
        """The server that is to be listened to."""
        if Path(self.lone).is_file():
            return None
        try:
            address = parse(self.lone)
        except ValueError:
            return None
        if isinstance(address, UnixAddress) and not _is_socket(address.path):
            return None
        return address

    def check(self) -> None:
        """Refuse what does not go together.

        :raises click.UsageError: it does not
        """
        listens = self.proxy is not None or self.live is not None
        if self.proxy is None and not self.targets:
            raise click.UsageError("give a FILE, - for standard input, HOST:PORT or a NUMBER")
        if self.proxy is not None and self.targets:
            raise click.UsageError("--proxy looks at what passes it: leave out the others")
        if self.seconds is not None and not listens:
            raise click.UsageError("--seconds goes with HOST:PORT or --proxy")
        if (self.raw or self.number is not None) and (listens or self.is_number):
            raise click.UsageError("--raw and --stream go with files")
        if self.layout is not None and self.is_number:
            raise click.UsageError("--framing goes with bytes, and not with a number")


def _is_socket(path: str) -> bool:
    return path.startswith("\0") or Path(path).is_socket()


def consult(question: Question, *, for_programs: bool) -> None:
    """Answer a question on stdout, and exit.

    :param for_programs: answer in JSON
    """
    question.check()
    output = Output()
    answer = _answer(question, output)
    if for_programs:
        output.line(as_json(answer))
    else:
        for line in answer.lines():
            output.line(line)
    sys.exit(answer.status)


def _answer(question: Question, output: Output) -> Answer:
    if question.is_number:
        return Number.explained(_value(question.lone))
    streams = _streams(question, output)
    if question.layout is None:
        return Findings.of(streams)
    return Checks.of(streams, question.layout)


def _streams(question: Question, output: Output) -> list[Stream]:
    if question.proxy is not None:
        return run(_proxied(*question.proxy, question.seconds, output))
    if question.live is not None:
        return run(_listened(question.live, question.seconds, output))
    found = []
    for target in question.targets:
        found += _read(target, raw=question.raw, number=question.number)
    return found


def _value(text: str) -> int:
    return int(text.replace(",", "").replace("_", ""), 0 if "x" in text.lower() else 10)


def _read(name: str, *, raw: bool, number: int | None) -> list[Stream]:
    if name == "-":
        return reading.read_input(sys.stdin.buffer, raw=raw, number=number)
    path = Path(name)
    if not path.exists():
        raise click.UsageError(f"{name!r} is no file, no HOST:PORT and no number")
    if path.is_dir():
        raise click.UsageError(f"{name!r} is a directory: give the files in it")
    return reading.read_file(path, raw=raw, number=number)


async def _listened(address: Address, seconds: float | None, output: Output) -> list[Stream]:
    output.notice(f"listening to {address}, to which nothing is sent; {_until(seconds)}")
    return await live.listen(address, _stopped(seconds), output.notice)


async def _proxied(
    listening: Address, target: Address, seconds: float | None, output: Output
) -> list[Stream]:
    def ready(address: Address) -> None:
        output.notice(f"passing on to {target} what comes to {address}; {_until(seconds)}")

    return await live.Proxy(target, output.notice).run(listening, _stopped(seconds), ready)


def _until(seconds: float | None) -> str:
    return "Ctrl-C ends it" if seconds is None else f"for {seconds:g} s, or until Ctrl-C"


def _stopped(seconds: float | None) -> asyncio.Future[Exit]:
    """Return what is done at Ctrl-C or when the time is over."""
    stopped = stop_signals(lambda: None)

    def end() -> None:
        if not stopped.done():
            stopped.set_result(Exit.DONE)

    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, end)
    return stopped
