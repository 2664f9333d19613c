"""``sealframe send``: one message, a file's bytes, or stdin line by line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import click

import sealframe

from .. import ClientOptions, CloseCode, Connection, Outbox
from .address import HELP, SEVERAL, ServerAddress, connect_to, server_address
from .client_sealing import Access, ClientSealing, client_sealing
from .errors import EXIT_CODES, CommandError
from .framing import Layout, check_framing, client_framing
from .logs import tell_errors_once
from .outbox import send_through
from .output import Output
from .running import run
from .sessions import session_option
from .stdin import Stdin

_TIMEOUT = 10.0


def _only_one(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> str | None:
    if len(value) > 1:
        raise click.UsageError("give one MESSAGE, in quotes where it has spaces, then ADDRESS")
    return value[0] if value else None


def _behind_the_message(ctx: click.Context, param: click.Parameter, value: str) -> ServerAddress:
    try:
        return server_address(ctx, param, value)
    except click.BadParameter as error:
        hint = f"{error.message}; ADDRESS is the last argument"
        raise click.BadParameter(hint, ctx, param) from None


@click.command(epilog=f"{HELP}\n\n{SEVERAL}\n\n{EXIT_CODES}")
@click.argument("message", nargs=-1, metavar="[MESSAGE]", callback=_only_one)
@click.argument("address", callback=_behind_the_message)
@click.option("--lines", is_flag=True, help="Send each line of stdin as one message.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="PATH",
    help="Send a file's bytes as one message; - is stdin. For large files, directories and "
    "whatever is to arrive for certain there is: sealframe send-file",
)
@click.option(
    "--wait",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Then wait for N messages and print each on a line.",
)
@session_option
@click.option(
    "--outbox",
    metavar="FILE",
    type=click.Path(),
    help="Store what is to be sent in FILE first, and send it with what waits there already. What "
    "does not arrive goes with the next such command. The server needs --sessions. Without "
    "MESSAGE, --file and --lines only what waits is sent.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="With --outbox: how long to connect, and then to wait until all has arrived; "
    f"{_TIMEOUT:.0f} unless given.",
)
@client_framing
@client_sealing
def send(
    message: str | None,
    address: ServerAddress,
    lines: bool,
    file: str | None,
    wait: int,
    session: bool,
    outbox: str | None,
    timeout: float | None,
    framing: Layout | None,
    pipelining: bool,
    sealing: ClientSealing,
) -> None:
    """Send MESSAGE, a file, or lines from stdin to the server at ADDRESS.

    Exits with 0 only if the close was clean. Sealed, or with --session, that means that
    the server took everything; plain, that all bytes left and the server closed in order.
    With --outbox it means that the server took all that was in the file.
    """
    check_framing(framing, session=session, outbox=outbox, **sealing.ways)
    given = (message is not None) + lines + (file is not None)
    if outbox is not None:
        _check_outbox(wait, sealing)
    elif timeout is not None:
        raise click.UsageError("--timeout needs --outbox")
    if given > 1 or (outbox is None and not given):
        raise click.UsageError("give either a MESSAGE, or --file PATH, or --lines")
    access = sealing.open(address)
    data = None
    if message is not None:
        data = message.encode(errors="surrogateescape")
    elif file is not None and file != "-":
        data = Path(file).read_bytes()
    with access.explained():
        tell_errors_once()
        if outbox is not None:
            run(
                _send_stored(
                    Outbox(outbox),
                    address,
                    access,
                    data,
                    lines=lines,
                    given=bool(given),
                    timeout=_TIMEOUT if timeout is None else timeout,
                )
            )
            return
        how = _How(session=session, framing=framing, pipelining=pipelining)
        run(_send_from(address, access, data, wait, how, lines=lines))


async def _send_from(
    address: ServerAddress,
    access: Access,
    message: bytes | None,
    wait: int,
    how: _How,
    *,
    lines: bool,
) -> None:
    """Connect, send the message, or without one what is on stdin, and close."""
    replies = _Replies(Output(asyncio.current_task()), wait)
    messages = await _read(message, lines=lines)
    async with sealframe.connect(
        **connect_to(address),
        security=access.security,
        session=how.session,
        framing=how.framing,
        pipelining=how.pipelining,
        options=ClientOptions(),
    ) as conn:
        await access.connected(conn)
        await _converse(conn, messages, replies)
        clean = await conn.close()
    async for _ in conn:
        """Nothing more is wanted; what ended the connection is raised."""
    if not clean or conn.close_code not in (None, CloseCode.NORMAL):
        raise CommandError(
            "the server did not confirm the close: it may not have got everything"
            + (f" ({conn.close_reason})" if conn.close_reason else "")
        )


@dataclass(frozen=True, kw_only=True)
class _How:
    """How to talk to the server, beside the key."""

    session: bool
    framing: Layout | None
    pipelining: bool


class _Replies:
    """Prints as many messages as were asked for, and drops the others."""

    def __init__(self, output: Output, wanted: int) -> None:
        self._output = output
        self._wanted = wanted
        self.complete = asyncio.Event()
        if not wanted:
            self.complete.set()

    def take(self, message: bytes) -> None:
        if self._wanted:
            self._output.message(message)
            self._wanted -= 1
            if not self._wanted:
                self.complete.set()


async def _converse(conn: Connection, messages: AsyncIterator[bytes], replies: _Replies) -> None:
    """Send all messages and await the replies; read all the while.

    A client that does not read while it sends holds up a server that answers.
    """
    sent = 0

    async def send_all() -> None:
        nonlocal sent
        async for message in messages:
            await conn.send(message)
            sent += 1
        await replies.complete.wait()

    async def receive() -> None:
        async for message in conn:
            replies.take(message)

    receiving = asyncio.create_task(receive())
    sending = asyncio.create_task(send_all())
    try:
        await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done():
            await receiving
        if sending.done():
            await sending
        else:
            raise CommandError(
                f"the server closed the connection after {sent} messages, before all was done"
            )
    finally:
        receiving.cancel()
        sending.cancel()
        await asyncio.gather(receiving, sending, return_exceptions=True)


async def _read(message: bytes | None, *, lines: bool) -> AsyncIterator[bytes]:
    """Return the message as the only one, or without it what is on stdin."""
    if lines:
        return Stdin().lines()
    # A read in this thread could miss Ctrl-C between two calls of the system.
    return _all_of(await Stdin().read_all() if message is None else message)


async def _all_of(*messages: bytes) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


async def _send_stored(
    outbox: Outbox,
    address: ServerAddress,
    access: Access,
    message: bytes | None,
    *,
    lines: bool,
    given: bool,
    timeout: float,
) -> None:
    messages = await _read(message, lines=lines) if given else _all_of()
    await send_through(outbox, address, access, messages, timeout)


def _check_outbox(wait: int, sealing: ClientSealing) -> None:
    if wait:
        raise click.UsageError("--wait and --outbox cannot work together")
    if sealing.invitation is not None:
        raise click.UsageError(
            "--invitation and --outbox cannot work together: use the invitation once without"
        )
