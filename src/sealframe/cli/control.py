"""The control socket of ``serve`` and ``receive``: requests to a server that runs, as JSON.

It is a Unix socket with mode 0600: the user that runs the server, and root, may connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click

import sealframe

from .. import (
    ClientOptions,
    ConnectError,
    Connection,
    DecodeError,
    HandshakeError,
    HandshakeTimeoutError,
    NotSupportedError,
    RemoteError,
    RequestTimeoutError,
    SealframeError,
    Server,
    ServerIdentity,
    ServerOptions,
    SharedKey,
)
from .announcing import join_command
from .errors import CommandError, Exit, describe
from .logs import tell_errors_once
from .output import Output
from .running import run
from .sealing import FILE, Command
from .text import visible
from .watching import Watched

_OPTIONS = ServerOptions(close_timeout=1.0)

_TIMEOUT = 10.0
"""Seconds that a server has to answer."""

_ONLY_ITS_OWNER = 0o177
"""The umask with which a socket gets mode 0600."""

_OF_SERVER = "The control socket of the running server: what its own --control says."

NO_IDENTITY = "NoIdentity"
BAD_NAME = "BadName"
REFUSED = "Refused"
UNKNOWN = "UnknownRequest"

_CODES = {NO_IDENTITY: Exit.KEY, BAD_NAME: Exit.USAGE}
"""Exit codes for errors of these types; for others it is 1."""


def _socket_path(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and not hasattr(socket, "AF_UNIX"):
        raise click.BadParameter("this platform has no Unix sockets", ctx, param)
    return value


def _option(command: Command, text: str, *, required: bool) -> Command:
    return click.option(
        "--control",
        metavar="PATH",
        type=FILE,
        callback=_socket_path,
        required=required,
        help=text,
    )(command)


def control_option(command: Command) -> Command:
    """Add ``--control`` to a server; the command gets it as ``control``."""
    text = (
        'Listen on a Unix socket there for "sealframe invite" and "sealframe clients". '
        "Only the user that runs the server, and root, may connect."
    )
    return _option(command, text, required=False)


def controlling_option(command: Command) -> Command:
    """Add the ``--control`` of a server that runs; the command gets it as ``control``."""
    return _option(command, _OF_SERVER, required=True)


def control_of_server_option(command: Command) -> Command:
    """Add the same to a command that can do without; it then gets None."""
    return _option(command, _OF_SERVER, required=False)


class Control:
    """Answers what comes on the control socket.

    :param joining: the command, without its options, of a client that is invited
    """

    def __init__(
        self, output: Output, security: SharedKey | ServerIdentity | None, joining: str
    ) -> None:
        self._output = output
        self._security = security
        self._joining = joining
        self._started: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
        self._watched: Watched | None = None

    def start(self, server: Server) -> None:
        """Begin to answer; requests that came before have waited."""
        self._watched = Watched(server)
        self._started.set_result(server)

    def close(self) -> None:
        """Keep nothing for later."""
        if self._watched is not None:
            self._watched.close()

    async def answer(self, conn: Connection[Any, Any], request: Any) -> Any:
        """Answer one request.

        :raises RemoteError: it cannot be done; the types are the constants above
        """
        server = await asyncio.shield(self._started)
        match request:
            case {"do": "clients"}:
                return server.stats()["clients"]
            case {"do": "count"}:
                return len(server.clients)
            case {"do": "dashboard", "views": [*views]} if self._watched is not None:
                return await self._watched.answer(views)
            case {"do": "invite", "name": str(name)}:
                return self._invite(server, name)
        raise RemoteError(UNKNOWN, "this server is of a version that has no such request")

    def _invite(self, server: Server, name: str) -> dict[str, str]:
        if not isinstance(self._security, ServerIdentity):
            raise RemoteError(
                NO_IDENTITY,
                "this server has no identity, and so nobody can be invited: start it with "
                "--identity FILE --clients FILE",
            )
        try:
            invitation = self._security.invite(name)
        except SealframeError as error:
            raise RemoteError(REFUSED, str(error)) from None
        except ValueError as error:
            raise RemoteError(BAD_NAME, f"NAME: {error}") from None
        self._output.line(f"invited {visible(name)}", "bold")
        return {
            "invitation": invitation.to_text(),
            "joining": join_command(server.addresses, self._joining),
        }


@contextlib.asynccontextmanager
async def controlled(
    path: Path | None, output: Output, security: SharedKey | ServerIdentity | None, joining: str
) -> AsyncIterator[Control]:
    """Listen on a control socket meanwhile, if there is to be one.

    Enter this before the server itself starts: the umask, which belongs to the whole process,
    is another one for a moment.

    :param joining: the command, without its options, of a client that is invited
    :raises ListenError: another server has that socket, or it cannot be made
    """
    control = Control(output, security, joining)
    if path is None:
        yield control
        return
    # bind(2) takes the mode from the umask, so there is no moment at which others may connect.
    before = os.umask(_ONLY_ITS_OWNER)
    try:
        server = await sealframe.serve(
            None,
            path=path,
            on_request=control.answer,
            codec=sealframe.codecs.Json(),
            options=_OPTIONS,
        )
    finally:
        os.umask(before)
    try:
        yield control
    finally:
        await server.close(timeout=0)
        control.close()


def ask(path: Path, request: dict[str, str]) -> Any:
    """Return what the server with that control socket answers.

    :raises CommandError: there is none, or it says that this cannot be done
    """
    tell_errors_once()
    return run(_ask(path, request))


async def _ask(path: Path, request: dict[str, str]) -> Any:
    try:
        async with sealframe.connect(
            path=path,
            extended=True,
            codec=sealframe.codecs.Json(),
            options=ClientOptions(close_timeout=1.0, handshake_timeout=_TIMEOUT),
        ) as conn:
            return await conn.request(request, timeout=_TIMEOUT)
    except RemoteError as error:
        raise CommandError(error.message, _CODES.get(error.type, Exit.FAILED)) from None
    except (HandshakeTimeoutError, RequestTimeoutError):
        raise CommandError(f"no answer from {path} within {_TIMEOUT:g} s") from None
    except (HandshakeError, NotSupportedError, DecodeError):
        raise CommandError(
            f"{path} is not a control socket; give what the --control of the server says"
        ) from None
    except ConnectError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            advice = "; only the user that runs the server, and root, may"
        else:
            advice = f" Its command needs --control {path}"
        raise CommandError(describe(error) + advice) from None
