"""Runs the compiled backends under AddressSanitizer, UBSan and valgrind; fails on any report.

Usage: python .ci/sanitizers.py FOLDER

The extensions are built twice into FOLDER, with the sanitizers and without. Under the first
tests/framing and tests/aio/queues run; under valgrind what EXERCISES names,
and every error whose stack has a frame of an extension counts: bad reads and writes, use of what
was never set, and memory that is lost. What cannot be done here is named, and is no failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
SANITIZE = "-fsanitize=address,undefined"
FLAGS = f"{SANITIZE} -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1"
MODULES = ("_codec.", "_varied.", "_queues.", "_fast_path.", "_record_cipher.")
EXERCISES = ("exercise_framing.py", "exercise_varied.py", "exercise_queues.py")
TESTS = (
    "tests/framing",
    "tests/aio/queues",
    "--ignore=tests/framing/inference",
    "-k",
    "not python and not selection and not no_leak",
)
"""Of both backends' tests those of the compiled one; which of the two is taken needs no tool, and
what AddressSanitizer keeps back after it was freed looks like a leak. To guess a layout is Python,
which cuts streams with what the other tests go through."""
SKIPPED = None
"""In place of a verdict where something is missing."""


def report(name: str, text: str) -> None:
    """Print what one of the tools had to say."""
    print(*(f"{name}: {line}" for line in text.splitlines()), sep="\n", flush=True)


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder; its two outputs are one."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build the package with its extensions into ``folder/lib``."""
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the sources it would be shared with whatever else is built there meanwhile.
    command = [sys.executable, "setup.py", "--quiet", "egg_info", "--egg-base", str(folder)]
    command += ["build", "--force"]
    command += ["--build-base", str(folder / "build"), "--build-lib", str(folder / "lib")]
    return run(command, SEALFRAME_EXTENSION="yes", **environment)


def compiler_library(name: str) -> str | None:
    """Return the path of one of the compiler's own libraries, if it has it."""
    found = run(["cc", f"-print-file-name={name}"]).stdout.strip()
    return found if Path(found).is_absolute() and Path(found).exists() else None


def can_sanitize() -> bool:
    """Return whether the compiler makes programs with the sanitizers that run."""
    if shutil.which("cc") is None:
        return False
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch, "empty")
        source = program.with_suffix(".c")
        source.write_text("int main(void) { return 0; }\n", encoding="ascii")
        made = run(["cc", SANITIZE, "-o", str(program), str(source)])
        return made.returncode == 0 and run([str(program)]).returncode == 0


def sanitizers(folder: Path) -> bool | None:
    """Run the tests on extensions that check each access themselves."""
    name = "AddressSanitizer and UBSan"
    runtime = compiler_library("libasan.so") if can_sanitize() else None
    if runtime is None:
        report(name, "skipped: the compiler here does not have them")
        return SKIPPED
    built = build(folder, CFLAGS=FLAGS, LDFLAGS=SANITIZE)
    if built.returncode:
        report(name, built.stdout)
        return False
    # With --capture=sys the sanitizers' own reports are not swallowed by pytest.
    # A leak that the interpreter makes at its end is none of ours; valgrind sees those of ours.
    tested = run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--capture=sys", *TESTS],
        ASAN_OPTIONS="detect_leaks=0:abort_on_error=0:exitcode=99",
        LD_PRELOAD=runtime,
        PYTHONMALLOC="malloc",
        PYTHONPATH=str(folder / "lib"),
        SEALFRAME_EXAMPLES="20",
        SEALFRAME_EXTENSION="yes",
        UBSAN_OPTIONS="print_stacktrace=1",
    )
    lines = tested.stdout.splitlines()
    found = [line for line in lines if "AddressSanitizer" in line or "runtime error:" in line]
    if tested.returncode or found:
        report(name, tested.stdout[-20_000:])
        return False
    report(name, lines[-1])
    return True


def valgrind(folder: Path) -> bool | None:
    """Exercise the extensions in a machine that knows which bytes were allocated and set."""
    if shutil.which("valgrind") is None:
        report("valgrind", "skipped: it is not installed")
        return SKIPPED
    built = build(folder, CFLAGS="-g -O1")
    if built.returncode:
        report("valgrind", built.stdout)
        return False
    return all(exercise(folder, name) for name in EXERCISES)


def exercise(folder: Path, name: str) -> bool:
    """Run one of the exercises under valgrind; return whether no error is ours."""
    errors = folder / f"{name}.xml"
    exercised = run(
        [
            "valgrind",
            "--leak-check=full",
            "--show-leak-kinds=definite",
            "--num-callers=40",
            "--xml=yes",
            f"--xml-file={errors}",
            sys.executable,
            str(ROOT / ".ci" / name),
        ],
        PYTHONMALLOC="malloc",
        PYTHONPATH=str(folder / "lib"),
        SEALFRAME_EXTENSION="yes",
    )
    if exercised.returncode:
        report("valgrind", exercised.stdout)
        return False
    all_found = ElementTree.parse(errors).getroot().findall("error")
    ours = [error for error in all_found if concerns_us(error)]
    for error in ours:
        report("valgrind", describe(error))
    report("valgrind", f"{exercised.stdout.splitlines()[-1]}; {len(ours)} errors in it")
    return not ours


def concerns_us(error: ElementTree.Element) -> bool:
    """Return whether an extension is in the stack of an error."""
    return any(
        Path(frame.findtext("obj", "")).name.startswith(MODULES) for frame in error.iter("frame")
    )


def describe(error: ElementTree.Element) -> str:
    """Return an error and where it happened as text."""
    what = error.findtext("what") or error.findtext("xwhat/text") or error.findtext("kind") or "?"
    places = [
        f"    {frame.findtext('fn', '?')} "
        f"({frame.findtext('file', '?')}:{frame.findtext('line', '?')})"
        for frame in error.iter("frame")
    ]
    return "\n".join([what, *places[:12]])


def main(folder: str) -> int:
    """Run both at once; return the exit status."""
    with ThreadPoolExecutor() as pool:
        verdicts = list(
            pool.map(
                lambda tool: tool(Path(folder, tool.__name__).absolute()), (sanitizers, valgrind)
            )
        )
    return 1 if False in verdicts else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
