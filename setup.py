"""Builds the C backends, the pyx files in ext/; all else stands in pyproject.toml.

Two environment variables of its own are read:

``SEALFRAME_EXTENSION``
    ``auto`` (the default) compiles ``sealframe.framing._codec`` and the others below if it
    can, and goes on without any of them, with a warning, if it cannot. ``yes`` makes a
    failed compilation fail the build. ``no`` does not compile.

``SEALFRAME_COVERAGE``
    ``1`` compiles with line tracing, so that coverage sees the lines of the pyx.
    Slow: for measuring coverage only.

With ``SOURCE_DATE_EPOCH``, the date of the commit in seconds, two builds of one commit are the
same to the byte: https://reproducible-builds.org/specs/source-date-epoch/
"""

from __future__ import annotations

import gzip
import logging
import os
import re
import tarfile
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist
from setuptools.errors import BaseError, CCompilerError

log = logging.getLogger("sealframe.setup")


def choose(name: str, *allowed: str) -> str:
    """Return the environment variable ``name``, or the first of ``allowed`` if it is not set."""
    value = os.environ.get(name) or allowed[0]
    if value not in allowed:
        raise SystemExit(f"{name}={value!r} is not possible; it can be {', '.join(allowed)}")
    return value


MODE = choose("SEALFRAME_EXTENSION", "auto", "yes", "no")
TRACED = choose("SEALFRAME_COVERAGE", "0", "1") == "1"


class BuildExtension(build_ext):
    """Compiles, and in ``auto`` mode goes on without what would not compile."""

    def initialize_options(self) -> None:
        super().initialize_options()
        # Beside the pyx, the C file would be shared by builds that differ; but that is
        # where the coverage plugin looks for it.
        self.cython_c_in_temp = not TRACED
        if TRACED:
            self.cython_directives = {"linetrace": True}
            self.force = True

    def build_extension(self, ext: Extension) -> None:
        if not self.distribution.ext_modules:
            return  # one before it did not compile
        try:
            super().build_extension(ext)
        except (BaseError, CCompilerError) as error:
            if not ext.optional:
                raise
            log.warning(
                "WARNING: %s was not compiled (%s); sealframe will run as pure Python, which is "
                "slower. SEALFRAME_EXTENSION=yes makes this an error, SEALFRAME_EXTENSION=no "
                "skips the attempt.",
                ext.name,
                error,
            )
            # All or none; and an earlier build may have left one: the wheel would carry it.
            for each in self.extensions:
                Path(self.get_ext_fullpath(each.name)).unlink(missing_ok=True)
            self.distribution.ext_modules = []


class BuildWheel(bdist_wheel):
    """Compiles before the wheel is named: one without an extension is ``py3-none-any``."""

    def run(self) -> None:
        # What may be read by whom is in the wheel, and not to be a matter of who builds it.
        os.umask(0o022)
        if not self.skip_build:
            self.run_command("build")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()


class PackSource(sdist):
    """Packs what git knows of the files, and nothing of who has checked them out and when."""

    def make_archive(self, *arguments: Any, **options: Any) -> str:
        path = super().make_archive(*arguments, **options)
        if path.endswith(".tar.gz"):
            pack_anew(Path(path))
        return path


def pack_anew(path: Path) -> None:
    """Pack a tar.gz once more, the same wherever and whenever that is done.

    Without ``SOURCE_DATE_EPOCH`` the files keep their dates.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        executable = member.isdir() or member.mode & 0o100
        member.mode = 0o755 if executable else 0o644
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        # Whole seconds: fractions need headers of their own.
        member.mtime = int(member.mtime if epoch is None else epoch)
        member.pax_headers = {}
        return member

    packed = path.with_suffix(".new")
    with (
        tarfile.open(path) as before,
        packed.open("wb") as file,
        # Neither the name of the file nor a date stands in its head.
        gzip.GzipFile("", "wb", mtime=0, fileobj=file) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as after,
    ):
        for member in sorted(before.getmembers(), key=lambda each: each.name):
            after.addfile(plain(member), before.extractfile(member) if member.isfile() else None)
    packed.replace(path)


def parts(name: str) -> list[str]:
    """Return the files that the source of an extension includes."""
    source = Path("ext", f"{name.rpartition('.')[2]}.pyx").read_text(encoding="utf-8")
    return [f"ext/{part}" for part in re.findall(r'^include "(.+)"$', source, re.MULTILINE)]


def extensions() -> list[Extension]:
    """Return what is to be compiled: all extensions, or nothing."""
    if MODE == "no":
        return []
    macros: list[tuple[str, str | None]] = []
    if TRACED:
        macros = [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
    return [
        Extension(
            name,
            [f"ext/{name.rpartition('.')[2]}.pyx"],
            define_macros=macros,
            depends=parts(name),
            optional=MODE == "auto",
        )
        for name in (
            "sealframe.framing._codec",
            "sealframe.framing._varied",
            "sealframe.aio._queues",
            "sealframe.aio._fast_path",
            "sealframe.noise._record_cipher",
        )
    ]


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildExtension, "bdist_wheel": BuildWheel, "sdist": PackSource},
)
