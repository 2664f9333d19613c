"""A transport that holds back what is written while the log of a session has not got it yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from ..aio.writing import end_writing, write_buffers

LIMIT: Final = 1024 * 1024
"""Bytes that are held back at most beside what the session keeps anyway, such as PONG: a peer that
goes on asking for more loses the link, and comes again."""


class GatedTransport(asyncio.Transport):
    """Stands before the transport of a link.

    :param transport: to which everything goes, sooner or later
    :param kept: returns how many bytes the session keeps for its next link
    """

    def __init__(self, transport: asyncio.Transport, kept: Callable[[], int]) -> None:
        super().__init__()
        self._transport = transport
        self._kept = kept
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._closed = False
        self._ends = False
        self._closes = False

    def hold(self) -> None:
        """Hold back what is written from now on, until :meth:`release`."""
        self._closed = True

    def release(self) -> None:
        """Write what was held back."""
        self._closed = False
        held, self._held = self._held, []
        self._held_bytes = 0
        ends, self._ends = self._ends, False
        # The link may be gone by now: uvloop refuses what asyncio drops.
        if not self._transport.is_closing():
            if held:
                self._transport.write(b"".join(held))
            if ends:
                end_writing(self._transport)
        if self._closes:
            self._closes = False
            self._transport.close()

    def write(self, data: Any) -> None:
        if self._closed:
            self._hold_back([bytes(data)])
        else:
            self._transport.write(data)

    def _hold_back(self, buffers: list[bytes]) -> None:
        if self._transport.is_closing():
            return
        self._held += buffers
        self._held_bytes += sum(map(len, buffers))
        if self._held_bytes > LIMIT + self._kept():
            self.abort()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        if self._closed:
            self._hold_back(list(map(bytes, list_of_data)))
        else:
            # Not every event loop has a ``writelines`` that can be used.
            write_buffers(self._transport, list(list_of_data))

    def write_eof(self) -> None:
        if self._closed:
            self._ends = True
        else:
            self._transport.write_eof()

    def close(self) -> None:
        if self._closed and self._held:
            self._closes = True
        else:
            self._transport.close()

    def abort(self) -> None:
        self._held.clear()
        self._held_bytes = 0
        self._transport.abort()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def is_closing(self) -> bool:
        return self._closes or self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + self._held_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()
