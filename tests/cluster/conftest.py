"""Real NATS servers, one and three; both event loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from loops import pytest_asyncio_loop_factories

from .nats_servers import NatsServer, one_server, three_nodes

__all__ = ["pytest_asyncio_loop_factories"]


@pytest.fixture(scope="session")
def the_one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with one_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def nats_server(the_one_server: NatsServer) -> Iterator[NatsServer]:
    """A NATS server that runs, and that the test may do anything to. Others use it too, one after
    the other: what a test publishes has a name of its own, as a cluster has."""
    yield the_one_server
    the_one_server.restore()


@pytest.fixture(scope="session")
def the_three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[NatsServer]]:
    with three_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        yield nodes


@pytest.fixture
def nats_nodes(the_three_nodes: Sequence[NatsServer]) -> Iterator[Sequence[NatsServer]]:
    """Three nodes of one NATS cluster, as :func:`nats_server`. JetStream can have three replicas
    once they have elected a leader, some seconds after the start."""
    yield the_three_nodes
    for node in the_three_nodes:
        node.restore()
