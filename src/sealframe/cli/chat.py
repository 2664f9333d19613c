"""``sealframe chat``: type and read at the same time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import click

import sealframe

from .. import (
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosed,
    LinkChange,
    ServerKeyChangedError,
    SessionLostError,
    UnauthorizedError,
    UnknownServerError,
)
from .address import (
    DEFAULT,
    HELP,
    SEVERAL,
    ServerAddress,
    Several,
    connect_to,
    server_address,
    shown,
)
from .client_sealing import Access, ClientSealing, client_sealing
from .errors import EXIT_CODES, CommandError, describe
from .framing import Layout, check_framing, client_framing
from .logs import tell_errors_once
from .output import Output
from .prompt import Prompt, is_usable
from .running import run
from .sessions import session_option
from .stdin import Stdin

_OPTIONS = ClientOptions(backoff_initial=0.5, backoff_maximum=15.0, close_timeout=5.0)

_COME_BACK = (
    *(None, CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.BUSY),
    *(CloseCode.HANDLER, CloseCode.TIMEOUT, CloseCode.SLOW, CloseCode.SESSION_LOST),
)
"""Ends after which it makes sense to connect again."""

_FINAL = (UnauthorizedError, UnknownServerError, ServerKeyChangedError)
"""Failures that somebody must look at, even if it was connected before."""


@click.command(epilog=f"{HELP}\n\n{SEVERAL}\n\n{EXIT_CODES}")
@click.argument("address", callback=server_address, default=DEFAULT)
@session_option
@client_framing
@client_sealing
def chat(
    address: ServerAddress,
    session: bool,
    framing: Layout | None,
    pipelining: bool,
    sealing: ClientSealing,
) -> None:
    """Talk through the server at ADDRESS, 127.0.0.1:1234 unless given.

    Each line typed is a message, each message that comes is a line. Once it was
    connected, it connects again by itself whenever the link is lost; what is typed
    meanwhile waits. What was on its way then is lost, unless --session sends it again.
    Ctrl-D ends it after all typed was sent, Ctrl-C at once.
    Lines can come from a pipe just as well. Empty lines are not sent.
    """
    check_framing(framing, session=session, **sealing.ways)
    access = sealing.open(address)
    how = {"session": session, "framing": framing, "pipelining": pipelining}
    with access.explained():
        tell_errors_once()
        run(_chat(address, access, how))


async def _chat(address: ServerAddress, access: Access, how: dict[str, Any]) -> None:
    stdin, output = Stdin(), Output(asyncio.current_task())
    if output.terminal and sys.stdin.isatty() and is_usable():
        with Prompt(output) as prompt:
            await Chat(address, access, prompt, how).run(prompt.lines(stdin))
    else:
        await Chat(address, access, output, how).run(stdin.lines())


class Chat:
    """One conversation, over as many connections as it takes.

    :param how: the arguments of ``connect()`` that say how to talk, beside the key
    """

    def __init__(
        self, address: ServerAddress, access: Access, screen: Output | Prompt, how: dict[str, Any]
    ) -> None:
        self._address = address
        self._how = how
        self._access = access
        self._screen = screen
        self._conn: Connection | None = None
        self._connected = asyncio.Event()
        self._was_connected = False
        self._leaving = False
        # Whether the last connection that is over was closed in order.
        self._clean = True
        self._last_trouble = ""

    async def run(self, lines: AsyncIterator[bytes]) -> None:
        """Talk until the lines end or the server is not to be had."""
        staying = asyncio.create_task(self._stay_connected())
        typing = asyncio.create_task(self._send(lines))
        try:
            await asyncio.wait({staying, typing}, return_when=asyncio.FIRST_COMPLETED)
            await (typing if typing.done() else staying)
            await self._leave(staying)
        finally:
            staying.cancel()
            typing.cancel()
            await asyncio.gather(staying, typing, return_exceptions=True)

    async def _send(self, lines: AsyncIterator[bytes]) -> None:
        async for line in lines:
            while line:
                await self._connected.wait()
                assert self._conn is not None
                try:
                    await self._conn.send(line)
                except ConnectionClosed:
                    # It was not accepted: it waits for the next connection.
                    self._connected.clear()
                else:
                    break
        if not self._was_connected:
            await self._connected.wait()

    async def _leave(self, staying: asyncio.Task[None]) -> None:
        self._leaving = True
        conn = self._conn
        if conn is not None:
            self._clean = await conn.close()
        if conn is not None or staying.done():
            # What came until the close is still shown, and what ended it is raised.
            await staying
        if not self._clean:
            raise CommandError(
                "the server did not confirm the close: it may not have got everything"
            )

    async def _stay_connected(self) -> None:
        address = self._address
        async for conn in sealframe.connect(
            **connect_to(address),
            security=self._access.security,
            **self._how,
            on_link=self._link_changed,
            options=_OPTIONS,
            is_fatal=self._is_fatal,
        ):
            self._was_connected = True
            self._last_trouble = ""
            self._conn = conn
            try:
                await self._access.connected(conn)
                self._connected.set()
                where = shown(conn.remote_address) if isinstance(address, Several) else address
                self._screen.notice(f"connected to {where}, {_how(conn)}", "green")
                await self._receive(conn)
            finally:
                self._connected.clear()
                self._conn = None
                self._clean = await conn.close()
            if self._leaving:
                return

    async def _receive(self, conn: Connection) -> None:
        trouble, lost = "the server closed the connection", False
        try:
            async for message in conn:
                self._screen.message(message)
            foreign = self._how["framing"] is not None
            if not conn.stats.messages_received and not conn.sealed and not foreign:
                trouble += " without a word: if it expects a key, use --key or --identity"
        except ConnectionClosed as error:
            if error.code not in _COME_BACK:
                raise
            trouble = describe(error)
            lost = isinstance(error, SessionLostError)
        if conn.stats.unsent and not lost:
            trouble += f"; {conn.stats.unsent} messages were not sent"
        self._report(trouble)

    def _link_changed(self, _: Connection, change: LinkChange) -> None:
        if change.error is not None:
            self._report(describe(change.error))
        elif not self._leaving:
            self._last_trouble = ""
            self._screen.notice(f"connected again after {change.after:.1f} s", "green")

    def _is_fatal(self, error: Exception) -> bool:
        if not self._was_connected or isinstance(error, _FINAL):
            return True
        self._report(describe(error))
        return False

    def _report(self, trouble: str) -> None:
        # Each attempt fails like the one before: once is enough.
        if trouble != self._last_trouble and not self._leaving:
            self._last_trouble = trouble
            self._screen.notice(f"{trouble} (connecting again)", "yellow")


def _how(conn: Connection) -> str:
    if not conn.sealed:
        return "plain"
    server = f", server key {conn.peer.key}" if conn.peer is not None else ""
    how = "sealed" if conn.post_quantum else "sealed without post-quantum"
    return f"{how}, as {conn.id}{server}"
