"""grpc.aio: unary calls with bytes in and out, so that nothing is serialised."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
import grpc.aio

from ..job import HOST, Job
from ..tls import files

SEALED: Final = True
METHOD: Final = "/benchmark.Echo/Call"


class Handler(grpc.GenericRpcHandler):
    """Answers one method."""

    def __init__(self, answer: Any) -> None:
        self._method = grpc.unary_unary_rpc_method_handler(answer)

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Return what answers a call."""
        return self._method if details.method == METHOD else None


def credentials(job: Job) -> tuple[bytes, bytes]:
    """Return the server's certificate and its key."""
    certificate, key = files(job.directory)
    return certificate.read_bytes(), key.read_bytes()


def request_server(job: Job) -> None:
    """Answer calls with what they say."""

    async def main() -> None:
        first, left, done = True, job.warm_up + job.count, asyncio.Event()

        async def answer(payload: bytes, context: Any) -> bytes:
            nonlocal first, left
            if first:
                first = False
                job.meter.start()
            left -= 1
            if not left:
                job.meter.stop()
                done.set()
            return payload

        server = grpc.aio.server()
        server.add_generic_rpc_handlers((Handler(answer),))
        if job.sealed:
            certificate, key = credentials(job)
            server_credentials = grpc.ssl_server_credentials([(key, certificate)])
            port = server.add_secure_port(f"{HOST}:0", server_credentials)
        else:
            port = server.add_insecure_port(f"{HOST}:0")
        await server.start()
        job.listening(port)
        await done.wait()
        await server.stop(5)

    job.run(main())


def request_client(job: Job) -> None:
    """Call, wait for the answer, call again."""

    def channel() -> Any:
        where = f"{HOST}:{job.port}"
        if not job.sealed:
            return grpc.aio.insecure_channel(where)
        certificate, _ = credentials(job)
        return grpc.aio.secure_channel(where, grpc.ssl_channel_credentials(certificate))

    async def main() -> None:
        payloads, different, check, checksum = job.payloads, len(job.payloads), job.check, 0
        async with channel() as opened:
            call = opened.unary_unary(METHOD)
            for number in range(job.warm_up):
                checksum = check(await call(payloads[number % different]), checksum)
            job.meter.start()
            for number in range(job.warm_up, job.warm_up + job.count):
                checksum = check(await call(payloads[number % different]), checksum)
            job.meter.stop()
        job.checksum = checksum

    job.run(main())
