"""Room for many connections in one process."""

from __future__ import annotations

import resource


def allow_many_connections() -> int:
    """Raise this process's limit of open files as far as allowed; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
