"""Breaks sealframe on purpose, one line at a time, and demands that a test turns red.

Each mutation in mutations.toml is applied to a copy of the package, and the tests that
must catch it run against that copy. Further ones can be given in a file of the same
form, or one on the command line:

    check.py                                    all of mutations.toml
    check.py prologue-left-out split-twice      some of them
    check.py --table more.toml                  those of another file instead
    check.py --file noise/cipher.py --old '"big"' --new '"little"' --test tests/noise_
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

PROJECT: Final = Path(__file__).parents[2]
PACKAGE: Final = PROJECT / "src" / "sealframe"
TABLE: Final = Path(__file__).with_name("mutations.toml")
DEFAULT_TESTS: Final = ("tests/noise_", "tests/trust", "tests/core")
"""What must catch a mutation that names no tests."""

_TIMEOUT: Final = 300
_TEST_TIMEOUT: Final = 20
_PATIENCE: Final = 5
_BUSY: Final = 6
"""How many times as long it may take without a mutation, where all tests run, one after the
other: what is slow on a busy machine is not red."""
_TESTS_FAILED: Final = 1
_SHOWN_LINES: Final = 20
# A mutation that does not even run proves nothing about the tests.
_NOT_RUN: Final = re.compile(
    r"\b(?:SyntaxError|IndentationError|NameError|UnboundLocalError|ImportError)\b"
)


class MutationError(Exception):
    """A mutation that cannot be applied, or a run that says nothing about it."""


@dataclass(frozen=True)
class Mutation:
    """One change of the source that the tests must notice."""

    name: str
    file: str
    """Where, below src/sealframe/."""
    old: str
    """Stands there exactly once."""
    new: str
    tests: tuple[str, ...] = DEFAULT_TESTS
    """What pytest is to run: files, folders or node ids, relative to the project."""

    def apply(self, package: Path) -> None:
        """Change the file in `package`.

        :raises MutationError: the old text is not there, or is there more than once
        """
        path = package / self.file
        text = path.read_text(encoding="utf-8")
        count = text.count(self.old) if self.old else 0
        if count != 1:
            raise MutationError(
                f"{self.name}: the old text is in {self.file} {count} times, not once; "
                "follow the source with it, or drop the mutation"
            )
        if self.old == self.new:
            raise MutationError(f"{self.name}: old and new text are the same")
        mutated = text.replace(self.old, self.new)
        try:
            compile(mutated, self.file, "exec")
        except SyntaxError as error:
            raise MutationError(f"{self.name}: the result is not Python: {error}") from None
        path.write_text(mutated, encoding="utf-8")


@dataclass(frozen=True)
class Outcome:
    """What the tests made of one mutation."""

    caught: bool
    detail: str
    seconds: float


def load(path: Path) -> list[Mutation]:
    """Read a table of mutations.

    :raises MutationError: it cannot be read, or is not of this form
    """
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["mutation"]
        found = [
            Mutation(
                name=row["name"],
                file=row["file"],
                old=row["old"],
                new=row["new"],
                tests=tuple(row.get("tests", DEFAULT_TESTS)),
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MutationError(f"{path}: no table of mutations: {error!r}") from None
    names = [mutation.name for mutation in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise MutationError(f"{path}: more than one mutation named {', '.join(sorted(twice))}")
    return found


class Bench:
    """Runs tests against copies of the package in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pristine = folder / "pristine"
        # Without the extension: what is changed is Python, and the backends have their own tests.
        shutil.copytree(
            PACKAGE,
            self._pristine / "sealframe",
            ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"),
        )
        self._check_import()
        self._idle: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes that ran pytest: their input ends."""
        self._stack.close()

    def _environment(self, source: Path, patience: int = 1) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(source),
            "SEALFRAME_NO_EXTENSIONS": "1",
            # Less than a test's own time, which would end the whole run. Half of a whole table's
            # time is spent on tests that wait for what a mutation has taken away.
            "SEALFRAME_PATIENCE": str(patience * _PATIENCE),
            # Else pytest cuts the errors off its summary.
            "COLUMNS": "500",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self._folder / "hypothesis"),
        }

    def _check_import(self) -> None:
        # Else an installed sealframe in front of the copies would make every test green.
        found = subprocess.run(
            [sys.executable, "-c", "import sealframe; print(sealframe.__file__)"],
            cwd=PROJECT,
            env=self._environment(self._pristine),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        if not Path(found.strip()).is_relative_to(self._pristine):
            raise MutationError(f"the tests would import {found.strip()}, not the copy")

    def _pytest(self, source: Path, tests: tuple[str, ...], patience: int) -> tuple[int, str]:
        arguments = ["-x", "-q", "-rfE", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist"]
        arguments += [f"--timeout={patience * _TEST_TIMEOUT}", *tests]
        with self._runner() as runner, tempfile.NamedTemporaryFile(dir=self._folder) as output:
            job = {
                "arguments": arguments,
                "environment": self._environment(source, patience),
                "path": str(source),
                "output": output.name,
                "seconds": patience * _TIMEOUT,
            }
            assert runner.stdin is not None
            assert runner.stdout is not None
            runner.stdin.write(f"{json.dumps(job)}\n")
            runner.stdin.flush()
            code = int(runner.stdout.readline())
            text = output.read().decode(errors="replace")
        if code == -signal.SIGALRM:
            raise MutationError(f"pytest took more than {patience * _TIMEOUT} s")
        return code, text

    @contextmanager
    def _runner(self) -> Iterator[subprocess.Popen[str]]:
        """Take a runner that has nothing to do, or start one."""
        try:
            runner = self._idle.get_nowait()
        except queue.Empty:
            runner = self._stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(Path(__file__).with_name("runner.py"))],
                    cwd=PROJECT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        yield runner
        self._idle.put(runner)

    def check_green(self, tests: tuple[str, ...]) -> float:
        """Run tests against the package as it is.

        :return: how many seconds that took
        :raises MutationError: they are not green
        """
        started = time.monotonic()
        code, output = self._pytest(self._pristine, tests, _BUSY)
        if code != 0:
            raise MutationError(f"without any mutation the tests are not green:\n{output}")
        return time.monotonic() - started

    def run(self, mutation: Mutation) -> Outcome:
        """Run a mutation's tests against it.

        :raises MutationError: it cannot be applied, or the tests could not run
        """
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            source = Path(folder)
            link_but(self._pristine / "sealframe", source / "sealframe", Path(mutation.file))
            mutation.apply(source / "sealframe")
            code, output = self._pytest(source, mutation.tests, 1)
        failures = re.findall(r"^FAILED (.*)$", output, re.MULTILINE)
        if code not in (0, _TESTS_FAILED) or (code and not failures):
            end = "\n".join(output.splitlines()[-_SHOWN_LINES:])
            raise MutationError(f"{mutation.name}: no test failed, pytest itself did:\n{end}")
        if any(_NOT_RUN.search(failure) for failure in failures):
            raise MutationError(f"{mutation.name}: the changed code does not run: {failures[0]}")
        detail = failures[0].partition(" - ")[0] if failures else "every test stayed green"
        return Outcome(bool(failures), detail, time.monotonic() - started)


def link_but(package: Path, copy: Path, file: Path) -> None:
    """Make a copy of a package in which one file is another one, which a test may change.

    All else is linked, with what the first run compiled: to copy that took half of a run.
    """
    copy.mkdir()
    head = file.parts[0]
    for path in package.iterdir():
        if path.name not in (head, "__pycache__"):
            (copy / path.name).symlink_to(path)
    if len(file.parts) > 1:
        link_but(package / head, copy / head, file.relative_to(head))
    else:
        shutil.copy(package / head, copy / head)
    # Not the folder itself: what is compiled of the changed file goes there.
    compiled = copy / "__pycache__"
    compiled.mkdir()
    for path in (package / "__pycache__").glob("*.pyc"):
        if len(file.parts) > 1 or path.name.partition(".")[0] != file.stem:
            (compiled / path.name).symlink_to(path)


def try_to_apply(mutation: Mutation, folder: Path) -> str:
    """Apply a mutation to a copy of its file alone; return what is wrong, if anything."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        copy = Path(name) / mutation.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy(PACKAGE / mutation.file, copy)
            mutation.apply(Path(name))
        except (OSError, MutationError) as error:
            return str(error)
    return ""


def check(mutations: list[Mutation], jobs: int) -> bool:
    """Run mutations, print what became of each, and return whether all were caught.

    :raises MutationError: one of them cannot be applied, or the tests are not green without
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sealframe-mutations-") as folder:
        # All that cannot be applied is told before any test has run.
        faults = list(filter(None, (try_to_apply(one, Path(folder)) for one in mutations)))
        if faults:
            raise MutationError("\n".join(faults))
        with Bench(Path(folder)) as bench:
            with ThreadPoolExecutor(jobs) as pool:
                tests = sorted({test for mutation in mutations for test in mutation.tests})
                shares = [tuple(tests[number::jobs]) for number in range(min(jobs, len(tests)))]
                seconds = max(pool.map(bench.check_green, shares))
            print(f"green without a mutation ({seconds:.1f} s)", flush=True)
            missed = []
            with ThreadPoolExecutor(jobs) as pool:
                runs = [(mutation, pool.submit(bench.run, mutation)) for mutation in mutations]
                for mutation, run in runs:
                    try:
                        outcome = run.result()
                    except MutationError as error:
                        print(f"BROKEN    {error}", flush=True)
                        missed.append(mutation.name)
                        continue
                    if not outcome.caught:
                        missed.append(mutation.name)
                    result = "caught  " if outcome.caught else "SURVIVED"
                    times = f"{outcome.seconds:4.1f} s"
                    print(f"{result}  {mutation.name:<36} {times}  {outcome.detail}", flush=True)
    total = time.monotonic() - started
    caught = len(mutations) - len(missed)
    print(f"{caught} of {len(mutations)} mutations caught in {total:.0f} s")
    # Once more, at the end: of a long output this is the part that is seen.
    if missed:
        print(f"not caught: {' '.join(missed)}")
    return not missed


def main() -> int:
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", help="run these of the table only")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--table", type=Path, default=TABLE, help="another file of mutations")
    parser.add_argument("--file", help="one mutation: the file below src/sealframe/")
    parser.add_argument("--old", help="the text to be replaced, which stands there once")
    parser.add_argument("--new", help="what comes in its place")
    parser.add_argument(
        "--test",
        action="append",
        help=f"what must catch it, for pytest (default: {' '.join(DEFAULT_TESTS)})",
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    arguments = parser.parse_args()
    given = [arguments.file, arguments.old, arguments.new]
    try:
        if any(part is not None for part in given):
            if None in given:
                parser.error("--file, --old and --new go together")
            tests = tuple(arguments.test or DEFAULT_TESTS)
            mutations = [Mutation("given", arguments.file, arguments.old, arguments.new, tests)]
        else:
            mutations = load(arguments.table)
            if unknown := set(arguments.name) - {mutation.name for mutation in mutations}:
                parser.error(f"no mutation named {', '.join(sorted(unknown))}; see --list")
            if arguments.name:
                mutations = [one for one in mutations if one.name in arguments.name]
        if arguments.list:
            print(*(mutation.name for mutation in mutations), sep="\n")
            return 0
        return 0 if check(mutations, arguments.jobs) else 1
    except MutationError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
