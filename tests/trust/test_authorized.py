"""The authorised-clients file: what it may hold, when a change counts, how it is added to."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from sealframe.errors import ConfigurationError, KeyFileError, KeyFormatError
from sealframe.trust import keylist
from sealframe.trust.authorized import AuthorizedClients
from sealframe.trust.keylist import Version
from sealframe.trust.keys import PrivateKey, PublicKey
from sealframe.trust.peer import Peer

KEYS = [PublicKey(bytes([number]) * 32) for number in range(1, 9)]
ANNA, BERT, CARL = KEYS[:3]

posix_only = pytest.mark.skipif(
    os.name != "posix", reason="files here have access lists instead of a mode"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with Anna and Bert in it."""
    return put(tmp_path / "clients", f"# ours\n{ANNA} anna\n\n{BERT} bert  the tall one # 2\n")


def put(path: Path, text: str | bytes) -> Path:
    """Write a file in place."""
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def swap(path: Path, text: str) -> None:
    """Put another file in its place."""
    put(path.with_suffix(".new"), text).replace(path)


def names(clients: AuthorizedClients) -> set[str]:
    found = (clients.lookup(bytes(key)) for key in KEYS)
    return {peer.name for peer in found if peer is not None}


class Looking:
    """Looks at the file as a server does, again and again."""

    def __init__(self, clients: AuthorizedClients) -> None:
        self.clients = clients
        self.seen: Version | None = None
        self.look()

    def look(self) -> set[str]:
        self.seen = self.clients.refresh(self.seen)
        return names(self.clients)

    def look_twice(self) -> set[str]:
        """Let a change that is complete count."""
        self.look()
        return self.look()


# What it may hold


def test_clients_are_found_by_key(path: Path) -> None:
    clients = AuthorizedClients(path)
    assert clients.path == str(path)
    assert len(clients) == 2
    assert clients.lookup(bytes(ANNA)) == Peer("anna", ANNA)
    assert clients.lookup(bytes(BERT)) == Peer("bert", BERT)
    assert clients.lookup(bytes(CARL)) is None
    assert clients.lookup(b"") is None


def test_blanks_line_ends_and_comments_do_not_matter(tmp_path: Path) -> None:
    text = f"\r\n  #{CARL} carl\r\n\t{ANNA}\t \tanna\r\n{str(BERT).upper()} žluťoučký kůň"
    clients = AuthorizedClients(put(tmp_path / "clients", text))
    assert names(clients) == {"anna", "žluťoučký"}


def test_an_empty_file_lets_no_one_in(tmp_path: Path) -> None:
    assert len(AuthorizedClients(put(tmp_path / "clients", ""))) == 0


def test_one_name_may_have_two_keys(tmp_path: Path) -> None:
    """A client with two machines."""
    clients = AuthorizedClients(put(tmp_path / "clients", f"{ANNA} anna\n{BERT} anna\n"))
    assert clients.lookup(bytes(ANNA)) == Peer("anna", ANNA)
    assert clients.lookup(bytes(BERT)) == Peer("anna", BERT)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (str(CARL), "the client's name is missing after its key"),
        (f"{CARL} \x07", "the client's name is missing after its key"),
        (f"{ANNA} carl", "the key of anna once more"),
        (f"{str(ANNA).upper()} anna", "the key of anna once more"),
        (f"{str(CARL)[:-1]}q carl", "the checksum does not match"),
        (f"carl {CARL}", "the part in front"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ carl", "too short"),
        (
            f"{PrivateKey(bytes([7]) * 32).to_text()} carl",
            "this is a private key, and a public key",
        ),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str, reason: str) -> None:
    path = put(tmp_path / "clients", f"# first\n{ANNA} anna\n\n{line}\n{BERT} bert\n")
    with pytest.raises(KeyFormatError) as refusal:
        AuthorizedClients(path)
    assert str(refusal.value).startswith(f"{path}, line 4: ")
    assert reason in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFormatError, match="is not text in UTF-8"):
        AuthorizedClients(put(tmp_path / "clients", f"{ANNA} anna".encode("utf-16")))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cannot read .*clients: No such file"):
        AuthorizedClients(tmp_path / "clients")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot read "):
        AuthorizedClients(tmp_path)


@posix_only
@pytest.mark.timeout(30)
def test_a_pipe_does_not_hold_us_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyFileError, match="is not a file"):
        AuthorizedClients(tmp_path / "pipe")


def test_a_huge_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keylist, "_MAX_SIZE", path.stat().st_size)
    assert len(AuthorizedClients(path)) == 2
    monkeypatch.setattr(keylist, "_MAX_SIZE", path.stat().st_size - 1)
    with pytest.raises(KeyFileError, match="is over "):
        AuthorizedClients(path)


@posix_only
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="can be written by others; run: chmod go-w "):
        AuthorizedClients(path)


@posix_only
def test_a_file_that_others_can_read_is_taken(path: Path) -> None:
    path.chmod(0o644)
    assert names(AuthorizedClients(path)) == {"anna", "bert"}


def test_a_table() -> None:
    clients = AuthorizedClients({"anna": ANNA})
    assert clients.lookup(bytes(ANNA)) == Peer("anna", ANNA)
    assert (clients.path, len(clients)) == (None, 1)
    assert clients.refresh() is None
    with pytest.raises(ConfigurationError, match="a table, not a file"):
        clients.add("bert", BERT)
    with pytest.raises(ConfigurationError, match="bert and anna have the same key"):
        AuthorizedClients({"anna": ANNA, "bert": ANNA})
    for wrong in ({"anna": str(ANNA)}, {ANNA: "anna"}, {"anna": PrivateKey.generate()}):
        with pytest.raises(ConfigurationError, match=r"\{name: PublicKey\}"):
            AuthorizedClients(wrong)  # type: ignore[arg-type]


# When a change counts


def test_a_replaced_file_counts_once_it_was_seen_twice(path: Path) -> None:
    """Some programs remove a file and write it anew, which looks like a replaced one."""
    looking = Looking(AuthorizedClients(path))
    generation = looking.clients.generation
    swap(path, f"{BERT} bert\n{CARL} carl\n")
    assert looking.look() == {"anna", "bert"}
    assert looking.look() == {"bert", "carl"}
    assert looking.clients.generation > generation
    generation = looking.clients.generation
    assert looking.look() == {"bert", "carl"}
    assert looking.clients.generation == generation


def test_a_change_in_place_counts_once_it_lasts(path: Path) -> None:
    """While the file grows, each look finds another one, and none counts."""
    looking = Looking(AuthorizedClients(path))
    lines = [f"{CARL} carl\n", f"{KEYS[3]} dora\n", f"{KEYS[4]} emil\n"]
    put(path, "")
    assert looking.look() == {"anna", "bert"}
    with path.open("a") as file:
        for line in lines:
            file.write(line)
            file.flush()
            assert looking.look() == {"anna", "bert"}
    assert looking.look() == {"carl", "dora", "emil"}


def test_the_looks_of_two_servers_do_not_make_a_change_last(path: Path) -> None:
    """One set of clients may serve two of them, whose looks come close together."""
    clients = AuthorizedClients(path)
    one, two = Looking(clients), Looking(clients)
    put(path, f"{CARL} carl\n")
    assert one.look() == two.look() == {"anna", "bert"}
    assert one.look() == {"carl"}


@pytest.mark.parametrize("missing", [" carl\n", f"{CARL} carl\n"[20:], f"{CARL} carl\n"[1:]])
def test_a_file_cut_in_mid_line_keeps_the_old_clients(
    path: Path, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where it stays so."""
    looking = Looking(AuthorizedClients(path))
    whole = f"{BERT} bert\n{CARL} carl\n"
    put(path, whole.removesuffix(missing))
    for _ in range(4):
        assert looking.look() == {"anna", "bert"}
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "the clients authorised before stay so" in record.getMessage()
    assert f"{path}, line " in record.getMessage()
    put(path, whole)
    looking.look()
    assert looking.look() == {"bert", "carl"}
    assert len(caplog.records) == 1


def test_a_bad_file_is_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it changes: it may be large."""
    looking = Looking(AuthorizedClients(path))
    swap(path, "nonsense\n")
    reads = []
    real = keylist.read

    def read(name: str) -> keylist.KeyList:
        reads.append(name)
        return real(name)

    monkeypatch.setattr(keylist, "read", read)
    for _ in range(4):
        assert looking.look() == {"anna", "bert"}
    assert len(reads) == 1
    swap(path, f"{CARL} carl\n")
    looking.look()
    assert looking.look() == {"carl"}
    assert len(reads) == 2


def test_a_missing_file_keeps_the_old_clients(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each time that it goes is logged, and coming back as it was is enough."""
    looking = Looking(AuthorizedClients(path))
    away = path.with_suffix(".away")
    for times in (1, 2):
        path.rename(away)
        for _ in range(3):
            assert looking.look() == {"anna", "bert"}
        assert len(caplog.records) == times
        assert f"cannot read {path}" in caplog.messages[-1]
        away.rename(path)
        assert looking.look() == {"anna", "bert"}
    swap(path, f"{CARL} carl\n")
    assert looking.look_twice() == {"carl"}
    assert len(caplog.records) == 2


def test_trouble_that_lasts_is_logged_once_a_minute(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There are two looks a second."""
    looking = Looking(AuthorizedClients(path))
    path.unlink()
    for _ in range(360):
        looking.look()
    assert len(caplog.records) == 3


@posix_only
def test_a_file_that_others_can_write_counts_once_they_cannot(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A chmod changes neither content nor times."""
    looking = Looking(AuthorizedClients(path))
    new = put(path.with_suffix(".new"), f"{CARL} carl\n")
    new.chmod(0o622)
    new.replace(path)
    for _ in range(3):
        assert looking.look() == {"anna", "bert"}
    (message,) = caplog.messages
    assert "can be written by others" in message
    path.chmod(0o600)
    assert looking.look() == {"carl"}


def test_a_file_that_changes_while_it_is_read_does_not_count(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Looking(AuthorizedClients(path))
    swap(path, f"{CARL} carl\n")
    real = keylist.read

    def read(name: str) -> keylist.KeyList:
        content = real(name)
        monkeypatch.undo()
        swap(path, f"{BERT} bert\n")
        return content

    looking.look()
    monkeypatch.setattr(keylist, "read", read)
    assert looking.look() == {"anna", "bert"}
    assert looking.look_twice() == {"bert"}


def test_a_change_in_place_that_keeps_size_and_times_counts(path: Path) -> None:
    """``cp -p`` over the file; not every file system has a ctime that tells."""
    looking = Looking(AuthorizedClients(path))
    before = path.stat()
    path.write_text(path.read_text().replace(f"{ANNA} anna", f"{CARL} carl"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
    assert looking.look_twice() == {"bert", "carl"}


def test_an_edit_that_keeps_size_and_times_is_not_undone(path: Path) -> None:
    """By a client that is added meanwhile."""

    def edit(now: keylist.KeyList) -> str:
        if "carl" not in path.read_text():
            before = path.stat()
            path.write_text(now.text.replace(f"{ANNA} anna", f"{CARL} carl"))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return f"{KEYS[3]} dora"

    keylist.extend(str(path), edit, comment="")
    assert names(AuthorizedClients(path)) == {"bert", "carl", "dora"}


@posix_only
def test_a_link_is_followed(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    looking = Looking(AuthorizedClients(link))
    swap(path, f"{CARL} carl\n")
    assert looking.look_twice() == {"carl"}
    other = put(path.with_name("other"), f"{ANNA} anna\n")
    link.unlink()
    link.symlink_to(other)
    assert looking.look_twice() == {"anna"}


# How it is added to


def test_add_keeps_all_that_is_there(path: Path) -> None:
    path.chmod(0o640)
    before = path.read_text()
    clients = AuthorizedClients(path)
    clients.add("carl", CARL)
    assert clients.lookup(bytes(CARL)) == Peer("carl", CARL)
    assert path.read_text() == f"{before}{CARL} carl\n"
    assert names(AuthorizedClients(path)) == {"anna", "bert", "carl"}
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_add_ends_an_unfinished_last_line(tmp_path: Path) -> None:
    path = put(tmp_path / "clients", f"{ANNA} anna")
    AuthorizedClients(path).add("bert", BERT)
    assert path.read_text() == f"{ANNA} anna\n{BERT} bert\n"


def test_add_of_a_key_that_is_there_changes_nothing(path: Path) -> None:
    clients, before = AuthorizedClients(path), keylist.version(str(path))
    clients.add("somebody", ANNA)
    assert clients.lookup(bytes(ANNA)) == Peer("anna", ANNA)
    assert keylist.version(str(path)) == before


def test_add_sees_what_others_did_meanwhile(path: Path) -> None:
    clients = AuthorizedClients(path)
    swap(path, f"{BERT} bert\n")
    clients.add("carl", CARL)
    assert names(clients) == {"bert", "carl"}


def test_add_does_not_make_the_file_anew(path: Path) -> None:
    """With one line in it, it would put all the others out."""
    clients = AuthorizedClients(path)
    path.unlink()
    with pytest.raises(KeyFileError, match="is no longer there"):
        clients.add("carl", CARL)
    assert not path.exists()
    assert names(clients) == {"anna", "bert"}


def test_add_to_a_file_with_a_bad_line_is_refused(path: Path) -> None:
    clients = AuthorizedClients(path)
    swap(path, "nonsense\n")
    with pytest.raises(KeyFormatError, match=r"line 1: "):
        clients.add("carl", CARL)
    assert path.read_text() == "nonsense\n"
    assert names(clients) == {"anna", "bert"}


@pytest.mark.parametrize("name", ["", " ", "two words", "a\nb", "a\x00", "\u2028", 5, None])
def test_a_name_that_could_not_stand_there_is_refused(path: Path, name: object) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="use one word"):
        AuthorizedClients(path).add(name, CARL)  # type: ignore[arg-type]
    assert path.read_bytes() == before


@posix_only
def test_add_writes_to_where_a_link_leads(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    AuthorizedClients(link).add("carl", CARL)
    assert link.is_symlink()
    assert names(AuthorizedClients(path)) == {"anna", "bert", "carl"}


@pytest.mark.parametrize("step", ["os.fsync", "os.fdopen", "pathlib.Path.replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_add_that_fails_leaves_all_as_it_was(
    path: Path, step: str, failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients, before = AuthorizedClients(path), path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise failure

    with monkeypatch.context() as patches:
        patches.setattr(step, fail)
        expected = KeyFileError if isinstance(failure, OSError) else KeyboardInterrupt
        with pytest.raises(expected) as raised:
            clients.add("carl", CARL)
    if isinstance(failure, OSError):
        assert str(raised.value) == f"cannot write {path}: No space left on device"
    assert path.read_bytes() == before
    assert clients.lookup(bytes(CARL)) is None
    assert {entry.name for entry in path.parent.iterdir()} <= {"clients", "clients.lock"}
    clients.add("carl", CARL)
    assert names(clients) == {"anna", "bert", "carl"}


def test_add_killed_before_the_file_is_replaced_leaves_the_old_one_whole(path: Path) -> None:
    before = path.read_bytes()
    script = (
        "import os, pathlib, sys\n"
        "from sealframe.trust.authorized import AuthorizedClients\n"
        "from sealframe.trust.keys import PublicKey\n"
        "pathlib.Path.replace = lambda *_: os._exit(3)\n"
        "AuthorizedClients(sys.argv[1]).add('carl', PublicKey.from_text(sys.argv[2]))\n"
    )
    assert run(script, str(path), str(CARL)) == 3
    assert path.read_bytes() == before
    clients = AuthorizedClients(path)
    # The dead one holds no lock.
    clients.add("carl", CARL)
    assert names(clients) == {"anna", "bert", "carl"}


def test_several_processes_that_add_at_once_lose_nothing(path: Path) -> None:
    script = (
        "import sys\n"
        "from sealframe.trust.authorized import AuthorizedClients\n"
        "from sealframe.trust.keys import PublicKey\n"
        "clients = AuthorizedClients(sys.argv[1])\n"
        "print(flush=True)\n"
        "sys.stdin.readline()\n"
        "for number in range(20):\n"
        "    key = PublicKey(bytes([100 + number, int(sys.argv[2])]) * 16)\n"
        "    clients.add(f'{sys.argv[2]}-{number}', key)\n"
    )
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(number)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for program in programs:
        assert program.stdout is not None
        program.stdout.readline()
    for program in programs:
        program.communicate("go\n", timeout=60)
        assert program.returncode == 0
    clients = AuthorizedClients(path)
    assert len(clients) == 2 + 3 * 20
    assert names(clients) == {"anna", "bert"}
    assert path.read_text().startswith("# ours\n")


def run(script: str, *arguments: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
    ).returncode


# A new file


def test_a_new_file_has_no_clients_and_an_old_one_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "clients"
    AuthorizedClients.create(path)
    assert len(AuthorizedClients(path)) == 0
    assert path.read_text().startswith("# ")
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    put(path, f"{ANNA} anna\n")
    AuthorizedClients.create(path)
    assert path.read_text() == f"{ANNA} anna\n"


def test_a_new_file_where_there_can_be_none(tmp_path: Path) -> None:
    put(tmp_path / "file", "")
    with pytest.raises(KeyFileError, match="cannot write "):
        AuthorizedClients.create(tmp_path / "file" / "clients")


@posix_only
def test_a_key_can_be_taken_out_while_there_are_no_descriptors(path: Path) -> None:
    """A client could otherwise put off its revocation by connecting until none are left."""
    program = """
        import os, resource, sys
        from sealframe.trust.authorized import AuthorizedClients
        clients = AuthorizedClients(sys.argv[1])
        with open(sys.argv[1], "w"):
            pass
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        taken = []
        try:
            while True:
                taken.append(os.dup(0))
        except OSError:
            pass
        for _ in range(3):
            seen = clients.refresh(clients.refresh())
            assert len(clients) == 0
            try:
                taken.append(os.dup(0))
            except OSError:
                pass
            else:
                raise AssertionError("the spare descriptor was not taken back")
    """
    result = subprocess.run(
        [sys.executable, "-c", dedent(program), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
