"""The layers of the house: which package may import which.

``LAYERS`` is the table, from the bottom to the top. Imports are read from the source, statically;
those inside functions and those for type checkers count like any other.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "sealframe"
EXTENSIONS = {
    "framing._codec": ROOT / "ext" / "_codec.pyx",
    "aio._queues": ROOT / "ext" / "_queues.pyx",
}

BASE = {"errors", "options", "version"}
"""Every exception, every limit, the version: for everybody above them."""

LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "wire": BASE | {"framing"},
    "framing": BASE | {"wire"},
    "options": {"errors", "wire", "framing"},
    "codecs": BASE,
    "noise": BASE | {"framing", "wire"},
    "core": BASE | {"framing", "wire", "noise", "trust"},
    "trust": BASE | {"wire", "noise"},
    "aio": BASE | {"codecs", "framing", "wire", "noise", "core", "trust", "files"},
    "files": BASE | {"wire", "trust", "aio"},
    "server": BASE | {"codecs", "framing", "wire", "noise", "core", "trust", "aio", "files"},
    "client": BASE | {"codecs", "framing", "wire", "core", "trust", "aio", "files"},
    "metrics": {"errors", "server"},
    "sync": BASE | {"codecs", "framing", "wire", "trust", "aio", "files", "server", "client"},
    "cli": {"sealframe", "metrics"},
}

SANS_IO = {"errors", "options", "version", "codecs", "framing", "wire", "noise", "core"}
"""They know no asyncio, no socket, no file and no clock they were not handed."""

NOT_SANS_IO = {"asyncio", "selectors", "socket", "ssl", "time", "uvloop"}

THIRD_PARTY = {
    "blake3": {"files"},
    "cryptography": {"noise.cipher"},
    "filelock": {"trust.keylist"},
    "click": {"cli"},
    "rich": {"cli"},
    "xkcdpass": {"cli"},
    "prometheus_client": {"cli", "metrics"},
    "uvloop": {"cli"},
    "msgspec": {"codecs"},
    # For type checkers alone.
    "typing_extensions": {"framing", "aio.connection"},
}
"""Packages that are not in the standard library, and where they may be imported."""

IMPORT = re.compile(
    r"^[ \t]*(from[ \t]+[\w.]+[ \t]+c?import[ \t]+(?:\([^)]*\)|[^\n#]+)|c?import[ \t]+[^\n#]+)",
    re.MULTILINE,
)


def sources() -> dict[str, Path]:
    """Return every module of the package: its dotted name below ``sealframe``, and its file."""
    found = dict(EXTENSIONS)
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts)] = path
    return found


MODULES = sources()


def imports(name: str, path: Path) -> Iterator[str]:
    """Yield the full name of every module that a module imports."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        text = "\n".join(match[1].replace("cimport", "import") for match in IMPORT.finditer(text))
    package = ["sealframe", *name.split(".")[:-1]]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix("sealframe.")
                is_module = inner in MODULES or f"{inner}.__init__" in MODULES
                yield f"{base}.{alias.name}" if is_module else base


def layer(module: str) -> str:
    """Return the layer of a module: the first part of its name below ``sealframe``."""
    return module.partition(".")[0]


def internal(name: str) -> set[str]:
    """Return the layers that a module imports; the package itself is called ``sealframe``."""
    found = set()
    for imported in imports(name, MODULES[name]):
        top, _, rest = imported.partition(".")
        if top == "sealframe":
            found.add(layer(rest) or "sealframe")
    return found


def external(name: str) -> set[str]:
    """Return the top-level names of all other modules that a module imports."""
    return {imported.partition(".")[0] for imported in imports(name, MODULES[name])} - {"sealframe"}


def test_the_table_names_every_layer_and_no_other() -> None:
    assert {layer(name) for name in MODULES} - {"__init__", "__main__"} == LAYERS.keys()


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"__init__", "__main__"}))
def test_a_module_imports_only_what_its_layer_may(name: str) -> None:
    assert internal(name) - {layer(name)} <= LAYERS[layer(name)]


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {
        name: {
            found
            for imported in imports(name, path)
            for found in (imported.removeprefix("sealframe."),)
            if found in MODULES
        }
        for name, path in MODULES.items()
    }
    TopologicalSorter(graph).prepare()


def test_the_package_does_without_the_command_line() -> None:
    assert "cli" not in internal("__init__")


@pytest.mark.parametrize("name", sorted(name for name in MODULES if layer(name) in SANS_IO))
def test_a_sans_io_module_knows_no_loop_no_socket_and_no_clock(name: str) -> None:
    assert external(name) & NOT_SANS_IO == set()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_other_packages_are_imported_only_where_they_belong(name: str) -> None:
    ours = {"cpython", "cython", "libc"} if name in EXTENSIONS else set()
    for package in external(name) - sys.stdlib_module_names - ours:
        allowed = THIRD_PARTY.get(package, set())
        assert name in allowed or layer(name) in allowed, f"{name} imports {package}"
