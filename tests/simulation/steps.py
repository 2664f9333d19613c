"""What may happen in a simulation, each step with numbers that choose where."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TypeVar

import pytest

from sealframe import CloseCode
from sealframe.outbox import checkpoints, store

from .network import EVERYTHING, Ending
from .world import ClientEnd, End, ServerEnd, Worker, World, close_databases, open_database

EndT = TypeVar("EndT", bound=End)

_LATE = 3
"""So many links, the last ones, are mostly of interest."""


class Steps:
    """Those of one world.

    :param positions: whether the server's program stores how far it is
    """

    def __init__(self, *, positions: bool) -> None:
        # Outboxes wait for the disk, which this has not.
        memory = Path("/dev/shm")
        self._folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self._patches = pytest.MonkeyPatch()
        for module in (store, checkpoints):
            self._patches.setattr(module, "Worker", Worker)
        # What a killed process leaves open would be complained of in some later test.
        self._patches.setattr(sqlite3, "connect", open_database)
        self.world = World(self._folder, positions=positions)

    def close_all(self) -> None:
        self.world.close()
        close_databases()
        self._patches.undo()
        shutil.rmtree(self._folder)

    def _end(self, choice: int, kind: type[EndT]) -> EndT | None:
        ends = [end for end in self.world.ends if isinstance(end, kind) and end.alive]
        return ends[choice % len(ends)] if ends else None

    # Programs

    def send(self, choice: int, count: int, size: int) -> None:
        if end := self._end(choice, End):
            end.send(count, size)

    def take(self, choice: int, count: int) -> None:
        if end := self._end(choice, End):
            for _ in range(count):
                end.turns.release()

    def ask(self, choice: int) -> None:
        if end := self._end(choice, ClientEnd):
            end.ask()

    # The network

    def deliver(self, choice: int, client: bool, count: int) -> None:
        links = self.world.network.links[-_LATE:]
        if links:
            links[choice % len(links)].deliver(client, count)

    def everything(self) -> None:
        for _ in range(3):
            self.world.network.settle()
            for link in self.world.network.links:
                for client in (True, False):
                    link.deliver(client, EVERYTHING)

    def cut(self, choice: int, left: tuple[int, int], ending: Ending) -> None:
        links = self.world.network.links
        if links:
            links[choice % len(links)].cut({True: left[0], False: left[1]}, ending)

    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    # Processes that are killed, and started again

    def kill_client(self, choice: int, back: int) -> None:
        client = self.world.clients[choice % len(self.world.clients)]
        if client.loop is None:
            client.start()
        else:
            client.kill(back)

    def kill_server(self) -> None:
        if self.world.server_loop is None:
            self.world.open()
        else:
            self.world.kill_server()

    def change_speed(self) -> None:
        self.world.slow = not self.world.slow

    # Ends

    def close(self, choice: int) -> None:
        if end := self._end(choice, End):
            self.world.may_lose = True
            end.close()

    def leave(self, choice: int) -> None:
        if end := self._end(choice, ServerEnd):
            self.world.may_lose = True
            end.leave()

    def kick(self, choice: int) -> None:
        if end := self._end(choice, End):
            self.world.may_lose = True
            for book in self.world.books.values():
                book.cut_short = True
            end.close(CloseCode.KICKED)

    def put_out_detached(self, choice: int, withdraw: bool) -> None:
        """The server puts a client out that has no link."""
        ends = [
            end
            for end in self.world.ends
            if isinstance(end, ServerEnd) and end.alive and not end.conn.connected
        ]
        if ends:
            self._put_out(ends[choice % len(ends)], withdraw=withdraw)

    def put_out(self, choice: int, withdraw: bool) -> None:
        """The server puts a client out."""
        if end := self._end(choice, ServerEnd):
            self._put_out(end, withdraw=withdraw)

    def _put_out(self, end: ServerEnd, *, withdraw: bool) -> None:
        self.world.may_lose = True
        for book in self.world.books.values():
            book.cut_short = True
        end.put_out(withdraw=withdraw)

    def close_over_restart(self, choice: int, rounds: int, client: bool, count: int) -> None:
        """A client closes, and meanwhile its server is started again.

        :param rounds: how often both ends take what has come until then
        """
        end = self._end(choice, ClientEnd)
        if end is None or self.world.server_loop is None:
            return
        self.world.may_lose = True
        end.close()
        for _ in range(rounds):
            for other in self.world.ends:
                for _ in range(20):
                    other.turns.release()
            self.everything()
            self.world.pass_time(0.03)
        for link in self.world.network.links[-_LATE:]:
            link.deliver(client, count)
        self.world.settle()
        self.world.kill_server()
        self.world.open()

    def close_server(self) -> None:
        self.world.close_server()
