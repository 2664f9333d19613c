"""The end of the program, and its children."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap

import pytest
from aio.ends import PATIENCE

from sealframe import sync

PRELUDE = """
import os, sys, threading, time, warnings
import sealframe
from sealframe import sync
from sealframe.aio.connection import protocol_of
from sealframe.sync.connection import unwrap

port = int(sys.argv[1])

def echo(conn):
    for message in conn:
        conn.send(message)
"""

# From Python 3.12 on each fork of a program with threads warns.
QUIET_FORK = "warnings.filterwarnings('ignore', 'This process', DeprecationWarning)"


def run(program: str, port: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, every warning an error; nothing may hang or be printed to
    stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(program), str(port)],
        capture_output=True,
        timeout=3 * PATIENCE,
        encoding="utf-8",
        check=False,
    )
    assert done.stderr == ""
    return done


def test_what_nobody_closed_is_closed_in_order() -> None:
    ended: list[tuple[list[bytes], bool]] = []

    def handler(conn: sync.Connection) -> None:
        ended.append((list(conn), conn.close()))

    with sync.serve(handler, "127.0.0.1", 0) as server:
        done = run(
            """
            conn = sync.connect("127.0.0.1", port, extended=True)
            for number in range(100):
                conn.send(b"%d" % number)
            """,
            server.port,
        )
    assert done.returncode == 0
    # An end without CLOSE would have raised.
    assert ended == [([b"%d" % number for number in range(100)], True)]


def test_threads_that_wait_hold_nothing_up() -> None:
    """Nor do they complain of what is closed under them."""
    done = run(
        """
        import atexit
        go_on = threading.Event()
        server = sync.serve(lambda conn: go_on.wait(), "127.0.0.1", 0)
        conn = sync.connect("127.0.0.1", server.port)
        threading.Thread(target=conn.recv, daemon=True).start()
        while not protocol_of(unwrap(conn)).receiver.queue.waiters:
            time.sleep(0.001)
        atexit.register(lambda: print("at exit"))
        """
    )
    assert (done.returncode, done.stdout) == (0, "at exit\n")


def test_a_peer_that_does_not_close_holds_it_up_for_a_moment_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = run(
            """
            sync.connect("127.0.0.1", port)
            conn = sync.connect("127.0.0.1", port)
            """,
            silent.getsockname()[1],
        )
    assert done.returncode == 0


def test_a_program_that_only_imports_it_starts_no_thread() -> None:
    assert run("print(threading.active_count())").stdout == "1\n"


def test_too_late() -> None:
    """What is asked for after the end of the event loop is refused, and does not hang."""
    done = run(
        """
        import gc
        from sealframe.sync import loop_thread
        server = sync.serve(echo, "127.0.0.1", 0)
        conn = sync.connect("127.0.0.1", server.port)
        loop_thread.end_shared()
        for call in (conn.recv, server.close, lambda: sync.connect("127.0.0.1", 1)):
            try:
                call()
            except sealframe.WrongLoopError as error:
                print(error)
        del conn, server
        gc.collect()
        """
    )
    assert done.stdout == 3 * (
        "the program is ending, and the event loop behind sealframe.sync with it\n"
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)"])
def test_a_child_process_starts_anew(leave: str) -> None:
    done = run(
        f"""
        import gc
        {QUIET_FORK}
        server = sync.serve(echo, "127.0.0.1", 0)
        conn = sync.connect("127.0.0.1", server.port)
        rounds = iter(sync.reconnect("127.0.0.1", server.port))
        other = next(rounds)
        child = os.fork()
        if child == 0:
            for call in (conn.recv, server.close, lambda: next(rounds)):
                try:
                    call()
                except sealframe.WrongLoopError as error:
                    print(error)
            with sync.connect("127.0.0.1", server.port) as own:
                own.send(b"from the child")
                print(own.recv())
            del conn, rounds, other
            gc.collect()
            sys.stdout.flush()
            {leave}
        assert os.waitpid(child, 0)[1] == 0
        # The parent's own are as they were.
        for each in (conn, other):
            each.send(b"from the parent")
            print(each.recv())
            each.close()
        rounds.close()
        server.close()
        """
    )
    text = "this was made before os.fork(), in the parent process: make one here\n"
    assert done.stdout == 3 * text + "b'from the child'\n" + 2 * "b'from the parent'\n"
    assert done.returncode == 0
