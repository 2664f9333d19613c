"""What kind of function the program gave."""

from __future__ import annotations

import asyncio
import functools
import inspect


def is_async(function: object) -> bool:
    """Return whether a call returns a coroutine: an ``async def``, a ``functools.partial`` of
    one, or an object whose ``__call__`` is one."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - not whether it can be called
    )


def refuse_awaitable(name: str, result: object) -> None:
    """Refuse what a plain function returned, if nobody would await it. A task or a future goes
    on by itself.

    :param name: of the function, as an argument
    :raises TypeError: it is a coroutine or the like; a coroutine is closed
    """
    if not inspect.isawaitable(result) or isinstance(result, asyncio.Future):
        return
    close = getattr(result, "close", None)
    if close is not None:
        close()
    raise TypeError(
        f"{name} is a plain function and returned {type(result).__name__!r}, which nobody "
        "awaits: make it an async function, or let it start a task"
    )


def ends_program(error: BaseException) -> bool:
    """Return whether it goes on to the event loop, which stops: the program is to end."""
    return isinstance(error, KeyboardInterrupt | SystemExit)
