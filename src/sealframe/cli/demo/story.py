"""What happens in the demo, in order."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sealframe

from ... import ServerOptions
from ..errors import CommandError
from ..text import size
from .forwarder import Forwarder
from .links import Links
from .room import Member, Room, difference
from .view import View

TIME_LIMIT = 30.0
"""Seconds after which the demo gives up; it takes about five."""

_NAMES = ("north", "east", "south", "west")
_PAUSE = 0.35
"""Seconds between lines that are to be read."""
_SMALL = 20_000
_SMALL_SIZE = 128
_FILE_SIZE = 4 * 1024 * 1024

_OPTIONS = ServerOptions(outbox_limit=32 * 1024 * 1024)


class Story:
    """One run of the demo.

    :param loop_name: the event loop's, for the summary
    """

    def __init__(self, view: View, room: Room, links: Links, loop_name: str) -> None:
        self._view = view
        self._links = links
        self._loop_name = loop_name
        self._room = room
        self._seconds: dict[str, float] = {}
        self._members: dict[str, Member] = {}

    async def tell(self) -> None:
        """Run it, and print the summary.

        :raises CommandError: something was lost, doubled or changed on the way
        """
        try:
            async with asyncio.timeout(TIME_LIMIT):
                await self._play()
        except TimeoutError:
            raise CommandError(f"the demo did not end within {TIME_LIMIT:.0f} s") from None
        self._sum_up()

    async def _play(self) -> None:
        room, view, security = self._room, self._view, self._links.security
        async with (
            sealframe.serve(
                room.handle, "127.0.0.1", 0, security=security, options=_OPTIONS
            ) as server,
            Forwarder(server.port) as network,
        ):
            room.server = server
            for name in _NAMES:
                port = network.port if name == "west" else server.port
                self._members[name] = Member(name, port, security, view.event)
            with view.live(list(self._members.values())):
                staying = [asyncio.create_task(member.stay()) for member in self._members.values()]
                telling = asyncio.create_task(self._chapters(server.port, network))
                try:
                    await _first_to_end(telling, *staying)
                    await server.close("the demo is over")
                    await asyncio.gather(*staying)
                finally:
                    for task in (telling, *staying):
                        task.cancel()
                    await asyncio.gather(telling, *staying, return_exceptions=True)

    async def _chapters(self, port: int, network: Forwarder) -> None:
        self._view.event("server", f"listens on 127.0.0.1:{port}, {self._links.listening}")
        await self._join()
        await self._talk()
        await self._many()
        await self._file()
        await self._cut(network)

    async def _join(self) -> None:
        self._view.chapter("four clients join")
        with self._measured("joining"):
            for member in self._members.values():
                await member.until(lambda member=member: member.joined == 1)  # type: ignore[misc]
        for member in self._members.values():
            way = ", through a network that will fail" if member.name == "west" else ""
            self._view.event(member.name, f"is here as {member.id}{way}")
        await self._pause()

    async def _talk(self) -> None:
        self._view.chapter("they talk; each message reaches all four")
        for name, text in (
            ("north", "hello from the north"),
            ("east", "здравствуй, grüß dich, 你好"),
            ("south", "colours \x1b[31mdo not get through\x1b[0m to your terminal"),
            ("west", self._links.said),
        ):
            await self._say(name, text.encode())
            self._view.event(name, text)
            await self._pause()
        announcement = "a broadcast from the server: one call, sent to all"
        self._room.say(announcement.encode())
        await self._all_have(len(self._room.said))
        self._view.event("server", announcement)
        await self._pause()

    async def _many(self) -> None:
        count = f"{_SMALL:,} messages of {_SMALL_SIZE} bytes"
        self._view.chapter(f"{count}, as fast as they go")
        expected = len(self._room.said) + _SMALL
        north = self._members["north"]
        with self._measured("small"):
            for number in range(_SMALL):
                await north.say(b"%*d" % (_SMALL_SIZE, number))
            await self._all_have(expected)
        self._view.event("north", f"all four have all of them: {self._small_rate()}")
        await self._pause()

    async def _file(self) -> None:
        self._view.chapter(f"a file of {size(_FILE_SIZE)}, as one message")
        data = _file_bytes()
        expected = hashlib.sha256(data).hexdigest()
        with self._measured("file"):
            await self._say("east", data)
        self._view.event("east", f"SHA-256 {expected[:24]}…  sent in {self._seconds['file']:.3f} s")
        for member in self._members.values():
            got = hashlib.sha256(member.got[-1]).hexdigest()
            same = "the same" if got == expected else "DIFFERENT"
            self._view.event(member.name, f"SHA-256 {got[:24]}…  {same}")
        await self._pause()

    async def _cut(self, network: Forwarder) -> None:
        self._view.chapter("the network of west fails; it comes back by itself")
        west = self._members["west"]
        with self._measured("away"):
            network.cut()
            await west.until(lambda: west.state != "here")
            for number in range(1, 4):
                text = f"said while west is away, {number} of 3"
                self._room.say(text.encode())
                self._view.event("server", text)
                await self._pause()
            network.mend()
            await west.until(lambda: west.joined > 1)
            await self._all_have(len(self._room.said))
        self._view.event(
            "west", f"back after {self._seconds['away']:.1f} s, and has all that it missed"
        )
        await self._say("west", b"west is back")
        await self._pause()

    def _sum_up(self) -> None:
        said = self._room.said
        members = self._members.values()
        found = {member.name: difference(said, member.got) for member in members}
        lost = sum(one.lost for one in found.values())
        wrong = sum(one.differing + one.surplus for one in found.values())
        delivered = sum(len(member.got) for member in members)
        received = sum(member.bytes_received for member in members)
        joining = self._seconds["joining"]
        sealed = self._links.summary.format(links=sum(member.joined for member in members))
        good = not any(found.values())
        self._view.summary(
            [
                ("messages", f"{len(said):,} said, {delivered:,} delivered to 4 clients"),
                ("bytes", f"{size(received)} received by them, on the wire"),
                ("rates", f"{self._small_rate()}; {self._file_rate()}"),
                ("sealed", f"{sealed}, the first four in {joining:.3f} s"),
                ("codec", f"{sealframe.IMPLEMENTATION}, event loop {self._loop_name}"),
                ("lost", f"{lost}, differing or doubled: {wrong}"),
            ],
            "All is well." if good else "Something went wrong.",
            good=good,
        )
        if not good:
            raise CommandError(f"{lost} messages were lost and {wrong} differ: please report this")

    def _small_rate(self) -> str:
        return f"{4 * _SMALL / self._seconds['small']:,.0f} messages/s"

    def _file_rate(self) -> str:
        return f"{size(4 * _FILE_SIZE / self._seconds['file'])}/s"

    async def _say(self, name: str, message: bytes) -> None:
        expected = len(self._room.said) + 1
        await self._members[name].say(message)
        await self._all_have(expected)

    async def _all_have(self, count: int) -> None:
        for member in self._members.values():
            await member.until(lambda member=member: len(member.got) >= count)  # type: ignore[misc]

    async def _pause(self) -> None:
        await asyncio.sleep(_PAUSE)

    @contextlib.contextmanager
    def _measured(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[what] = time.perf_counter() - start


async def _first_to_end(telling: asyncio.Task[None], *staying: asyncio.Task[None]) -> None:
    """Wait for the story; a client that ends before it has failed."""
    done, _ = await asyncio.wait({telling, *staying}, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    if telling not in done:
        raise CommandError("a client left before the end")


def _file_bytes() -> bytes:
    """Return the bytes of a file of random content, read from the disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(os.urandom(_FILE_SIZE))
        return path.read_bytes()
