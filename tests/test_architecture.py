"""The rooms of the house: which module may import which.

``ROOMS`` is the table. It is read from the source, statically, and imports inside
functions and those for type checkers count like any other.
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
EXTENSIONS = {name: ROOT / "ext" / f"{name}.pyx" for name in ("_framing", "_queues")}

ROOMS: dict[str, set[str]] = {
    # Sans-IO: bytes and events in, bytes and events out.
    "errors": set(),
    "wire": {"errors"},
    "options": {"errors", "wire"},
    "admission": {"options"},
    "log_throttle": set(),
    "backoff": {"options"},
    "liveness": {"options"},
    "control": {"errors", "wire"},
    "diagnosis": {"wire"},
    "_framing_errors": {"errors", "wire"},
    "_framing_py": {"_framing_errors", "errors", "wire"},
    "_framing": {"_framing_errors", "errors", "wire"},
    "framing": {"_framing", "_framing_py", "errors", "wire"},
    "bech32": {"errors"},
    "cipher": {"errors"},
    "disk": {"errors"},
    "keyfile": {"disk", "errors"},
    "keys": {"bech32", "cipher", "errors", "keyfile", "wire"},
    "keylist": {"disk", "errors"},
    "peer": {"keys"},
    "authorized": {"disk", "errors", "keylist", "keys", "peer"},
    "known_servers": {"errors", "keylist", "keys"},
    "handshake": {"cipher", "errors"},
    "credentials": {"cipher", "handshake", "wire"},
    "seal": {
        *("cipher", "control", "credentials", "diagnosis", "errors", "framing", "handshake"),
        "wire",
    },
    "events": {"control", "errors"},
    "window": {"wire"},
    "multiplexer": {"control", "events", "wire"},
    "protocol": {
        *("control", "diagnosis", "errors", "events", "framing", "keys", "multiplexer", "peer"),
        *("seal", "wire"),
    },
    "mode": {
        *("authorized", "cipher", "credentials", "errors", "framing", "identity", "keys"),
        *("known_servers", "options", "peer", "protocol", "seal", "version", "wire"),
    },
    "stats": set(),
    "version": set(),
    # Files on the disk, for threads that may wait.
    "files.digest": {"errors"},
    "files.failures": {"errors", "wire"},
    "files.paths": {"errors", "wire"},
    "files.quota": {"errors", "wire"},
    "files.locking": set(),
    "files.renaming": set(),
    "files.folder": {"files.renaming"},
    "files.partial": {
        *("errors", "wire", "files.digest", "files.failures", "files.folder", "files.locking"),
        "files.quota",
    },
    "files.store": {
        *("errors", "wire", "files.digest", "files.failures", "files.folder", "files.locking"),
        *("files.partial", "files.paths", "files.quota", "files.source"),
    },
    "files.source": {"errors", "files.digest", "files.folder"},
    "files.tree": {"errors", "files.folder", "files.paths"},
    # Files over streams.
    "files.messages": {"errors", "wire", "files.digest", "files.paths"},
    "files.worker": set(),
    "files.progress": set(),
    "files.sending": {
        *("errors", "stream", "wire", "files.digest", "files.messages", "files.paths"),
        *("files.progress", "files.source", "files.tree", "files.worker"),
    },
    "files.receiving": {
        *("errors", "peer", "stream", "wire", "files.digest", "files.messages"),
        *("files.partial", "files.paths", "files.source", "files.store", "files.worker"),
    },
    "files.inbox": {"errors", "files.receiving", "files.store"},
    "files.__init__": {
        *("files.inbox", "files.paths", "files.progress", "files.receiving", "files.tree"),
    },
    # Sockets, asyncio and clocks.
    "identity": {
        *("authorized", "cipher", "credentials", "errors", "keylist", "keys"),
        *("known_servers", "peer", "wire"),
    },
    "addresses": set(),
    "origin": set(),
    "sockets": {"options"},
    "writing": set(),
    "_queues_py": {"wire"},
    "_queues": {"wire"},
    "queues": {"_queues", "_queues_py", "framing"},
    "inbox": {"queues"},
    "outbox": {"queues"},
    "pings": {"errors"},
    "timetable": set(),
    "slots": {"errors"},
    "services": {"errors", "log_throttle", "tasks"},
    "stream": {"errors", "wire"},
    "streams": {
        *("control", "errors", "multiplexer", "options", "services", "slots", "stream", "wire"),
    },
    "requests": {"errors", "multiplexer", "slots", "stream", "streams", "wire"},
    "channels": {"errors", "events", "multiplexer", "requests", "streams", "wire"},
    "link": {
        *("addresses", "channels", "control", "errors", "events", "inbox", "liveness"),
        *("options", "outbox", "pings", "protocol", "services", "sockets", "stats"),
        *("timetable", "window", "wire", "writing"),
    },
    "connection": {
        *("files.progress", "files.sending"),
        *("addresses", "channels", "control", "errors", "link", "peer", "stats", "stream"),
        "wire",
    },
    "broadcasting": {"connection", "errors", "link", "options", "stats"},
    "groups": {"broadcasting", "connection"},
    "disconnect": {"control", "errors", "wire"},
    "hooks": {"connection", "disconnect", "errors", "tasks"},
    "overview": {"connection", "stats"},
    "tasks": set(),
    "handlers": {"connection", "control", "errors", "incidents", "tasks", "wire"},
    "incidents": {"addresses", "errors", "log_throttle", "stats", "wire"},
    "codecs": {"errors"},
    "coded": {"codecs", "connection", "errors", "link", "wire"},
    "withdrawal": {"authorized", "connection", "control", "errors", "keylist", "wire"},
    "endpoint": {"addresses", "errors"},
    "listening": {"addresses", "endpoint", "errors", "options", "sockets"},
    "turnaway": {"writing"},
    "client": {
        "files.receiving",
        *("backoff", "coded", "codecs", "connection", "control", "endpoint", "errors"),
        *("framing", "hooks", "identity", "keys", "link", "mode", "options", "services", "wire"),
    },
    "server": {
        "files.receiving",
        *("addresses", "admission", "broadcasting", "coded", "codecs", "connection", "control"),
        "endpoint",
        *("errors", "framing", "groups", "handlers", "hooks", "identity", "inbox"),
        *("incidents", "keys", "link", "listening", "mode", "options", "origin", "overview"),
        *("seal", "services", "shutdown", "stats", "turnaway", "wire", "withdrawal"),
    },
    "shutdown": set(),
    "metrics": {"errors", "server"},
    # Threads, on top of it all.
    "sync.call": {"errors"},
    "sync.loop_thread": {"connection", "errors", "server", "sync.call"},
    "sync.workers": set(),
    "sync.stream": {"stream", "sync.loop_thread", "wire"},
    "sync.connection": {
        *("addresses", "connection", "errors", "peer", "stats", "stream", "wire"),
        *("files.progress", "sync.loop_thread", "sync.stream", "sync.workers"),
    },
    "sync.twins": {"connection", "sync.connection", "sync.loop_thread"},
    "sync.group": {"connection", "groups", "sync.connection", "sync.twins"},
    "sync.callbacks": {
        *("connection", "disconnect", "errors", "files.inbox", "stream"),
        *("sync.connection", "sync.stream", "sync.twins", "sync.workers"),
    },
    "sync.client": {
        *("client", "codecs", "connection", "errors", "framing", "identity", "keys", "options"),
        *("files.inbox", "sync.callbacks", "sync.connection", "sync.loop_thread", "sync.twins"),
    },
    "sync.server": {
        *("addresses", "codecs", "connection", "errors", "framing", "identity", "keys", "options"),
        *("server", "shutdown", "stats", "sync.callbacks", "sync.connection", "sync.group"),
        *("files.inbox", "sync.loop_thread", "sync.twins", "sync.workers"),
    },
    "sync.__init__": {
        *("sync.client", "sync.connection", "sync.group", "sync.server", "sync.stream"),
    },
}

WITH_IO = {
    *("addresses", "disk", "origin", "sockets", "writing", "inbox", "outbox", "pings", "link"),
    *("connection", "endpoint", "listening", "turnaway", "client", "server", "identity"),
    *("_queues", "_queues_py", "queues", "timetable", "withdrawal", "coded"),
    *("files.folder", "files.locking", "files.partial", "files.renaming", "files.source"),
    *("files.store", "files.tree", "files.worker", "files.sending", "files.receiving"),
    "files.inbox",
    *("overview", "broadcasting", "groups", "handlers", "hooks", "incidents", "tasks"),
    *("channels", "requests", "services", "slots", "stream", "streams"),
    *("metrics", "overview", "broadcasting", "groups", "handlers", "hooks", "incidents", "tasks"),
    *(name for name in ROOMS if name.startswith("sync.")),
}
SANS_IO = ROOMS.keys() - WITH_IO
"""The rooms that know no asyncio, no sockets and no clock they were not handed."""

NOT_SANS_IO = {"asyncio", "selectors", "socket", "ssl", "time", "uvloop"}

THIRD_PARTY = {
    "blake3": {"files"},
    "cryptography": {"cipher"},
    "filelock": {"keylist"},
    "click": {"cli"},
    "rich": {"cli"},
    "xkcdpass": {"cli"},
    "prometheus_client": {"cli", "metrics"},
    "uvloop": {"cli"},
    "msgspec": {"codecs"},
    "typing_extensions": {"_framing_py", "connection", "framing"},  # for type checkers alone
}
"""Packages that are not in the standard library, and the rooms that may import them."""

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
ROOMS_ON_DISK = {name: path for name, path in MODULES.items() if name.partition(".")[0] != "cli"}


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


def room(module: str) -> str:
    """Return the room of a module: rooms are modules, but all of ``cli`` is one."""
    for name in (module, f"{module}.__init__"):
        if name in ROOMS:
            return name
    return module.partition(".")[0]


def internal(name: str) -> set[str]:
    """Return the rooms that a module imports; the package itself is called ``sealframe``."""
    found = set()
    for imported in imports(name, MODULES[name]):
        top, _, rest = imported.partition(".")
        if top == "sealframe":
            found.add(room(rest) or "sealframe")
    return found


def external(name: str) -> set[str]:
    """Return the top-level names of all other modules that a module imports."""
    return {imported.partition(".")[0] for imported in imports(name, MODULES[name])} - {"sealframe"}


def test_the_table_has_no_cycle() -> None:
    TopologicalSorter(ROOMS).prepare()


def test_the_table_names_only_rooms_that_exist() -> None:
    assert ROOMS.keys() - MODULES.keys() == set()


@pytest.mark.parametrize("name", sorted(ROOMS_ON_DISK.keys() - {"__init__", "__main__"}))
def test_a_room_imports_only_what_the_table_allows(name: str) -> None:
    assert name in ROOMS, (
        f"{name} is a new room: add it to ROOMS in tests/test_architecture.py, "
        "with the rooms it may import"
    )
    assert internal(name) <= ROOMS[name]


def test_the_package_and_its_rooms_do_without_the_command_line() -> None:
    assert "cli" not in internal("__init__")


def test_the_command_line_uses_the_public_api_only() -> None:
    commands = [name for name in MODULES if name.partition(".")[0] == "cli"]
    assert commands
    for name in commands:
        assert internal(name) <= {"sealframe", "cli", "metrics"}, name


@pytest.mark.parametrize("name", sorted(SANS_IO))
def test_a_sans_io_room_knows_no_loop_no_socket_and_no_clock(name: str) -> None:
    assert external(name) & NOT_SANS_IO == set()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_other_packages_are_imported_only_where_they_belong(name: str) -> None:
    ours = {"cpython", "cython", "libc"} if name in EXTENSIONS else set()
    for package in external(name) - sys.stdlib_module_names - ours:
        assert name.partition(".")[0] in THIRD_PARTY.get(package, set()), (
            f"{name} imports {package}"
        )
