"""``sealframe dashboard`` and ``serve --dashboard``: a web page of a server that runs."""

from __future__ import annotations

import builtins
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from dashboard.pages import ask, asking, events, head

import sealframe
from sealframe.cli import exporting
from sealframe.cli.address import TcpAddress
from sealframe.cli.cluster_watching import ClusterSource
from sealframe.cli.dashboard import shown_at
from sealframe.cli.logs import log_of_a_command, tell_errors_once
from sealframe.cli.output import Output
from sealframe.cli.pages import Page, note_on, tell
from sealframe.cli.watching import ControlSource, Watched
from sealframe.dashboard.hub import POINT
from sealframe.dashboard.source import ServerSource, SourceError
from sealframe.dashboard.views import View

from .commands import Program, invoked, outcome, running
from .test_cluster import relay_of
from .test_control import needs_unix

pytest.importorskip("aiohttp", reason="aiohttp is not installed")


async def url_of(program: Program) -> str:
    """Return the URL that a command prints, once it is up."""
    lines = await program.lines_until("Ctrl-C ends it.")
    [line] = [line for line in lines if line.startswith("dashboard at ")]
    return line.removeprefix("dashboard at ")


@needs_unix
async def test_a_server_is_shown_by_itself_and_by_its_control_socket(tmp_path: Path) -> None:
    options = ("./relay", "--control", "control")
    own = ("--dashboard", "127.0.0.1:0")
    shown = ("dashboard", "127.0.0.1:0", "--control", "control")
    async with running("serve", *options, *own, folder=tmp_path) as server:
        url = await url_of(server)
        async with (
            running(*shown, folder=tmp_path) as command,
            sealframe.connect(path=tmp_path / "relay") as conn,
        ):
            other = await url_of(command)
            await conn.send(b"hello")
            for page in (url, other):
                assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", page)
                async with asking(page, "/events?sort=id&limit=1") as reader:
                    assert (await head(reader)).status == 200
                    name, data = (await events(reader, 2))[1]
                    assert (name, data["summary"]["clients"]) == ("look", 1)
                    [row] = data["table"]["rows"]
                    assert row["address"] == "a Unix socket"
            async with asking(other, "/events") as reader:
                await head(reader)
                await events(reader, 2)
                server.process.kill()
                await server.process.wait()
                while (last := (await events(reader, 1))[-1])[0] == "look":
                    pass
                assert last[0] == "lost"
                assert "control" in last[1]["reason"]
                (tmp_path / "relay").unlink(missing_ok=True)
                async with running("serve", *options, folder=tmp_path) as again:
                    await again.lines_until("Ctrl-C ends it.")
                    while (last := (await events(reader, 1))[-1])[0] == "lost":
                        pass
                    assert last[1]["summary"]["clients"] == 0


async def test_a_cluster_is_shown_without_its_clients() -> None:
    async with relay_of("local") as (relay, said):
        url = re.search(r"nats://\S+", said[0])
        assert url is not None
        async with running("dashboard", "127.0.0.1:0", "--cluster", url[0], "--token") as command:
            page = await url_of(command)
            token = page.partition("#token=")[2]
            assert (await ask(page, "/events")).status == 401
            entered = await ask(page, "/enter", f"Authorization: Bearer {token}")
            cookie = entered.headers["Set-Cookie"].partition(";")[0]
            async with asking(page, "/events", f"Cookie: {cookie}") as reader:
                await head(reader)
                data = (await events(reader, 3))[2][1]
        [server] = data["summary"]["cluster"]["servers"].values()
        assert server["label"].endswith(f":{relay.program.process.pid}")
        assert (server["state"], server["clients"], server["messages_in"]) == ("here", 0, 0)
        # As in "sealframe cluster status"; nobody has been asked for a round trip.
        told = [server[name] for name in ("sessions", "detached", "latency", "between", "lost")]
        assert told == [0, 0, None, 0, 0]
        assert data["table"] is None
        other = await outcome("dashboard", ":0", "--cluster", url[0], "--name", "typo")
        assert (other.code, other.output) == (1, "")
        assert other.error.startswith("nobody is in the cluster 'typo'; ")


@pytest.mark.parametrize(
    ("host", "opened", "note"),
    [
        ("0.0.0.0", "127.0.0.1", "it listens at every IPv4 address of this machine"),
        ("::", "[::1]", "it listens at every IPv6 address of this machine"),
        ("192.0.2.1", "192.0.2.1", ""),
        ("localhost", "localhost", ""),
    ],
)
def test_what_is_printed_can_be_opened(
    host: str, opened: str, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exporting.url(host, 9100) == f"http://{opened}:9100/metrics"
    page = Page("http://example.org/", note_on(host))
    output = Output()
    tell("metrics", page, output)
    # The URL alone ends its line.
    lines = ["metrics at http://example.org/", *([f"  {note}"] if note else [])]
    assert capsys.readouterr().out.splitlines() == lines


async def test_a_dashboard_at_all_addresses_says_so() -> None:
    async with sealframe.serve(on_message=print, host="127.0.0.1", port=0) as server:
        everywhere = TcpAddress("0.0.0.0", 0)
        async with shown_at(ServerSource(server), everywhere) as said:
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#token=\S+", said.url)
            assert said.note == "it listens at every IPv4 address of this machine"


def test_what_a_dashboard_logs_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Its pages say that the log has the reason."""
    with log_of_a_command(0):
        tell_errors_once()
        logging.getLogger("sealframe.dashboard").error("ours")
    assert capsys.readouterr().err == "sealframe: ours\n"


class Unheard:
    """A cluster of which nothing is known."""

    def __init__(self, *versions: int, connected: bool = True) -> None:
        self.versions = {*versions}
        self.connected = connected

    async def look(self) -> list[Any]:
        return []


@pytest.mark.parametrize(
    ("observer", "error"),
    [
        (Unheard(connected=False), "NATS is away"),
        (Unheard(), "nobody is in the cluster 'ours'"),
        (Unheard(9), "servers of another version"),
    ],
)
async def test_a_cluster_of_which_nothing_is_known(observer: Any, error: str) -> None:
    with pytest.raises(SourceError, match=error):
        await ClusterSource(observer, "ours").look([])


@needs_unix
def test_where_no_server_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    gone = invoked("dashboard", "--control", "control")
    other = invoked("dashboard", "--cluster", "nats://127.0.0.1:1")
    assert (gone.code, gone.output) == (1, "")
    assert gone.error.startswith("cannot connect to control: ")
    assert gone.error.endswith("Its command needs --control control")
    assert (other.code, "NATS" in other.error) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["dashboard"], "give either --control PATH of a running server, or --cluster URL"),
        (["dashboard", "--control", "c", "--cluster", "u"], "give either --control"),
        (
            ["dashboard", "./path", "--control", "c"],
            "write HOST:PORT: nothing else is for a browser",
        ),
        (["dashboard", "--control", "c", "--name", "default"], "--name is that of a cluster"),
        (["serve", "--dashboard", "./path"], "write HOST:PORT: nothing else is for a browser"),
        (["serve", "--dashboard", "systemd:page"], "write HOST:PORT: nothing else is"),
        (["serve", "--metrics", "systemd:page"], "write HOST:PORT: nothing else is"),
        (["serve", "--workers", "2", "--dashboard", ":8080"], "sealframe dashboard --cluster URL"),
    ],
)
def test_wrong_arguments(arguments: list[str], error: str) -> None:
    if sys.platform == "win32" and "--control" in arguments:
        pytest.skip("Windows has no Unix sockets")
    done = invoked(*arguments)
    assert (done.code, done.output) == (2, "")
    assert error in done.error


@pytest.mark.parametrize("given", ["dashboard --cluster URL", "serve --dashboard :0"])
def test_without_aiohttp(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "aiohttp":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    done = invoked(*given.split())
    assert (done.code, done.output) == (1, "")
    assert done.error.endswith('run: pip install "sealframe[dashboard]"')


GOOD: dict[str, Any] = {
    **dict.fromkeys(POINT),
    "time": 1.0,
    "rates": {},
    "refusals": {},
    "totals": {},
}
WRONG: list[Any] = [
    None,
    [],
    {"do": "dashboard", "views": []},
    {"summary": {}, "tables": []},
    {"summary": GOOD},
    {"summary": GOOD, "tables": []},
    {"summary": GOOD, "tables": {"0": {}}},
    *({"summary": GOOD | {name: None}, "tables": [{}]} for name in ("time", "rates", "totals")),
    {"summary": {name: GOOD[name] for name in GOOD if name != "dropped"}, "tables": [{}]},
]


@needs_unix
async def test_what_is_no_server_that_can_be_shown(tmp_path: Path) -> None:
    """Another program that speaks JSON, or a version that leaves out a field."""
    answers = [{"summary": GOOD, "tables": [{}]}, *WRONG, {"summary": GOOD, "tables": [{}]}]
    coming = iter(answers)

    async def answer(conn: Any, request: Any) -> Any:
        return next(coming)

    json = sealframe.codecs.Json()
    path = tmp_path / "control"
    async with sealframe.serve(None, path=path, on_request=answer, codec=json):
        source = ControlSource(path)
        try:
            assert await source.look([View()]) == answers[0]
            for _ in WRONG:
                with pytest.raises(SourceError, match="no server that can be shown"):
                    await source.look([View()])
            assert await source.look([View()]) == answers[0]
        finally:
            await source.close()


@needs_unix
async def test_what_echoes_is_refused_at_once(tmp_path: Path) -> None:
    async def echo(conn: Any, request: Any) -> Any:
        return request

    json = sealframe.codecs.Json()
    async with sealframe.serve(None, path=tmp_path / "control", on_request=echo, codec=json):
        done = await outcome("dashboard", ":0", "--control", "control", folder=tmp_path)
    assert (done.code, done.output) == (1, "")
    assert done.error.startswith("what answers at control is no server that can be shown: ")


@pytest.mark.parametrize("views", [[{"sort": "x"}], ["text"], [None], [{}] * 17])
async def test_what_a_control_socket_does_not_answer(views: list[Any]) -> None:
    async with sealframe.serve(on_message=print, host="127.0.0.1", port=0) as server:
        watched = Watched(server)
        with pytest.raises(sealframe.RemoteError):
            await watched.answer(views)
        answer = await watched.answer([{}])
        assert answer["summary"]["clients"] == 0
        watched.close()
