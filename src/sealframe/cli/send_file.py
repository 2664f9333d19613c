"""``sealframe send-file``: files and directories, until all of them have arrived."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from pathlib import Path

import click

import sealframe

from .. import (
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosed,
    FileChangedError,
    FileRefusal,
    FileRefusedError,
    FileTransferError,
    FileUnreadableError,
    LinkChange,
    NotSupportedError,
    ServerKeyChangedError,
    UnauthorizedError,
    UnknownServerError,
)
from .address import HELP, SEVERAL, ServerAddress, connect_to, server_address
from .client_sealing import Access, ClientSealing, client_sealing
from .collecting import Collected, Item, collect
from .errors import EXIT_CODES, CommandError, complain, describe
from .output import Output
from .running import run
from .sessions import session_option
from .text import size
from .transfers import Transfer, Transfers

_OPTIONS = ClientOptions(backoff_initial=0.5, backoff_maximum=15.0, close_timeout=5.0)

_LANES = 4
"""Files that are sent at a time, as many as a receiver takes."""

_BUSY_FOR = 60.0
"""Seconds in which a receiver should notice that an earlier connection is gone."""
_BUSY_PAUSE = 0.5

_CLOSING = 1.0
"""Seconds in which a receiver that stops a transfer because it ends has closed."""

_OVER = (
    *(CloseCode.REFUSED, CloseCode.UNAUTHORIZED, CloseCode.KICKED),
    *(CloseCode.PROTOCOL, CloseCode.VERSION, CloseCode.PLAIN, CloseCode.SEALED),
)
"""Ends after which it makes no sense to connect again."""

_FINAL = (UnauthorizedError, UnknownServerError, ServerKeyChangedError)
"""Failures that somebody must look at, even if it was connected before."""


@click.command("send-file", epilog=f"{HELP}\n\n{SEVERAL}\n\n{EXIT_CODES}")
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@click.argument("address", callback=server_address)
@click.option(
    "--retries",
    metavar="N",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="How often in a row to connect again although nothing more has arrived.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="Give up when not all has arrived after so long. Unless given: never.",
)
@click.option(
    "-q", "--quiet", is_flag=True, help="Show nothing but what goes wrong, and that on stderr."
)
@session_option
@client_sealing
def send_file(
    paths: tuple[Path, ...],
    address: ServerAddress,
    retries: int,
    timeout: float | None,
    quiet: bool,
    session: bool,
    sealing: ClientSealing,
) -> None:
    """Send files and directories to "sealframe receive" at ADDRESS.

    Exits with 0 only if every file has arrived: whole, compared by its digest, and on the
    disk there. The last line says how many these are, their size, the time and the rate of
    what had to be sent. When the link is lost it connects again, waits longer each time, and goes
    on where it stopped. Give the same command again to resume what was ended by Ctrl-C
    or has failed. Symbolic links in directories are not followed but skipped.
    """
    items = collect(paths)
    access = sealing.open(address)
    with access.explained():
        run(_send_all(address, access, items, retries, timeout, quiet, session))


async def _send_all(
    address: ServerAddress,
    access: Access,
    found: Collected,
    retries: int,
    timeout: float | None,
    quiet: bool,
    session: bool,
) -> None:
    output = Output(asyncio.current_task(), quiet=quiet)
    sender = _Sender(output, address, access, found.items, retries, session=session)
    try:
        async with asyncio.timeout(timeout), sender.transfers.shown():
            await sender.run()
    except TimeoutError:
        raise CommandError(
            f"not all has arrived after {timeout:g} s: {sender.count()}; "
            "the same command resumes it"
        ) from None
    output.line(sender.arrived.summary())
    if sender.failed or found.missing:
        raise CommandError(f"not all has arrived: {sender.count(found.missing)}")


class _Arrived:
    """Counts what has arrived since the command began.

    :ivar files: and empty directories, which are not in the summary
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._directories = 0
        self._bytes = 0
        self._there = 0
        self.files = 0

    def add(self, item: Item, there: int) -> None:
        """Note that one has arrived.

        :param there: bytes of it that were there before
        """
        self.files += 1
        self._directories += item.directory
        self._bytes += item.size
        self._there += there

    def summary(self) -> str:
        """Return the line that ends the command."""
        seconds = time.monotonic() - self._began
        files = self.files - self._directories
        there = f" ({size(self._there)} were there)" if self._there else ""
        rate = size((self._bytes - self._there) / max(seconds, 0.001))
        return (
            f"{files} {'file' if files == 1 else 'files'} arrived: "
            f"{size(self._bytes)}{there} in {seconds:.1f} s, {rate}/s"
        )


class _Sender:
    """Sends all files, over as many connections as it takes."""

    def __init__(
        self,
        output: Output,
        address: ServerAddress,
        access: Access,
        items: list[Item],
        retries: int,
        *,
        session: bool,
    ) -> None:
        self._address = address
        self._access = access
        self._retries = retries
        self._session = session
        self._waiting = deque(items)
        self._left = len(items)
        self._attempts_in_vain = 0
        self._was_connected = False
        self._last_trouble = ""
        self._empty = ""
        self.failed = 0
        self.arrived = _Arrived()
        self.transfers = Transfers(output, sum(item.size for item in items))

    def count(self, skipped: int = 0) -> str:
        """Say how many files arrived, and how many did not."""
        missing = self._left + self.failed + skipped
        return f"{self.arrived.files} of {self.arrived.files + missing} files arrived"

    async def run(self) -> None:
        """Send until each file has arrived or has failed for good."""
        address = self._address
        # What stands for an empty directory is ours: what somebody may put into theirs
        # meanwhile is not sent.
        with tempfile.TemporaryDirectory(prefix="sealframe-") as self._empty:
            async for conn in sealframe.connect(
                **connect_to(address),
                security=self._access.security,
                extended=self._access.security is None,
                session=self._session,
                on_link=self._link_changed,
                options=_OPTIONS,
                is_fatal=self._is_fatal,
            ):
                self._was_connected = True
                async with conn:
                    await self._access.connected(conn)
                    try:
                        await self._send_over(conn)
                    except ConnectionClosed as error:
                        if error.code in _OVER or not self._may_retry(describe(error)):
                            raise
                if not self._left:
                    return

    def _link_changed(self, _: Connection, change: LinkChange) -> None:
        if change.error is not None:
            self._tell(describe(change.error))

    async def _send_over(self, conn: Connection) -> None:
        lanes = [asyncio.create_task(self._lane(conn)) for _ in range(_LANES)]
        try:
            await asyncio.wait(lanes, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
        for lane in lanes:
            if not lane.cancelled() and (error := lane.exception()) is not None:
                raise error

    async def _lane(self, conn: Connection) -> None:
        while self._waiting:
            item = self._waiting.popleft()
            try:
                await self._send(conn, item)
            except BaseException:
                # First the one that is furthest.
                self._waiting.appendleft(item)
                raise

    async def _send(self, conn: Connection, item: Item) -> None:
        what = f"{item.name}/" if item.directory else f"{item.name} ({size(item.size)})"
        again, item.begun = item.begun, True
        doing = "sending again" if again else "sending"
        transfer = self.transfers.begin(item.name, item.size, lambda: item.sent, f"{doing} {what}")
        try:
            receipt = await self._until_free(conn, item)
        except NotSupportedError as error:
            transfer.paused()
            raise CommandError(
                f"{self._address} takes no files: start it with: sealframe receive DIRECTORY"
            ) from error
        except FileTransferError as error:
            await self._gone(conn, error, transfer)
            self._left -= 1
            self.failed += 1
            transfer.failed(f"{item.name} has not arrived: {describe(error)}")
        except BaseException:
            transfer.paused()
            raise
        else:
            self._left -= 1
            # What an attempt before this one brought was sent by this command too.
            self.arrived.add(item, 0 if again else receipt.resumed)
            self._attempts_in_vain = 0
            resumed = f", {size(receipt.resumed)} were there" if receipt.resumed else ""
            transfer.arrived(f"sent {what}{resumed}")

    async def _until_free(self, conn: Connection, item: Item) -> sealframe.files.Receipt:
        """Send it; wait while the receiver is busy with it, for a connection that is gone."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _BUSY_FOR
        while True:
            try:
                return await self._send_once(conn, item)
            except FileRefusedError as error:
                if error.code != FileRefusal.BUSY or loop.time() > until:
                    raise
            await asyncio.sleep(_BUSY_PAUSE)

    async def _send_once(self, conn: Connection, item: Item) -> sealframe.files.Receipt:
        def progress(now: sealframe.files.Progress) -> None:
            # A receiver that keeps nothing of what comes uses up the attempts.
            if now.sent > item.furthest:
                item.furthest = now.sent
                self._attempts_in_vain = 0
            item.sent = now.sent

        path = Path(self._empty) if item.directory else item.path
        return await conn.send_file(path, name=item.name, below=item.below, progress=progress)

    async def _gone(self, conn: Connection, error: FileTransferError, transfer: Transfer) -> None:
        """See whether a transfer was stopped because the receiver goes away.

        :raises ConnectionClosed: so it is
        """
        if isinstance(error, FileRefusedError | FileUnreadableError | FileChangedError):
            return
        try:
            async with asyncio.timeout(_CLOSING):
                await conn.wait_closed()
        except TimeoutError:
            return
        transfer.paused()
        raise ConnectionClosed("the receiver was stopped", code=conn.close_code) from error

    def _is_fatal(self, error: Exception) -> bool:
        if not self._was_connected or isinstance(error, _FINAL):
            return True
        return not self._may_retry(describe(error))

    def _may_retry(self, trouble: str) -> bool:
        self._attempts_in_vain += 1
        if self._attempts_in_vain > self._retries:
            return False
        self._tell(trouble)
        return True

    def _tell(self, trouble: str) -> None:
        # Each attempt fails like the one before: once is enough.
        if trouble != self._last_trouble:
            self._last_trouble = trouble
            complain(f"{trouble} (connecting again)")
