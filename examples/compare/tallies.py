"""What comes of messages: counted over a cut, to a sleeper, to a crowd, to one who is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from .lab import MIB, Fact, memory


class Tally:
    """Numbered messages over a link that is cut: which were sent, came, and were reported lost."""

    COUNT: Final = 2000
    CUT_AFTER: Final = 500_000
    """Half of what is sent until the pause: the other half is on its way when the link goes."""

    def __init__(self) -> None:
        self.got: set[int] = set()
        self.told: set[int] = set()

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield messages of 1,000 bytes, with a pause in their midst in which the link is cut."""
        for number in range(self.COUNT):
            if number == self.COUNT // 2:
                await asyncio.sleep(1)
            yield number.to_bytes(4) + bytes(996)
            await asyncio.sleep(0)

    def take(self, message: bytes) -> None:
        """Note what has come."""
        self.got.add(int.from_bytes(message[:4]))

    def failed(self, message: bytes) -> None:
        """Note what the library said was not sent."""
        self.told.add(int.from_bytes(message[:4]))

    async def fact(self, again: str) -> Fact:
        """Return the outcome, once nothing more comes.

        :param again: how the program came to its next connection
        """
        await settled(lambda: len(self.got))
        lost = set(range(self.COUNT)) - self.got
        return {"again": again, "lost": len(lost), "silently": len(lost - self.told)}


async def settled(count: Callable[[], int], quiet: float = 1.0) -> None:
    """Wait until a number has not changed for some seconds."""
    last, since = count(), 0.0
    while since < quiet:
        await asyncio.sleep(0.1)
        since = since + 0.1 if count() == last else 0.0
        last = count()


CHUNK: Final = bytes(65536)


async def send_to_sleeper(send: Callable[[bytes], Awaitable[object]], limit: int = 256) -> Fact:
    """Send messages of 64 KiB to an end that takes none, until the sender has to wait.

    :param limit: MiB after which it is not expected any more
    """
    before, sent = memory(), 0
    with contextlib.suppress(TimeoutError):
        while sent < limit * MIB:
            async with asyncio.timeout(2):
                await send(CHUNK)
            sent += len(CHUNK)
            await asyncio.sleep(0)
    return {"waits": sent < limit * MIB, "sent": sent // MIB, "held": max(0, memory() - before)}


class Audience:
    """Two clients that read and one that does not, of a broadcast of 1,000 messages of 64 KiB."""

    COUNT: Final = 1000

    def __init__(self) -> None:
        self.got = [0, 0]
        self._before = memory()

    async def hear(self, listener: int, message: object) -> None:
        """Count what a client got.

        :param listener: 0 or 1
        """
        self.got[listener] += 1

    async def broadcast(self, send: Callable[[bytes], Awaitable[object]]) -> Fact:
        """Broadcast, no faster than those who read can follow."""
        self._before = memory()
        with contextlib.suppress(TimeoutError):
            for number in range(self.COUNT):
                async with asyncio.timeout(2):
                    await send(CHUNK)
                    while min(self.got) < number - 4:
                        await asyncio.sleep(0.0005)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while min(self.got) < self.COUNT:
                    await asyncio.sleep(0.01)
        return {"got": min(self.got), "held": max(0, memory() - self._before)}


class Cancelled:
    """A receiver that gives up after 2 ms and tries again, until all that came has been taken."""

    COUNT: Final = 100

    def __init__(self) -> None:
        self._good: set[int] = set()

    @staticmethod
    def messages() -> list[bytes]:
        """Return what is sent, 256 KiB each, so that one takes several reads."""
        return [number.to_bytes(4) * 65536 for number in range(Cancelled.COUNT)]

    async def receive(self, recv: Callable[[], Awaitable[bytes]]) -> Fact:
        """Receive with a time-out."""
        empty = 0
        while len(self._good) < self.COUNT and empty < 500:
            try:
                message = await asyncio.wait_for(recv(), 0.002)
            except TimeoutError:
                empty += 1
                continue
            except Exception:
                break
            except asyncio.CancelledError:
                # Of the call, not of this program.
                break
            empty = 0
            number = int.from_bytes(message[:4])
            if message == number.to_bytes(4) * 65536:
                self._good.add(number)
        return {"lost": self.COUNT - len(self._good)}
