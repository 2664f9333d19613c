"""The subjects of NATS that a cluster uses."""

from __future__ import annotations

import base64
from typing import Final

from ..errors import ConfigurationError

_LONGEST_NAME: Final = 256
"""Bytes of a cluster's name in UTF-8: NATS has room for 4,096 on a line, with all that is on it."""


class Subjects:
    """The subjects of one cluster.

    Its name is base64url in them (RFC 4648, section 5), without padding: no name can mean anything
    to NATS, or the subjects of another cluster.

    :param cluster: the cluster's name
    :raises ConfigurationError: it is no text, empty, over 256 bytes, or has a lone surrogate
    """

    __slots__ = ("_prefix", "presence", "sessions", "stream")

    def __init__(self, cluster: str) -> None:
        given: object = cluster
        if not isinstance(given, str) or not given:
            raise ConfigurationError(f"the name of a cluster is any text but '', not {cluster!r}")
        try:
            data = cluster.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(
                "the name of a cluster has a lone surrogate, half a character: leave it out"
            ) from None
        if len(data) > _LONGEST_NAME:
            raise ConfigurationError(
                f"the name of a cluster has at most {_LONGEST_NAME} bytes, not {len(data)}"
            )
        encoded = base64.urlsafe_b64encode(data).decode().rstrip("=")
        self._prefix = f"sealframe.{encoded}.server."
        self.sessions = f"sealframe.{encoded}.session."
        """What the subject of each session in the log begins with."""
        self.stream = f"sealframe-{encoded}-sessions"
        """The stream of JetStream that has the log."""
        self.presence = f"sealframe.{encoded}.presence"
        """What all servers listen to."""

    def of(self, server: str) -> str:
        """Return the subject of one server.

        :param server: its id
        """
        return self._prefix + server
