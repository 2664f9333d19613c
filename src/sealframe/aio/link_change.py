"""What a program is told when a session loses its link, and when it has the next one."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConnectionClosedError


@dataclass(frozen=True, slots=True)
class LinkChange:
    """A session has lost its link, or goes on over the next one."""

    connected: bool
    """Whether there is a link now."""
    error: ConnectionClosedError | None
    """Why the link was lost; None where there is one."""
    after: float | None
    """For how many seconds there was none; None where one was lost."""

    @classmethod
    def lost(cls, error: ConnectionClosedError) -> LinkChange:
        """Return that a link was lost.

        :param error: why
        """
        return cls(False, error, None)

    @classmethod
    def resumed(cls, after: float) -> LinkChange:
        """Return that there is another link.

        :param after: for how many seconds there was none
        """
        return cls(True, None, after)
