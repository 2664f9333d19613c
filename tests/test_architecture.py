"""The layers of the house: which package may import which.

``LAYERS`` is the table, from the bottom to the top. Imports are read from the source, statically;
those inside functions and those for type checkers count like any other.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "sealframe"
EXTENSIONS = {
    "framing._codec": ROOT / "ext" / "_codec.pyx",
    "framing._varied": ROOT / "ext" / "_varied.pyx",
    "aio._queues": ROOT / "ext" / "_queues.pyx",
    "aio._fast_path": ROOT / "ext" / "_fast_path.pyx",
    "noise._record_cipher": ROOT / "ext" / "_record_cipher.pyx",
}

BASE = {"buffers", "errors", "options", "version"}
"""Bytes-like objects, every exception, every limit, the version: for everybody above them."""

LAYERS: dict[str, set[str]] = {
    "buffers": set(),
    "errors": set(),
    "version": set(),
    "framing": {"errors"},
    "wire": {"errors", "framing"},
    "options": {"errors", "wire", "framing"},
    "codecs": BASE,
    "noise": BASE | {"framing", "wire"},
    "core": BASE | {"framing", "wire", "noise"},
    "trust": BASE | {"wire", "noise"},
    "aio": BASE | {"codecs", "framing", "wire", "noise", "core", "trust"},
    "files": BASE | {"wire", "trust", "aio"},
    "outbox": {"buffers", "errors", "wire", "trust", "files"},
    "server": BASE | {"codecs", "framing", "wire", "noise", "core", "trust", "aio", "files"},
    "cluster": BASE | {"codecs", "framing", "wire", "trust", "aio", "server"},
    "client": BASE | {"codecs", "framing", "wire", "core", "trust", "aio", "files", "outbox"},
    "metrics": {"errors", "server"},
    "dashboard": {"errors", "version", "aio", "server"},
    "srv": {"errors"},
    "sync": BASE
    | {"codecs", "framing", "wire", "trust", "aio", "files", "outbox", "server", "client"},
    "cli": {
        *("sealframe", "version", "framing", "wire", "noise", "metrics", "dashboard", "cluster"),
        "srv",
    },
}

SANS_IO = {"buffers", "errors", "options", "version", "codecs", "framing", "wire", "noise", "core"}
"""These, and all modules that they import, know no event loop, no socket, no file and no clock
that they were not handed."""

SANS_IO_IN_CLUSTER = {
    *("announcing", "chunks", "directory", "events", "liveness", "messages", "names", "numbers"),
    *("presence", "remote", "roster"),
}
"""What servers of a cluster say to each other, and what follows from it: sans-IO in a package that
as a whole is not. These import each other and framing alone."""

IO = {
    *("asyncio", "concurrent", "multiprocessing", "selectors", "signal", "subprocess", "uvloop"),
    *("select", "socket", "ssl"),
    *("fcntl", "filelock", "io", "mmap", "os", "pathlib", "shutil", "tempfile"),
    *("datetime", "sched", "time"),
}
"""Loops and processes, sockets, files, clocks."""

IO_ALLOWED = {"framing.backend": {"os"}}
"""``os.environ``, read once when it is imported, chooses the backend."""

THIRD_PARTY = {
    "blake3": {"files"},
    "cryptography": {"noise.cipher", "noise.kem"},
    "filelock": {"trust.keylist"},
    "click": {"cli"},
    "rich": {"cli"},
    "xkcdpass": {"cli"},
    "dpkt": {"cli.captures.packets"},
    "pcapng": {"cli.captures.packets", "cli.decryption.writing"},
    "prometheus_client": {"cli", "metrics"},
    "aiohttp": {"dashboard.web", "dashboard.serving"},
    "uvloop": {"cli"},
    "msgspec": {"codecs"},
    "nats": {"cluster.nats_client", "cluster.nats_stream"},
    "dns": {"srv"},
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

INCLUDE = re.compile(r'^include "(\w+\.pxi)"$', re.MULTILINE)


def imports(name: str, path: Path) -> Iterator[str]:
    """Yield the full name of every module that a module imports."""
    text = path.read_text(encoding="utf-8")
    text = INCLUDE.sub(lambda part: (path.parent / part[1]).read_text(encoding="utf-8"), text)
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


def modules_imported(name: str) -> set[str]:
    """Return the modules that a module imports, and the packages that they are in."""
    found: set[str] = set()
    for imported in imports(name, MODULES[name]):
        package = imported.removeprefix("sealframe.")
        found |= {package, f"{package}.__init__", f"{layer(package)}.__init__"}
    return found & MODULES.keys()


def closure(names: Iterable[str]) -> set[str]:
    """Return these modules, what they import, what that imports, and so on."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        found |= waiting
        waiting = {other for name in waiting for other in modules_imported(name)} - found
    return found


def external(name: str) -> set[str]:
    """Return the top-level names of all other modules that a module imports."""
    return {imported.partition(".")[0] for imported in imports(name, MODULES[name])} - {"sealframe"}


def test_the_table_names_every_layer_and_no_other() -> None:
    assert {layer(name) for name in MODULES} - {"__init__", "__main__"} == LAYERS.keys()


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"__init__", "__main__"}))
def test_a_module_imports_only_what_its_layer_may(name: str) -> None:
    assert internal(name) - {layer(name)} <= LAYERS[layer(name)]


def test_layers_form_no_circle() -> None:
    above = {name: {other for other in below if other in LAYERS} for name, below in LAYERS.items()}
    TopologicalSorter(above).prepare()


def test_the_package_does_without_the_command_line() -> None:
    assert "cli" not in internal("__init__")


@pytest.mark.parametrize("name", sorted(closure(n for n in MODULES if layer(n) in SANS_IO)))
def test_sans_io_holds_through_imports(name: str) -> None:
    assert external(name) & IO <= IO_ALLOWED.get(name, set())


@pytest.mark.parametrize("name", sorted(SANS_IO_IN_CLUSTER))
def test_the_protocol_between_servers_is_sans_io(name: str) -> None:
    module = f"cluster.{name}"
    assert not external(module) & IO
    for imported in imports(module, MODULES[module]):
        package, _, inner = imported.removeprefix("sealframe.").partition(".")
        if imported.startswith("sealframe."):
            assert package in BASE | {"framing"} or inner in SANS_IO_IN_CLUSTER


@pytest.mark.parametrize("name", sorted(MODULES))
def test_other_packages_are_imported_only_where_they_belong(name: str) -> None:
    ours = {"cpython", "cython", "libc"} if name in EXTENSIONS else set()
    for package in external(name) - sys.stdlib_module_names - ours:
        allowed = THIRD_PARTY.get(package, set())
        assert name in allowed or layer(name) in allowed, f"{name} imports {package}"
