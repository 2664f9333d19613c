"""Each program of examples/ does what it says, in processes of its own."""

from __future__ import annotations

import filecmp
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from documents import read, run_pair

from .programs import EXAMPLES, serving, started

NAMES = sorted(path.name for path in EXAMPLES.glob("*.py"))
# That of a cluster needs NATS; test_cluster.py ends it.
SERVERS = [name for name in NAMES if re.fullmatch(r"(?!cluster_).*_server\.py", name)]


def test_echo() -> None:
    with serving("echo_server.py") as (server, port):
        with started("echo_client.py", "127.0.0.1", port) as client:
            assert client.rest() == "'hello'\n'grüß dich'\n''\n"
        server.line(r"\S+ has connected")
        server.line(r"\S+ has left")
        with started("echo_client.py", "127.0.0.1", port, "once more") as client:
            assert client.rest() == "'once more'\n"


def test_hello(tmp_path: Path) -> None:
    """The first programs that one sees of sealframe, and what the site says that they print."""
    server, client = read("examples/hello/server.py"), read("examples/hello/client.py")
    printed = run_pair(server, client, tmp_path)
    assert printed == "hello, ann\nhello, bob\n"
    assert f"```text\n{printed}```" in read("docs/index.md")


def test_chat() -> None:
    with (
        serving("chat_server.py") as (server, port),
        started("chat_client.py", "ann", "127.0.0.1", port) as ann,
        started("chat_client.py", "bob", "127.0.0.1", port) as bob,
    ):
        ann.line(r"\* ann is in lobby")
        bob.line(r"\* bob is in lobby")
        ann.type("/who")
        assert set(ann.line(r"\* in lobby: (.+)")[1].split(", ")) == {"ann", "bob"}
        ann.type("good  morning")
        bob.line("ann: good morning")
        with started("chat_client.py", "bob", "127.0.0.1", port) as other:
            assert other.rest() == "* that name is taken\n"

        # What is said in one room is not heard in another.
        ann.type("/join kitchen")
        bob.line(r"\* ann goes to kitchen")
        ann.line(r"\* ann is in kitchen")
        bob.type("nobody hears this")
        bob.type("/join kitchen")
        assert ann.line(r"(\* bob is in kitchen|bob: .*)")[1] == "* bob is in kitchen"

        # Whoever leaves, the others are told how.
        with started("chat_client.py", "eve", "127.0.0.1", port) as eve:
            eve.line(r"\* eve is in lobby")
            eve.type("/join kitchen")
            bob.line(r"\* eve is in kitchen")
            eve.type("/leave")
            bob.line(r"\* eve has left \(closed\)")
            eve.rest()
        server.line("eve has left: closed ?")
        server.kill()
        ann.rest()


def test_a_chat_ends_with_its_input() -> None:
    with serving("chat_server.py") as (server, port):
        with started("chat_client.py", "ann", "127.0.0.1", port) as ann:
            ann.line(r"\* ann is in lobby")
            ann.rest()
        server.line("ann has left: closed ?")


def test_what_controls_terminals_stays_with_the_chat_server() -> None:
    with (
        serving("chat_server.py") as (_, port),
        started("chat_client.py", "ann", "127.0.0.1", port) as ann,
        started("chat_client.py", "\x1b[2Jbob", "127.0.0.1", port) as bob,
    ):
        ann.line(r"\* ann is in lobby")
        bob.line(r"\* \[2Jbob is in lobby")
        bob.type("a\x07b\x1b[31m")
        ann.line(r"\[2Jbob: ab\[31m")


def test_requests_with_types() -> None:
    pytest.importorskip("msgspec", reason="msgspec is not installed")
    with serving("stock_server.py") as (server, port):
        with started("stock_client.py", "127.0.0.1", port) as client:
            assert client.rest().splitlines() == [
                "8 apples are left",
                "2 pears are left",
                "TooFew - there are 2 pears",
                "UnknownThing - there are no hours here",
                "DecodeError - the message is not as agreed: Expected `int` >= 0 - at `$.number`",
                "8",
            ]
        # Nothing that a client asks wrongly is in the server's log.
        assert len(server.kill().splitlines()) == 3


READING = r"sensor-\d+ (\d+): [\d.]+ °C"


def test_no_reading_is_lost_when_the_server_is_killed(port: int) -> None:
    with serving("sensor_server.py", port=port) as (server, _):
        with started("sensor.py", "127.0.0.1", port, 0.05) as sensor:
            sensor.line(r"connected, \d+ readings wait")
            noted = [int(server.line(READING)[1]) for _ in range(5)]
            # Now nothing is on its way: what is measured next finds no server.
            sensor.line(f"{noted[-1]} is noted")
            noted += map(int, re.findall(READING, server.kill()))
            assert noted == [*range(1, len(noted) + 1)]
            sensor.line("cut off: .*")
            with serving("sensor_server.py", port=port) as (restarted, _):
                # It went on measuring meanwhile.
                assert int(sensor.line(r"connected, (\d+) readings wait")[1]) > 0
                later = [int(restarted.line(READING)[1]) for _ in range(20)]
    # What was noted and not yet answered comes once more, and nothing is left out.
    assert later[0] in (noted[-1], noted[-1] + 1)
    assert later == [*range(later[0], later[0] + 20)]


def test_a_folder_is_dropped(tmp_path: Path) -> None:
    sent, incoming = tmp_path / "photos", tmp_path / "incoming"
    (sent / "may").mkdir(parents=True)
    (sent / "may" / "1.jpg").write_bytes(bytes(100_000))
    (sent / "notes.txt").write_text("first of May", encoding="utf-8")
    with serving("drop_server.py", incoming) as (server, port):
        with started("drop_client.py", sent, "127.0.0.1", port) as client:
            # Of which file it is told depends on which comes last.
            client.line(r"photos/\S+: \d+ of \d+ bytes")
            client.line("arrived: photos/may/1.jpg")
            client.line("arrived: photos/notes.txt")
            client.rest()
        arrived = {server.line(r"\S+ has sent (.+)")[1] for _ in range(2)}
        assert arrived == {"1.jpg, 100000 bytes", "notes.txt, 12 bytes"}
        for _ in range(2):
            with started("drop_client.py", sent / "notes.txt", "127.0.0.1", port) as client:
                client.line("arrived: notes.txt")
        # Another one of that name takes the place of none.
        (sent / "notes.txt").write_text("first of June", encoding="utf-8")
        with started("drop_client.py", sent / "notes.txt", "127.0.0.1", port) as client:
            client.line("not sent: .+")
    assert (incoming / "photos" / "may" / "1.jpg").read_bytes() == bytes(100_000)
    assert (incoming / "notes.txt").read_text(encoding="utf-8") == "first of May"


def test_a_drop_goes_on_after_the_server_was_killed(tmp_path: Path, port: int) -> None:
    big, incoming = tmp_path / "big", tmp_path / "incoming"
    size = 300_000_000
    with big.open("wb") as file:
        file.truncate(size)
        file.write(b"beginning")
        file.seek(-3, os.SEEK_END)
        file.write(b"end")
    with serving("drop_server.py", incoming, port=port) as (server, _):
        with started("drop_client.py", big, "127.0.0.1", port) as client:
            client.line(rf"big: \d+ of {size} bytes")
            server.kill()
            client.line("cut off: .+")
            assert not (incoming / "big").exists()
            with serving("drop_server.py", incoming, port=port):
                client.line("arrived: big")
                client.rest()
    assert filecmp.cmp(big, incoming / "big", shallow=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("name", SERVERS)
def test_ctrl_c_ends_a_server_without_a_traceback(name: str, tmp_path: Path) -> None:
    pytest.importorskip("msgspec", reason="msgspec is not installed")
    files = {"drop_server.py": ["incoming"], "meter_server.py": ["readings.db"]}
    with serving(name, *[tmp_path / file for file in files.get(name, [])]) as (server, _):
        os.kill(server.id, signal.SIGINT)
        assert server.rest() == ""


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_is_and_is_listed(name: str) -> None:
    text = read(f"examples/{name}")
    assert text.startswith('"""')
    assert f"`{name}`" in read("examples/README.md")
    assert f"{{literalinclude}} ../examples/{name}\n" in read("docs/examples.md")
    if "__main__" in text:
        assert f"\nRun it: python examples/{name} " in text


def test_it_names_no_program_that_is_not_there() -> None:
    for page in ("examples/README.md", "docs/examples.md"):
        assert set(re.findall(r"\b\w+\.py\b", read(page))) <= {*NAMES}
