"""``sealframe demo``: a server and four clients, live.

One story, whatever is installed: it stands on the standard library alone. With cryptography its
links are sealed, with click and rich it is one of the commands and has colours and a table; where
something of that is missing it ends with what it could not show.
"""

from __future__ import annotations

import logging

from ..errors import log_text
from ..logs import log_to
from .absent import not_shown
from .links import Links
from .room import Room
from .story import Story
from .view import View


async def perform(view: View, links: Links, loop_name: str) -> None:
    """Tell the story, and what was not shown.

    :param loop_name: the event loop's
    :raises CommandError: something was lost, doubled or changed on the way, or it took too long
    """
    log_to(_Events(view))
    await Story(view, Room(), links, loop_name).tell()
    if lines := not_shown(links):
        view.not_shown(lines)


class _Events(logging.Handler):
    """Shows what the library logs among the other events."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        self._view.event("server", log_text(record))
