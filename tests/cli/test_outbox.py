"""``send --outbox`` stores what it sends, and ``outbox`` shows what waits."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from click.testing import CliRunner

import sealframe
from sealframe import ClientOptions, Connection, Outbox, Sessions, SharedKey
from sealframe.cli.commands import sealframe_command
from sealframe.outbox.store import OutboxStore

from .commands import PATIENCE, Outcome, invoked, outcome, relay

SESSIONS = ("--sessions", "60")


def waiting(done: Outcome) -> int:
    found = re.search(r"^waiting +(\d+)$", done.output, re.MULTILINE)
    assert found is not None
    return int(found[1])


async def test_what_waits_goes_with_the_next_command(tmp_path: Path, port: int) -> None:
    file, address = tmp_path / "out.db", f"127.0.0.1:{port}"
    typed = b"one\ntwo\n"
    done = await outcome(
        "send", "--lines", "--outbox", file, "--timeout", "0.5", address, typed=typed
    )
    assert (done.code, done.output) == (4, "")
    assert done.error.startswith(f"2 messages wait in {file}: ")
    done = await outcome("outbox", file)
    assert (done.code, waiting(done), done.errors) == (1, 2, "")
    async with relay(address, *SESSIONS) as server:
        for more in (["three"], []):
            done = await outcome("send", "--outbox", file, *more, address)
            assert (done.code, done.output, done.errors) == (0, "", "")
        lines = await server.program.lines_until(": three")
    assert [line.partition(": ")[2] for line in lines[1:]] == ["one", "two", "three"]
    done = await outcome("outbox", file)
    assert (done.code, waiting(done), done.errors) == (0, 0, "")


async def test_what_a_server_does_not_take_is_stored_all_the_same(
    tmp_path: Path, key_file: Path
) -> None:
    file = tmp_path / "out.db"
    SharedKey.generate().save(tmp_path / "other")
    send = ("send", "hi", "--outbox", file, "--timeout", PATIENCE)
    async with relay("127.0.0.1:0", "--key", key_file, *SESSIONS) as server:
        done = await outcome(*send, server.address, "--key", tmp_path / "other")
        assert done.code == 3
        assert done.error.startswith(f"1 message waits in {file}: ")
    async with relay("127.0.0.1:0") as server:
        done = await outcome(*send, server.address)
        assert done.code == 1
        assert done.error.startswith(f"2 messages wait in {file}: ")
        assert "--sessions SECONDS" in done.error


async def test_a_session_that_was_lost_is_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "out.db"

    async def handler(conn: Connection) -> None:
        await conn.wait_closed()

    options = ClientOptions(close_timeout=0.05)
    taken = Sessions(acknowledge="taken")
    async with sealframe.serve(handler, "127.0.0.1", 0, sessions=taken) as holding:
        conn = await sealframe.connect(
            "127.0.0.1", holding.port, session=Outbox(file), options=options
        )
        await conn.send(b"held")
        while not holding.stats()["messages_received"]:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        assert not await conn.close()
    async with relay("127.0.0.1:0", *SESSIONS) as server:
        send = ("send", "--outbox", file, server.address)
        done = await outcome(*send)
        assert done.code == 1
        found = re.search(r'"sealframe (outbox \S+ --begin-anew resend)", or "forget"', done.error)
        assert found is not None
        done = await outcome(*found[1].split())
        assert (done.code, waiting(done)) == (1, 1)
        assert (await outcome(*send)).code == 0
        await server.program.lines_until(": held")


def test_a_copy_stores_nothing_and_says_what_is_safe(tmp_path: Path, port: int) -> None:
    file, address = tmp_path / "out.db", f"127.0.0.1:{port}"

    async def supersede() -> None:
        store = await OutboxStore.open(Outbox(file))
        await store.append([b"kept"])
        await store.supersede()
        await store.close()

    asyncio.run(supersede())
    done = invoked("send", "hi", "--outbox", file, address)
    assert done.code == 1
    assert done.error.startswith(f"nothing of this command was stored in {file}: ")
    assert "holds 1 message, and keeps" in done.error
    assert "0 have arrived" not in done.error
    found = re.search(r'"sealframe (outbox \S+ --begin-anew resend)"', done.error)
    assert found is not None
    done = invoked(*found[1].split())
    assert (done.code, waiting(done)) == (1, 1)
    done = invoked("send", "hi", "--outbox", file, "--timeout", "0.5", address)
    assert done.code == 4
    assert done.error.startswith("2 messages wait")


def test_a_choice_that_is_missing(tmp_path: Path) -> None:
    done = invoked("outbox", tmp_path / "out.db", "--begin-anew")
    assert done.code == 2
    assert done.error.endswith("see sealframe outbox --help")


def test_what_is_no_outbox(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    for more in ([], ["--begin-anew", "forget"]):
        done = invoked("outbox", missing, *more)
        assert (done.code, done.output) == (2, "")
        assert done.error.startswith(f"{missing} cannot be read")
        assert not missing.exists()
    (tmp_path / "text").write_text("no outbox\n" * 100)
    done = invoked("outbox", tmp_path / "text")
    assert done.code == 2
    assert "damaged, or no outbox" in done.error


def test_what_goes_with_an_outbox(tmp_path: Path) -> None:
    file = str(tmp_path / "out.db")
    for options, said in (
        (("hi", "--outbox", file, "--wait", "1"), "--wait and --outbox"),
        (("hi", "--timeout", "1"), "--timeout needs --outbox"),
        (("--lines", "hi", "--outbox", file), "either a MESSAGE"),
    ):
        done = CliRunner().invoke(sealframe_command, ["send", *options, "127.0.0.1:1"])
        assert done.exit_code == 2
        assert said in done.output
    assert not Path(file).exists()
