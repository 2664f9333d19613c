"""A program without asyncio keeps what it sends in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from aio.ends import PATIENCE

from sealframe import ClientOptions, Outbox, SessionLostError, Sessions, sync

QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01, close_timeout=PATIENCE)
IMPATIENT = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01, close_timeout=0.05)


def test_it_starts_without_a_server_and_goes_on_with_one(tmp_path: Path) -> None:
    path, outbox = str(tmp_path / "socket"), Outbox(tmp_path / "readings.db")
    stored: list[bytes] = []

    def handler(conn: sync.Connection) -> None:
        stored.extend(conn)

    with sync.connect(path=path, session=outbox, options=IMPATIENT) as conn:
        conn.send(b"1")
        assert not conn.connected
    assert not conn.close()
    assert sync.look(outbox).waiting == 1
    with sync.serve(handler, path=path, sessions=Sessions()):
        for conn in sync.reconnect(path=path, session=outbox, options=QUICK):
            conn.wait_connected(timeout=PATIENCE)
            conn.send(b"2")
            assert conn.close()
            break
    assert stored == [b"1", b"2"]


def test_another_session_is_begun_where_one_was_lost(tmp_path: Path) -> None:
    path, outbox = str(tmp_path / "socket"), Outbox(tmp_path / "readings.db")
    stored: list[bytes] = []

    def handler(conn: sync.Connection) -> None:
        stored.extend(conn)

    with sync.serve(handler, path=path, sessions=Sessions()):
        lost = sync.connect(path=path, session=outbox, options=IMPATIENT)
    lost.send(b"1")
    lost.close()
    # It does not know the session.
    with sync.serve(handler, path=path, sessions=Sessions()):
        with pytest.raises(SessionLostError):
            sync.connect(path=path, session=outbox)
        sync.begin_anew(outbox, resend_unknown=True)
        with sync.connect(path=path, session=outbox, options=QUICK) as conn:
            pass
        assert conn.close()
    assert stored == [b"1"]
