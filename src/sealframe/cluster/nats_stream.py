"""One stream of JetStream, as the logs of sessions need it; all its errors are ours."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nats import errors
from nats.js import api
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from ..errors import ClusterError, ClusterUnavailableError
from ..server.session_store import SessionTakenError

if TYPE_CHECKING:
    from nats.js import JetStreamContext

_NONE: Final = 2**62
"""A sequence that no message has."""
_DUPLICATES: Final = 120.0
"""Seconds for which JetStream knows the id of a message."""
_WRONG_LAST: Final = frozenset({10071, 10164})
"""err_code of JetStream where another message is the last one of the subject."""
_PASSING: Final = frozenset({10005, 10007, 10008, 10009})
"""err_code of JetStream where it has too few nodes, or no leader, perhaps only for now: after a
node's start its leader takes it for offline, for some moments."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A message of the stream."""

    sequence: int
    id: str
    data: bytes


class NatsStream:
    """The stream.

    :param context: returns nats-py's context of the present connection, which has the time-out
    :param max_payload: returns the largest message that NATS takes, in bytes
    :param name: of the stream
    :param prefix: of its subjects, which end with a session
    """

    def __init__(
        self,
        context: Callable[[], JetStreamContext],
        max_payload: Callable[[], int],
        name: str,
        prefix: str,
    ) -> None:
        self._context = context
        self._max_payload = max_payload
        self._name = name
        self._prefix = prefix

    @property
    def max_payload(self) -> int:
        """The largest message, in bytes, headers included."""
        return self._max_payload()

    def subject_of(self, key: bytes) -> str:
        """Return the subject of a session."""
        return self._prefix + key.hex()

    async def open(self, max_age: float, replicas: int) -> None:
        """Make the stream, if it is not there. One that is gets what it has less of, and loses
        nothing: servers that say different things would change it in turns.

        :param max_age: seconds after which a message is deleted, at least
        :param replicas: how many nodes have a copy, at least
        :raises ClusterUnavailableError: JetStream does not answer now, or has too few nodes
        :raises ClusterError: it is not enabled, or is no cluster, or we may not
        """
        config = api.StreamConfig(
            name=self._name,
            subjects=[self._prefix + "*"],
            max_age=max_age,
            num_replicas=replicas,
            storage=api.StorageType.FILE,
            duplicate_window=min(_DUPLICATES, max_age),
            allow_direct=False,
        )
        context = self._context()
        try:
            try:
                info = await context.stream_info(self._name)
            except NotFoundError:
                await context.add_stream(config)
                return
            there = info.config
            config.num_replicas = max(replicas, there.num_replicas or 1)
            # 0 is for ever.
            config.max_age = max(max_age, there.max_age) if there.max_age else 0
            if (config.num_replicas, config.max_age) != (there.num_replicas, there.max_age):
                await context.update_stream(config)
        except APIError as error:
            raise _explained(error, replicas) from None
        except (errors.Error, TimeoutError) as error:
            raise _away(error) from None

    async def check(self) -> None:
        """Make sure that we may write to the subjects, without writing anything.

        :raises ClusterError: JetStream does not answer, as where we may not
        """
        # No message has that sequence, so that JetStream refuses it.
        with contextlib.suppress(SessionTakenError):
            await self.publish(self.subject_of(b"check"), b"", id=secrets.token_hex(8), last=_NONE)

    async def publish(self, subject: str, data: bytes, *, id: str, last: int) -> int:
        """Write a message; return its sequence.

        :param id: by which JetStream knows it where it is written again
        :param last: the sequence of the last message of the subject, 0 for none
        :raises SessionTakenError: another one is the last
        :raises ClusterError: it is not known whether it was written
        """
        headers = {
            api.Header.MSG_ID.value: id,
            api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(last),
        }
        try:
            ack = await self._context().publish(subject, data, stream=self._name, headers=headers)
        except APIError as error:
            if error.err_code in _WRONG_LAST:
                raise SessionTakenError from None
            raise _away(error) from None
        except (errors.Error, TimeoutError) as error:
            raise _away(error) from None
        return ack.seq

    async def next(self, subject: str, sequence: int) -> Stored | None:
        """Return the first message of a subject from that sequence on.

        :raises ClusterError: it cannot be known now
        """
        return await self._get(subject=subject, sequence=sequence)

    async def last(self, subject: str) -> Stored | None:
        """Return the last message of a subject."""
        return await self._get(subject=subject)

    async def _get(self, *, subject: str, sequence: int | None = None) -> Stored | None:
        try:
            # Of the leader: any other one may know less.
            found = await self._context().get_msg(
                self._name, seq=sequence, subject=subject, next=sequence is not None
            )
        except NotFoundError as error:
            if error.err_code == 10037:
                return None
            raise _away(error) from None
        except (errors.Error, TimeoutError) as error:
            raise _away(error) from None
        id = (found.headers or {}).get(api.Header.MSG_ID.value, "")
        return Stored(found.seq or 0, id, found.data or b"")

    async def delete_before(self, subject: str, sequence: int) -> None:
        """Delete the messages of a subject before that sequence."""
        try:
            await self._context().purge_stream(self._name, seq=sequence, subject=subject)
        except (errors.Error, TimeoutError) as error:
            raise _away(error) from None


def _away(error: Exception) -> ClusterUnavailableError:
    return ClusterUnavailableError(
        f"JetStream cannot be used now: {str(error) or type(error).__name__}"
    )


def _explained(error: APIError, replicas: int) -> ClusterError:
    said = error.description or str(error)
    if isinstance(error, ServiceUnavailableError) and error.err_code in (None, 10039, 10076):
        return ClusterError(
            "Sessions(store='cluster') needs JetStream, which this NATS does not have: add "
            f"jetstream {{}} to its configuration ({said})"
        )
    kind = ClusterUnavailableError if error.err_code in _PASSING else ClusterError
    return kind(
        f"NATS cannot keep a log of sessions with {replicas} replicas: {said}; "
        "Cluster(replicas=...) says how many nodes have a copy"
    )
