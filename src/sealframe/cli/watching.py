"""Both ends of what a dashboard asks a running server for, over its control socket."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeGuard

import sealframe

from .. import (
    ClientOptions,
    Connection,
    ConnectionClosed,
    DecodeError,
    NotSupportedError,
    RemoteError,
    SealframeError,
    Server,
)
from ..dashboard.hub import MAX_VIEWERS, POINT
from ..dashboard.source import ServerSource, Source, SourceError
from ..dashboard.views import View, ViewError
from .errors import describe

BAD_VIEW: Final = "BadView"

_TIMEOUT: Final = 5.0
"""Seconds that a server has to answer."""

_FORGOTTEN: Final = 10.0
"""Seconds after the last question when the figures of the clients are let go."""


class Watched:
    """Answers the dashboards of one server, which may be several commands."""

    def __init__(self, server: Server) -> None:
        self._source = ServerSource(server)
        self._loop = asyncio.get_running_loop()
        self._resting: asyncio.TimerHandle | None = None

    async def answer(self, views: Sequence[Any]) -> dict[str, Any]:
        """Return what :meth:`Source.look` does.

        :param views: the query of each view
        :raises RemoteError: one of them is no view, or there are too many
        """
        if len(views) > MAX_VIEWERS:
            raise RemoteError(BAD_VIEW, f"a dashboard may ask for {MAX_VIEWERS} views at once")
        try:
            wanted = [View.parse(view) for view in views]
        except (ViewError, AttributeError) as error:
            raise RemoteError(BAD_VIEW, str(error)) from None
        if self._resting is not None:
            self._resting.cancel()
        self._resting = self._loop.call_later(_FORGOTTEN, self._source.rest)
        return await self._source.look(wanted)

    def close(self) -> None:
        """Let go of everything: the server ends."""
        if self._resting is not None:
            self._resting.cancel()


class ControlSource(Source):
    """A server of another process, by its control socket. It is looked for again when it is gone.

    :param path: of the socket
    """

    def __init__(self, path: Path) -> None:
        self.title = f"sealframe server at {path}"
        self._path = path
        self._conn: Connection[Any, Any] | None = None

    async def look(self, views: Sequence[View]) -> dict[str, Any]:
        """Ask the server.

        :raises SourceError: it is not there, does not answer, or cannot; what has that socket
            answers with something else than figures, or with those of another version
        """
        try:
            conn = await self._connection()
            question = {"do": "dashboard", "views": [view.query() for view in views]}
            answer = await conn.request(question, timeout=_TIMEOUT)
        except RemoteError as error:
            raise SourceError(error.message) from None
        except (SealframeError, OSError) as error:
            await self.close()
            raise SourceError(self._explained(error)) from None
        if not _can_be_shown(answer, len(views)):
            raise SourceError(
                f"what answers at {self._path} is no server that can be shown: give what the "
                "--control of the server is, and run both with the same version of sealframe"
            )
        return answer

    def rest(self) -> None:
        """Nothing is kept here but the connection."""

    async def close(self) -> None:
        """Close the connection to the server."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()

    async def _connection(self) -> Connection[Any, Any]:
        if self._conn is None or self._conn.closed:
            self._conn = await sealframe.connect(
                path=self._path,
                extended=True,
                codec=sealframe.codecs.Json(),
                options=ClientOptions(close_timeout=1.0, handshake_timeout=_TIMEOUT),
            )
        return self._conn

    def _explained(self, error: SealframeError | OSError) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer from {self._path} within {_TIMEOUT:g} s"
        if isinstance(error, ConnectionClosed):
            return f"the server at {self._path} is gone"
        if isinstance(error, NotSupportedError | sealframe.HandshakeError | DecodeError):
            return f"{self._path} is not a control socket; give what the --control of the server is"
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
            return f"{describe(error)}; only the user that runs the server, and root, may"
        return f"{describe(error)} Its command needs --control {self._path}"


def _can_be_shown(answer: Any, views: int) -> TypeGuard[dict[str, Any]]:
    """Return whether an answer is of the form that :meth:`Source.look` describes."""
    match answer:
        case {
            "summary": {
                "time": int() | float(),
                "rates": dict(),
                "refusals": dict(),
                "totals": dict(),
                **rest,
            },
            "tables": [*tables],
        }:
            return len(tables) == views and {*POINT} <= {"time", "rates", *rest}
    return False
