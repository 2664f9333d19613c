"""``sealframe receive`` and ``sealframe send-file``, as processes of their own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aio.cutting import CuttingProxy, Fault, Plan, always

import sealframe
from sealframe import SharedKey
from sealframe.files import Offer

from .commands import PATIENCE, Program, invoked, outcome, running
from .terminal import Terminal, on_terminal

MIB = 1 << 20
OLD, NEW = ".a.0123456789abcdef.part", ".b.0123456789abcdef.part"

UMASK = os.umask(0o022)
os.umask(UMASK)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
needs_terminal = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no pseudo-terminals"
)


@dataclass(frozen=True)
class Receiver:
    program: Program
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@asynccontextmanager
async def receiving(
    directory: Path, *options: object, address: str = "127.0.0.1:0"
) -> AsyncIterator[Receiver]:
    """Run ``sealframe receive``."""
    async with running("receive", directory, address, *options) as program:
        listening = (await program.lines_until("files for "))[-1].split()[-1]
        await program.lines_until("Ctrl-C ends it.")
        yield Receiver(program, listening)


def cutting(receiver: Receiver, after: int, fault: Fault = Fault.FIN) -> CuttingProxy:
    """Return a proxy that cuts each connection after so many bytes of its sender."""
    return CuttingProxy(receiver.port, plans=always(Plan(fault, after=after)))


def digests(root: Path) -> dict[str, str | None]:
    """Return what is in a directory, each file by its hash."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else None
        for path in sorted(root.rglob("*"))
    }


def partial(directory: Path) -> int:
    """Return how much of a file is there that is not whole."""
    found = list(directory.rglob(".*.part"))
    assert len(found) <= 1
    return found[0].stat().st_size if found else 0


async def until_begun(directory: Path) -> None:
    """Wait until some of a file is there."""
    async with asyncio.timeout(PATIENCE):
        while not partial(directory):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.001)


class Mute:
    """Stands between the ends; the receiver's DONE never passes the first connection."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._first: list[asyncio.StreamWriter] = []
        self._held = False

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[Mute]:
        """Listen meanwhile."""
        async with await asyncio.start_server(self._carry, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self

    def cut(self) -> None:
        """End the first connection."""
        for writer in self._first:
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._target)
        first = not self._first
        if first:
            self._first = [writer, back_writer]

        async def pass_on(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, muted: bool
        ) -> None:
            while data := await source.read(65536):
                # The file is on its way once that many bytes went to the receiver.
                self._held = self._held or (not muted and len(data) > 1000)
                if not (muted and self._held):
                    sink.write(data)
            sink.close()

        await asyncio.gather(
            pass_on(reader, back_writer, muted=False),
            pass_on(back_reader, writer, muted=first),
            return_exceptions=True,
        )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "nothing").mkdir()
    (root / "big").write_bytes(os.urandom(3 * MIB + 17))
    (root / "empty").write_bytes(b"")
    (root / "deep" / "er" / "größe [red] 数").write_bytes(b"x")
    for number in range(20):
        (root / "deep" / f"{number}").write_bytes(os.urandom(number * 1000))
    return root


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that is long on its way."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        for _ in range(256):
            file.write(os.urandom(4096) * 256)
    return path


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


class TestArrived:
    @pytest.mark.parametrize("sealed", [False, True])
    async def test_a_tree_and_a_file(
        self, sealed: bool, tree: Path, there: Path, request: pytest.FixtureRequest
    ) -> None:
        options = ("--key", request.getfixturevalue("key_file")) if sealed else ()
        single = tree / "big"
        async with receiving(there, *options) as receiver:
            done = await outcome("send-file", tree, single, receiver.address, *options)
            assert (done.code, done.errors) == (0, "")
            shown = [await receiver.program.line() for _ in range(2 * 25)]
        assert digests(there / "tree") == digests(tree)
        assert (there / "big").read_bytes() == single.read_bytes()
        # A line for the beginning and one for the end of each, at both ends.
        *lines, summary = done.output.splitlines()
        assert len(lines) == 50
        assert re.fullmatch(r"24 files arrived: 6\.\d MiB in \d+\.\d s, .+B/s", summary)
        assert lines.index("sending tree/big (3.0 MiB)") < lines.index("sent tree/big (3.0 MiB)")
        assert "sent tree/deep/nothing/" in lines
        who = re.search(r"127\.0\.0\.1:\d+", shown[0])
        assert who is not None
        begun = shown.index(f"{who[0]} sends tree/deep/7 (6.8 KiB)")
        path = there / "tree" / "deep" / "7"
        assert begun < shown.index(f"received tree/deep/7 (6.8 KiB) from {who[0]}: {path}")

    async def test_an_empty_directory(self, tmp_path: Path, there: Path) -> None:
        (tmp_path / "none").mkdir()
        async with receiving(there) as receiver:
            done = await outcome("send-file", "none", receiver.address, folder=tmp_path)
        assert done.code == 0
        assert re.fullmatch(
            r"sending none/\nsent none/\n0 files arrived: 0 B in \S+ s, 0 B/s\n", done.output
        )
        assert digests(there) == {"none": None}

    @posix_only
    async def test_links_are_skipped(self, tree: Path, there: Path) -> None:
        (tree / "link").symlink_to(tree / "big")
        async with receiving(there) as receiver:
            done = await outcome("send-file", tree, receiver.address)
        assert (done.code, done.error) == (0, "tree/link is skipped: it is a symbolic link")
        assert "link" not in digests(there / "tree")

    @posix_only
    async def test_what_cannot_be_sent_is_missing(self, tree: Path, there: Path) -> None:
        (tree / "a:b").write_bytes(b"no name for Windows")
        async with receiving(there) as receiver:
            done = await outcome("send-file", tree, receiver.address)
        assert done.code == 1
        skipped, end = done.errors.splitlines()
        assert skipped.startswith("sealframe: tree/a:b is skipped: ")
        assert end == "sealframe: not all has arrived: 24 of 25 files arrived"

    async def test_quiet(self, tree: Path, there: Path) -> None:
        async with receiving(there) as receiver:
            done = await outcome("send-file", "-q", tree, receiver.address)
            assert (done.code, done.output, done.errors) == (0, "", "")
            (tree / "big").write_bytes(b"changed")
            done = await outcome("send-file", "--quiet", tree / "big", tree, receiver.address)
            assert (done.code, done.output) == (1, "")
            assert "tree/big has not arrived: " in done.errors
            async with on_terminal("send-file", "-q", tree / "empty", receiver.address) as shown:
                assert await shown.process.wait() == 0
            assert shown.text == ""

    async def test_once(self, tree: Path, there: Path) -> None:
        for options, code in (((), 0), ((), 1), (("--overwrite",), 0)):
            (tree / "big").write_bytes(os.urandom(1000))
            async with receiving(there, "--once", *options) as receiver:
                # Who only looks is none that sends.
                async with sealframe.connect("127.0.0.1", receiver.port, extended=True):
                    pass
                done = await outcome("send-file", tree / "big", receiver.address)
                assert (await receiver.program.end()).code == done.code == code


class TestRefused:
    async def test_the_name_is_taken(self, tree: Path, there: Path) -> None:
        (there / "tree").mkdir(parents=True)
        (there / "tree" / "big").write_bytes(b"mine")
        async with receiving(there) as receiver:
            done = await outcome("send-file", tree, receiver.address)
            assert done.code == 1
            refused, end = done.errors.splitlines()
            assert refused.startswith("sealframe: tree/big has not arrived: ")
            assert "may have arrived" not in refused
            assert end == "sealframe: not all has arrived: 23 of 24 files arrived"
            assert re.match(
                r"sealframe: tree/big from 127\.0\.0\.1:\d+ has not arrived: ",
                await receiver.program.error_line(),
            )
        assert (there / "tree" / "big").read_bytes() == b"mine"
        async with receiving(there, "--overwrite") as receiver:
            assert (await outcome("send-file", tree, receiver.address)).code == 0
        assert digests(there / "tree") == digests(tree)

    async def test_too_large(self, tree: Path, there: Path) -> None:
        async with receiving(there, "--max-size", "3M") as receiver:
            assert (await outcome("send-file", tree / "big", receiver.address)).code == 1
            assert (await outcome("send-file", tree / "empty", receiver.address)).code == 0
        assert digests(there).keys() == {"empty"}

    async def test_so_many_files_and_so_much_in_all(self, tree: Path, there: Path) -> None:
        for option, limit in (("--max-files", 0), ("--max-total", "2M")):
            async with receiving(there, option, limit) as receiver:
                done = await outcome("send-file", tree / "big", receiver.address)
                assert done.code == 1
                assert f"no more than {limit or ''}" in done.errors.replace("2097152", "2M")
        assert digests(there) == {}

    async def test_hidden_names(self, tmp_path: Path, there: Path) -> None:
        """Neither a file that some program trusts nor one in a directory of such files."""
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh" / "authorized_keys").write_bytes(b"theirs")
        (tmp_path / ".profile").write_bytes(b"theirs")
        sent = [tmp_path / ".ssh", tmp_path / ".profile"]
        async with receiving(there) as receiver:
            done = await outcome("send-file", *sent, receiver.address)
            assert done.code == 1
            assert done.errors.count("hidden: it begins with a dot") == 2
        assert digests(there) == {}
        async with receiving(there, "--hidden") as receiver:
            assert (await outcome("send-file", *sent, receiver.address)).code == 0
        assert digests(there).keys() == {".ssh", ".ssh/authorized_keys", ".profile"}

    @posix_only
    async def test_nobody_else_may_read_what_came(self, tree: Path, there: Path) -> None:
        (tree / "big").chmod(0o600)
        for options, modes in (((), (0o600, 0o700)), (("--mode", "640"), (0o640, 0o750))):
            async with receiving(there, *options) as receiver:
                assert (await outcome("send-file", tree, receiver.address)).code == 0
            for path in there.rglob("*"):
                assert stat.S_IMODE(path.stat().st_mode) == modes[path.is_dir()] & ~UMASK
            shutil.rmtree(there)

    async def test_what_nobody_came_back_for_is_removed(self, there: Path) -> None:
        there.mkdir()
        old, new, whole = (there / name for name in (OLD, NEW, "a.part"))
        for path, days in ((old, 8), (new, 6), (whole, 8)):
            path.write_bytes(b"x")
            os.utime(path, (time.time() - days * 86400,) * 2)
        async with receiving(there) as receiver, asyncio.timeout(PATIENCE):
            while old.exists():  # noqa: ASYNC110 - another process removes it
                await asyncio.sleep(0.001)
            assert (await receiver.program.end_by(signal.SIGTERM)).code == 0
        assert digests(there).keys() == {NEW, "a.part"}
        async with receiving(there, "--keep-partial", "5.5"), asyncio.timeout(PATIENCE):
            while new.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def test_the_wrong_key(self, tree: Path, there: Path, key_file: Path) -> None:
        other = key_file.with_name("other")
        SharedKey.generate().save(other)
        async with receiving(there, "--key", key_file) as receiver:
            for options in (("--key", other), ()):
                done = await outcome("send-file", tree / "big", receiver.address, *options)
                assert (done.code, done.output) == (3, "")
        assert digests(there) == {}

    @pytest.mark.parametrize("command", ["send", "chat"])
    async def test_a_message(self, there: Path, command: str) -> None:
        async with receiving(there) as receiver:
            arguments = ["hello"] if command == "send" else []
            done = await outcome(command, *arguments, receiver.address, typed=b"hello\n")
            assert (done.code, done.output) == (1, "")
            assert "this server takes none" in done.errors.splitlines()[-1]

    async def test_no_receiver(self, tree: Path) -> None:
        async with running("serve", "127.0.0.1:0") as relay:
            address = (await relay.line()).split()[-1]
            done = await outcome("send-file", tree / "big", address)
            assert done.code == 1
            assert "takes no files: start it with: sealframe receive" in done.error
        done = await outcome("send-file", tree / "big", address)
        assert done.code == 1
        assert "is the server running there?" in done.error

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (("send-file", "nowhere", ":1234"), "'nowhere' does not exist"),
            (("send-file", ":1234"), "Missing argument"),
            (("send-file", "big", "big"), "has no port"),
            (("send-file", "big", "deep/../big", ":1234"), "would both be called big there"),
            (("receive", ".", ":0", "--max-size", "1X"), "is no size"),
            (("receive", ".", ":0", "--mode", "888"), "three octal digits"),
            (("receive", ".", ":0", "--invite", "x"), "--identity"),
        ],
    )
    def test_wrong_arguments(
        self,
        arguments: tuple[str, ...],
        text: str,
        tree: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tree)
        done = invoked(*arguments)
        assert (done.code, done.output) == (2, "")
        assert text in done.error

    def test_no_directory(self, tmp_path: Path) -> None:
        done = invoked("receive", tmp_path / "a" / "b", ":0")
        assert (done.code, done.output) == (1, "")
        assert "cannot receive files" in done.error

    async def test_everybody_may_send(self, there: Path, key_file: Path) -> None:
        async with receiving(there, address="0.0.0.0:0") as receiver:
            assert "can send files here" in await receiver.program.error_line()
        async with receiving(there, "--key", key_file, address="0.0.0.0:0") as receiver:
            done = await receiver.program.end_by(signal.SIGTERM)
            assert (done.code, done.errors) == (0, "")


class TestResumed:
    @pytest.mark.parametrize("fault", [Fault.FIN, Fault.RESET])
    async def test_the_link_is_cut(self, fault: Fault, tmp_path: Path, there: Path) -> None:
        data = os.urandom(9 * MIB)
        (tmp_path / "a").write_bytes(data)
        async with receiving(there) as receiver, cutting(receiver, 4 * MIB, fault) as proxy:
            done = await outcome("send-file", tmp_path / "a", f":{proxy.port}")
        assert done.code == 0
        first, *again, last, summary = done.output.splitlines()
        assert (first, again[0]) == ("sending a (9.0 MiB)", "sending again a (9.0 MiB)")
        assert re.fullmatch(r"sent a \(9\.0 MiB\), [4-8]\.\d MiB were there", last)
        # All of it was sent by this command.
        assert re.fullmatch(r"1 file arrived: 9\.0 MiB in \d+\.\d s, .+B/s", summary)
        assert "(connecting again)" in done.errors
        assert digests(there) == {"a": hashlib.sha256(data).hexdigest()}

    async def test_what_has_arrived_is_not_sent_again(self, tree: Path, there: Path) -> None:
        async with receiving(there) as receiver, cutting(receiver, 2 * MIB) as proxy:
            done = await outcome("send-file", tree, f":{proxy.port}")
        assert done.code == 0, done.errors
        assert digests(there / "tree") == digests(tree)
        assert len([line for line in done.output.splitlines() if line.startswith("sent ")]) == 24

    async def test_the_last_word_is_lost(self, tmp_path: Path, there: Path) -> None:
        """The file is there, and its sender does not know: it is no stranger's of that name."""
        data = os.urandom(1000)
        (tmp_path / "a").write_bytes(data)
        async with receiving(there) as receiver, Mute(receiver.port).standing() as link:
            async with running("send-file", tmp_path / "a", f":{link.port}") as sender:
                await receiver.program.lines_until("received a ")
                link.cut()
                done = await sender.end()
            assert done.code == 0, done.errors
            assert "sending again a" in done.output
        assert digests(there) == {"a": hashlib.sha256(data).hexdigest()}

    async def test_it_gives_up(self, tmp_path: Path, there: Path) -> None:
        (tmp_path / "a").write_bytes(os.urandom(3 * MIB))
        async with receiving(there) as receiver, cutting(receiver, 500) as proxy:
            command = ("send-file", tmp_path / "a", f":{proxy.port}")
            done = await outcome(*command, "--retries", 1)
            assert done.code == 1
            assert done.errors.count("(connecting again)") == 1
            assert done.output == "sending a (3.0 MiB)\nsending again a (3.0 MiB)\n"

    async def test_it_has_no_more_time(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"x")

        async def on_offer(offer: Offer) -> None:
            await asyncio.Event().wait()

        async with sealframe.serve(None, "127.0.0.1", 0, files=on_offer) as server:
            done = await outcome("send-file", tmp_path / "a", f":{server.port}", "--timeout", 0.2)
            await server.close(timeout=0)
        assert done.code == 1
        assert "after 0.2 s: 0 of 1 files arrived" in done.error

    @posix_only
    async def test_the_receiver_is_killed(self, large: Path, there: Path) -> None:
        async with receiving(there) as receiver:
            async with running("send-file", large, receiver.address) as sender:
                await until_begun(there)
                receiver.program.process.kill()
                await receiver.program.process.wait()
                assert "(connecting again)" in await sender.error_line()
                async with receiving(there, address=receiver.address):
                    done = await sender.end()
        assert done.code == 0, done.errors
        assert done.output.splitlines()[-2].endswith("iB were there")
        assert digests(there) == {"large": hashlib.sha256(large.read_bytes()).hexdigest()}

    @posix_only
    async def test_ctrl_c_at_the_receiver(self, large: Path, there: Path) -> None:
        async with receiving(there) as receiver:
            sending = ("send-file", large, receiver.address, "--retries", 0)
            async with running(*sending) as sender:
                await until_begun(there)
                stopped = await receiver.program.end_by(signal.SIGINT)
                done = await sender.end()
        assert stopped.code == 130
        assert re.search(r"large from \S+ has not arrived yet: stopped after", stopped.errors)
        assert done.code == 1
        assert "the peer is shutting down" in done.errors
        await self.is_resumed(large, there)

    @posix_only
    async def test_ctrl_c_at_the_sender(self, large: Path, there: Path) -> None:
        async with receiving(there) as receiver:
            async with running("send-file", large, receiver.address) as sender:
                await until_begun(there)
                done = await sender.end_by(signal.SIGINT)
            assert (done.code, done.errors) == (130, "")
            # It was told so, and did not merely lose the link.
            told = await receiver.program.error_line()
            assert told.endswith("the sender stopped the transfer")
        await self.is_resumed(large, there)

    async def is_resumed(self, large: Path, there: Path) -> None:
        assert partial(there) > 0
        async with receiving(there) as receiver:
            done = await outcome("send-file", large, receiver.address)
        assert done.code == 0
        assert re.search(
            r"\nsent large \(256\.0 MiB\), (\S+ .iB) were there\n"
            r"1 file arrived: 256\.0 MiB \(\1 were there\) in ",
            done.output,
        )
        assert digests(there) == {"large": hashlib.sha256(large.read_bytes()).hexdigest()}


@needs_terminal
class TestTerminals:
    async def test_bars(self, large: Path, tree: Path, there: Path) -> None:
        whole = r"\d+\.\d MiB of 2(59|56)\.\d MiB +[1-9]\S* .iB/s +\d:\d\d:\d\d"
        async with on_terminal("receive", there, "127.0.0.1:0", columns=120) as receiver:
            port = await self.listening(receiver)
            sending = ("send-file", large, tree, f":{port}")
            async with on_terminal(*sending, columns=120) as sender:
                for shown in (sender, receiver):
                    await shown.until(rf"total +[^\n]*{whole}")
                    await shown.until(rf"large +[^\n]*{whole}")
                assert await sender.process.wait() == 0
                await sender.until(r"sent large \(256\.0 MiB\)")
                await sender.until(r"sent tree/deep/19 ")
                # The cursor is there again.
                await sender.until(r"\x1b\[\?25h")
                assert "sending" not in sender.text
            await receiver.until(rf"received large \(256\.0 MiB\) from \S+ {there}/large")
            receiver.process.send_signal(signal.SIGINT)
            assert await receiver.process.wait() == 130
            await receiver.until(r"\x1b\[\?25h")
        assert digests(there / "tree") == digests(tree)

    async def test_names_are_no_markup(self, tmp_path: Path, there: Path) -> None:
        name = "[red]a\ue000b[bold]"
        (tmp_path / name).write_bytes(b"x")
        async with on_terminal("receive", there, "127.0.0.1:0", columns=200) as receiver:
            port = await self.listening(receiver)
            async with on_terminal("send-file", tmp_path / name, f":{port}") as sender:
                await sender.until(r"sent \[red\]a\\ue000b\[bold\] \(1 B\)")
            await receiver.until(r"received \[red\]a\\ue000b\[bold\] \(1 B\) from")
            assert "\ue000" not in sender.text + receiver.text
            receiver.process.send_signal(signal.SIGTERM)
            assert await receiver.process.wait() == 0

    async def test_names_in_bars_are_no_markup(self, tmp_path: Path) -> None:
        name = "[red]a\ue000b[bold]"
        (tmp_path / name).write_bytes(b"x")

        async def on_offer(offer: Offer) -> None:
            await shown.wait()
            offer.decline("\x1b[31mno\nway")

        shown = asyncio.Event()
        async with sealframe.serve(None, "127.0.0.1", 0, files=on_offer) as server:
            sending = ("send-file", tmp_path / name, f":{server.port}")
            async with on_terminal(*sending, columns=120) as sender:
                await sender.until(r"\[red\]a\\ue000b\[bold\] +[^\n]*0 B of 1 B +0 B/s +-:--:--")
                shown.set()
                await sender.until(r"has not arrived: \ufffd\[31mno\ufffdway")
                assert await sender.process.wait() == 1

    async def listening(self, shown: Terminal) -> int:
        await shown.until(r"Ctrl-C ends it\.")
        match = re.search(r"files for \S+ \w+, on 127\.0\.0\.1:(\d+)", shown.text)
        assert match is not None
        return int(match[1])


async def test_an_invited_sender(tmp_path: Path, there: Path, settings: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    files = ("--identity", tmp_path / "server.key", "--clients", tmp_path / "clients")
    async with running("receive", there, "127.0.0.1:0", *files, "--invite", "laptop") as receiver:
        line = (await receiver.lines_until("--invitation"))[-1]
        words = line.split()
        assert words[:2] == ["sealframe", "send-file"]
        words[words.index("PATH")] = "a"
        pasted = (await receiver.lines_until("SEALFRAME-INVITE-"))[-1].strip()
        done = await outcome(*words[1:], typed=f"{pasted}\n".encode(), folder=tmp_path)
        assert (done.code, done.errors) == (0, "")
        received = (await receiver.lines_until("received "))[-1]
        assert re.match(r"received a \(1 B\) from laptop, 127\.0\.0\.1:\d+: ", received)


async def test_the_other_command_for_files_points_here() -> None:
    assert "send-file" in (await outcome("send", "--help")).output
