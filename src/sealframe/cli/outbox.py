"""``sealframe outbox``, and what ``sealframe send --outbox`` does: messages that are in a file
until the server has them."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator

import click

import sealframe

from .. import (
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosed,
    Outbox,
    OutboxError,
    OutboxState,
    SessionLostError,
    is_fatal,
)
from .address import ServerAddress, connect_to
from .client_sealing import Access
from .errors import CommandError, Exit, describe, exit_code
from .output import Output
from .running import run
from .text import size

_STATES = {
    "new": "the next one: it begins once a server answers",
    "begun": "a server knows it",
    "superseded": "over: a copy of this file goes on with it",
}


@click.command(
    epilog="""\b
Exit codes:
  0    nothing waits
  1    messages wait
  2    there is no such file, it is damaged, or it is in use and --begin-anew was given
  130  ended by Ctrl-C
  143  ended by SIGTERM"""
)
@click.argument("file", type=click.Path())
@click.option(
    "--begin-anew",
    type=click.Choice(["resend", "forget"]),
    help="Where the server has lost the session: have another one begin with what waits. Messages "
    "that may have arrived are sent once more, or forgotten; then show what is left.",
)
def outbox(file: str, begin_anew: str | None) -> None:
    """Show what is in FILE, in which "sealframe send --outbox" and other programs keep messages.

    It may be in use meanwhile.
    """
    stored = Outbox(file)
    try:
        if begin_anew is not None:
            # Else a name that is mistyped would become an outbox.
            run(stored.look())
            run(stored.begin_anew(resend_unknown=begin_anew == "resend"))
        state = run(stored.look())
    except OutboxError as error:
        raise CommandError(describe(error), Exit.USAGE) from error
    output = Output()
    for name, value in (
        ("accepted", state.accepted),
        ("acknowledged", state.acknowledged),
        ("waiting", state.waiting),
        ("session", f"{state.name} ({_STATES[state.session]})"),
        ("size", f"{size(state.cost)} of messages, {size(state.file_size)} on the disk"),
    ):
        output.line(f"{name:12}  {value}")
    click.get_current_context().exit(Exit.FAILED if state.waiting else Exit.DONE)


async def send_through(
    outbox: Outbox,
    address: ServerAddress,
    access: Access,
    messages: AsyncIterator[bytes],
    timeout: float,
) -> None:
    """Store messages, and send them and what the file had before.

    :param timeout: seconds until all is acknowledged, once all is stored; as long for the first
        attempt to connect
    :raises CommandError: some wait, or nothing was stored; the text says how many and why
    """
    refusals: list[Exception] = []

    def note(error: Exception) -> bool:
        # Whatever the server says, the messages are to be stored.
        refusals[:] = [error]
        return False

    try:
        conn = await sealframe.connect(
            **connect_to(address),
            security=access.security,
            session=outbox,
            options=ClientOptions(connect_timeout=timeout, close_timeout=timeout),
            is_fatal=note,
        )
    except (OutboxError, SessionLostError) as error:
        # The file itself takes nothing.
        text = f"nothing of this command was stored in {outbox.path}: {_described(outbox, error)}"
        raise CommandError(text, exit_code(error)) from error
    before = await outbox.look()
    failure: Exception | None = None
    try:
        await _store(conn, messages)
    except (ConnectionClosed, OutboxError) as error:
        failure = error
    # What no retry cures is not waited for.
    hopeless = not conn.connected and any(map(is_fatal, refusals))
    clean = await conn.close(CloseCode.HANDLER if hopeless else CloseCode.NORMAL)
    state = await outbox.look()
    reason = failure or await _end_of(conn)
    if not isinstance(reason, SessionLostError) and refusals:
        reason = failure or refusals[-1]
    if state.waiting or failure is not None:
        raise _waiting(outbox, before, state, reason and access.explain(reason), failure)
    if reason is not None and not isinstance(reason, ConnectionClosed):
        clean = False
    if not clean:
        text = "" if reason is None else f": {_described(outbox, reason)}"
        raise CommandError(f"nothing waits, and the close was not clean{text}")


async def _store(conn: Connection, messages: AsyncIterator[bytes]) -> None:
    """Send all messages. What comes is dropped, so that it does not hold the server up."""
    dropping = asyncio.create_task(_end_of(conn))
    try:
        async for message in messages:
            await conn.send(message)
    finally:
        dropping.cancel()
        await asyncio.wait([dropping])


async def _end_of(conn: Connection) -> Exception | None:
    """Drop what comes until the connection is over; return what ended it, None if all is well."""
    try:
        async for _ in conn:
            """Nothing is wanted of it."""
    except ConnectionClosed as error:
        return error
    return None


def _described(outbox: Outbox, error: Exception) -> str:
    """Return an error's text with the command that does what it advises."""
    command = f"sealframe outbox {shlex.quote(outbox.path)} --begin-anew resend"
    choice = f'"{command}", or "forget" in place of "resend" to drop messages that may have arrived'
    return describe(error).replace("Outbox.begin_anew()", choice)


def _waiting(
    outbox: Outbox,
    before: OutboxState,
    now: OutboxState,
    reason: Exception | None,
    failure: Exception | None,
) -> CommandError:
    """Return the error that says what waits.

    :param reason: why
    :param failure: why not all messages of this command were stored
    """
    waiting = "1 message waits" if now.waiting == 1 else f"{now.waiting} messages wait"
    text = f"{waiting} in {outbox.path}"
    code = Exit.WAITING
    if failure is not None:
        stored = now.accepted - before.accepted
        text = f"after {stored} messages of this command none was stored; {text}"
        code = Exit.FAILED
    if reason is not None:
        text += f": {_described(outbox, reason)}"
        if is_fatal(reason) or isinstance(reason, CommandError):
            code = exit_code(reason)
    return CommandError(text, code)
