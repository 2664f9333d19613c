"""What goes wrong is told in one line, with an exit code that says of which kind it is."""

from __future__ import annotations

import ast
import platform
import re
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import sealframe
from sealframe import Connection, SharedKey
from sealframe.cli.errors import _TYPED

from .commands import invoked, outcome, relay


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        for command in (["send", "hello", address], ["chat", address]):
            done = invoked(*command)
            assert (done.code, done.output) == (1, "")
            assert done.error.startswith(f"cannot connect to {address}: ")
            assert done.error.endswith("is the server running there?")


def test_no_such_socket(tmp_path: Path) -> None:
    done = invoked("send", "hello", tmp_path / "none")
    assert done.code == 1
    assert f"cannot connect to {tmp_path / 'none'}" in done.error


@pytest.mark.parametrize("host", ["host..name", "a" * 64, "\udcff"])
def test_no_such_host(host: str) -> None:
    done = invoked("send", "hello", f"{host}:1")
    assert done.code == 1
    assert "this is no host name" in done.error


async def test_a_port_in_use() -> None:
    async with relay("127.0.0.1:0") as server:
        done = await outcome("serve", server.address)
        assert (done.code, done.output) == (1, "")
        assert f"cannot listen on {server.address}" in done.error
        assert "choose another" in done.error


def test_an_address_of_another_machine() -> None:
    done = invoked("serve", "192.0.2.77:0")
    assert done.code == 1
    assert "choose an address of this machine" in done.error


async def test_another_key(key_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    SharedKey.generate().save(other)
    async with relay("127.0.0.1:0", "--key", key_file) as server:
        for command in (["send", "hello", server.address], ["chat", server.address]):
            done = await outcome(*command, "--key", other)
            assert (done.code, done.output) == (3, "")
            assert "check the key" in done.error
            assert "another key" in await server.program.error_line()


async def test_sealed_to_plain(key_file: Path) -> None:
    async with relay("127.0.0.1:0") as server:
        done = await outcome("send", "hello", server.address, "--key", key_file)
        assert done.code == 1
        assert "not sealed" in done.error


def test_what_is_said_in_other_words_is_said_by_the_library() -> None:
    """A sentence of the library that changes must not slip through with a program's words."""
    package = Path(sealframe.__file__).parent
    said = {
        node.value
        for path in package.rglob("*.py")
        if "cli" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert [given for given in _TYPED if not any(given in text for text in said)] == []


@pytest.mark.parametrize("command", ["send", "send --file", "chat", "send-file"])
async def test_plain_to_sealed_names_the_key(command: str, key_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(200_000))
    async with relay("127.0.0.1:0", "--key", key_file) as server:
        arguments: dict[str, list[object]] = {
            "send": ["send", "hello", server.address],
            "send --file": ["send", server.address, "--file", file],
            "chat": ["chat", server.address],
            "send-file": ["send-file", file, server.address],
        }
        done = await outcome(*arguments[command], typed=b"hello\n")
        assert (done.code, done.output) == (3, "")
        assert done.errors.splitlines()[-1] == (
            "sealframe: the server is sealed and this client is not: "
            "give it the key (--key or --identity)"
        )
        assert done.errors.count("give it the key") == 1
        assert "sealed server: give it the key" in await server.program.error_line()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["send", "hi", "127.0.0.1"], "write HOST:PORT"),
        (["send", "hi", "127.0.0.1:x"], "is not a port"),
        (["send", "hi", "127.0.0.1:65536"], "is not a port"),
        (["send", "hi", "127.0.0.1:0"], "port 0"),
        (["send", "127.0.0.1:1", "hi"], "ADDRESS is the last argument"),
        (["send", "oh", "hi", "127.0.0.1:1"], "give one MESSAGE, in quotes"),
        (["chat", "::1:1234"], "[::1]:1234"),
        (["chat", "[::1]"], "write [::1]:PORT"),
        (["send", "hi", ""], "an address is empty: write HOST:PORT"),
        (["send", "hi", "127.0.0.1:1,"], "an address is empty: write HOST:PORT"),
        (["send", "hi", "tcp://127.0.0.1:1"], "is a URL: write HOST:PORT alone"),
        (["serve", "unix:/run/relay.sock"], "without unix: in front"),
        (["cluster"], "Missing command"),
        (["send", "127.0.0.1:1"], "give either a MESSAGE"),
        (["send", "hi", "127.0.0.1:1", "--lines"], "give either a MESSAGE"),
        (["send", "127.0.0.1:1", "--file", "/none/at/all"], "/none/at/all"),
        (["send", "hi", "127.0.0.1:1", "--wait", "-1"], "--wait"),
        (["serve", "--what"], "--what"),
        (["sing"], "sing"),
    ],
)
def test_wrong_arguments(arguments: list[str], text: str) -> None:
    done = invoked(*arguments)
    assert (done.code, done.output) == (2, "")
    assert text in done.error
    assert "--help" in done.error


async def test_no_arguments_show_the_help() -> None:
    done = await outcome()
    assert done.code == 2
    assert "Exit codes:" in done.output


@pytest.mark.parametrize("command", ["keygen", "public", "serve", "chat", "send", "demo"])
def test_help_names_the_exit_codes(command: str) -> None:
    done = invoked(command, "--help")
    assert (done.code, done.errors) == (0, "")
    assert "130  ended by Ctrl-C" in done.output


@pytest.mark.parametrize("command", ["keygen", "public", "serve", "chat", "send", "send-file"])
def test_help_speaks_no_class_names(command: str) -> None:
    """A renamed class must not rename a word of the help with it."""
    done = invoked(command, "--help")
    assert not re.findall(r"\b[A-Z][a-z]+[A-Z][a-z]\w+", done.output)


async def test_version() -> None:
    done = await outcome("--version")
    first, codec, python, cryptography, loop = done.output.splitlines()
    assert done.code == 0
    assert first == f"sealframe {sealframe.__version__}"
    compiled = {"c": "compiled", "python": "not compiled"}[sealframe.IMPLEMENTATION]
    assert codec == f"codec: {sealframe.IMPLEMENTATION}, {compiled}"
    assert python.endswith(f" {platform.python_version()}")
    assert cryptography == f"cryptography: {version('cryptography')}"
    assert loop in ("event loop: asyncio", f"event loop: uvloop {uvloop_version()}")


def uvloop_version() -> str | None:
    try:
        return version("uvloop")
    except PackageNotFoundError:
        return None


def without(package: str) -> tuple[str, ...]:
    """Return the command for a Python in which a package cannot be imported."""
    program = f"import sys; sys.modules[{package!r}] = None; import sealframe.cli as c; c.main()"
    return (sys.executable, "-W", "error", "-c", program)


@pytest.mark.parametrize(
    ("missing", "words"), [("click", ["serve"]), ("rich", ["-v", "demo"]), ("rich", [])]
)
async def test_without_the_extra(missing: str, words: list[str]) -> None:
    done = await outcome(*words, command=without(missing))
    assert (done.code, done.output) == (1, "")
    # Who has run it without installing it, by its bare name, needs another line.
    assert done.error == (
        f'the commands need {missing}; from a clone run: pip install ".[cli]", or without '
        'installing it: uvx --from ".[cli]" sealframe demo, '
        'or: pipx run --spec ".[cli]" sealframe demo'
    )


@pytest.mark.parametrize("word", ["--help", "-v"])
async def test_without_the_extra_the_demo_takes_no_options(word: str) -> None:
    done = await outcome("demo", word, command=without("click"))
    assert (done.code, done.output) == (2, "")
    assert done.error == "without the extra cli, demo takes no options"


async def test_without_cryptography(key_file: Path) -> None:
    done = await outcome("serve", "127.0.0.1:0", "--key", key_file, command=without("cryptography"))
    assert (done.code, done.output) == (1, "")
    assert "sealframe[crypto]" in done.error


async def test_without_uvloop() -> None:
    async with relay("127.0.0.1:0", command=without("uvloop")) as server:
        done = await outcome("send", "hello", server.address, command=without("uvloop"))
        assert (done.code, done.output, done.errors) == (0, "", "")
        await server.program.lines_until(": hello")


async def test_an_http_client_is_named_in_one_line() -> None:
    async with relay("127.0.0.1:0") as server:
        host, _, port = server.address.rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert "HTTP client" in await server.program.error_line()


async def test_an_error_of_the_file_itself(tmp_path: Path) -> None:
    async def ignore(conn: Connection) -> None:
        await conn.recv()

    async with sealframe.serve(ignore, "127.0.0.1", 0) as server:
        done = await outcome("send", f":{server.port}", "--file", tmp_path)
    assert done.code == 2
    assert str(tmp_path) in done.error
