"""picows at a given rate: its core API, as in :mod:`suite.peers.picows_`."""

from __future__ import annotations

from picows import WSFrame, WSListener, WSTransport

from ..job import Job
from ..latency import OpenLoop
from .picows_ import BINARY, CLOSE, Connector, close, round_trip_client, round_trip_server

__all__ = ["latency_client", "latency_server", "round_trip_client", "round_trip_server"]


def latency_server(job: Job) -> None:
    """Echo."""
    round_trip_server(job)


def latency_client(job: Job) -> None:
    """Ask at a given rate, on all connections in turn."""

    load, clients = OpenLoop(job), list["Client"]()

    class Client(WSListener):
        def __init__(self) -> None:
            self.place = len(clients)
            clients.append(self)

        def on_ws_connected(self, transport: WSTransport) -> None:
            self.transport = transport

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type != CLOSE:
                load.answered(self.place, frame.get_payload_as_bytes())

        async def send(self, message: bytes) -> None:
            self.transport.send(BINARY, message)

    async def main() -> None:
        connector = Connector(job)
        for _ in range(job.connections):
            await connector.connect(Client)
        await load.run([client.send for client in clients])
        for client in clients:
            await close(client.transport)

    job.run(main())
