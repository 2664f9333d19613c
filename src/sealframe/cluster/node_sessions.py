"""Sessions as one server of a cluster has to do with them: it asks the others for those that it
does not have, gives its own up, and with ``Sessions(store="cluster")`` has the log of all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import ClusterUnavailableError
from ..server.cluster_member import LocalServer
from ..server.moving import FoundSession, SessionQuestion
from ..server.session_store import StoredSession
from .events import ProbeOutcome
from .nats_link import NatsLink
from .outgoing import Outgoing
from .sessions import SessionAnswers, SessionSearch
from .subjects import Subjects

if TYPE_CHECKING:
    from .session_log import JetStreamStore


class NodeSessions:
    """The sessions of a :class:`~.node.Node`.

    :param others: returns the ids of the other servers
    :param check: raises what a call raises that needs other servers, while they are away
    :param probe: asks a server for a sign of life
    :ivar search: what this server asks for
    :ivar answers: what it is asked for
    """

    def __init__(
        self,
        local: LocalServer,
        outgoing: Outgoing,
        others: Callable[[], Sequence[str]],
        check: Callable[[], None],
        probe: Callable[[str], Awaitable[ProbeOutcome]],
    ) -> None:
        self.search = SessionSearch(outgoing, others, check, probe)
        self.answers = SessionAnswers(local, outgoing)
        self._keep = local.log_sessions_for
        self._logs: JetStreamStore | None = None

    async def open_logs(self, link: NatsLink, subjects: Subjects, replicas: int) -> None:
        """Open the log, if sessions are kept in it.

        :raises ClusterError: JetStream cannot be used
        """
        if self._keep is not None:
            # Only they need nats-py's JetStream.
            from .session_log import open_logs

            self._logs = await open_logs(link, subjects, self._keep, replicas)

    async def find(self, question: SessionQuestion) -> FoundSession:
        """Have the server that has a session give it up.

        :return: None where no server has it
        :raises HiddenSessionError: none has it that answers, and one that hangs may
        :raises ClusterError: it cannot be known now
        """
        return await self.search.find(question)

    async def take_over(
        self, question: SessionQuestion, numbering: int, known: bool
    ) -> StoredSession:
        """Own a session from now on.

        :raises ClusterUnavailableError: JetStream cannot be used now
        """
        if self._logs is None:
            raise ClusterUnavailableError("the log of sessions is not open yet: try again")
        return await self._logs.take_over(question, numbering, known)

    async def close(self) -> None:
        """Ask and answer no more."""
        self.search.close()
        await self.answers.close()
