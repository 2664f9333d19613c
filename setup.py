"""Builds the C backends, the pyx files in ext/; all else stands in pyproject.toml.

Two environment variables are read:

``SEALFRAME_EXTENSION``
    ``auto`` (the default) compiles ``sealframe.framing._codec`` and the others below if it
    can, and goes on without any of them, with a warning, if it cannot. ``yes`` makes a
    failed compilation fail the build. ``no`` does not compile.

``SEALFRAME_COVERAGE``
    ``1`` compiles with line tracing, so that coverage sees the lines of the pyx.
    Slow: for measuring coverage only.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
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
        if not self.skip_build:
            self.run_command("build")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()


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
    cmdclass={"build_ext": BuildExtension, "bdist_wheel": BuildWheel},
)
