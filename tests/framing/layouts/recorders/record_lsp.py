"""pygls with itself, and debugpy's writer: ``pip install pygls==2.1.1 debugpy==1.8.22``."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path

from debugpy.common.messaging import JsonIOStream
from lsprotocol import types
from pygls.lsp.client import LanguageClient
from pygls.lsp.server import LanguageServer

from .recording import Sent, Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """Header lines, an empty one, and a body of Content-Length bytes."""
    end = data.index(b"\r\n\r\n") + 4
    for line in data[:end].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return end + int(value)
    raise ValueError


async def by_pygls() -> list[Sent]:
    """Initialize, open, complete, shut down."""
    server = LanguageServer("parts", "1")

    @server.feature(types.TEXT_DOCUMENT_COMPLETION)
    def complete(_: types.CompletionParams) -> list[types.CompletionItem]:
        return [types.CompletionItem(label=f"Größe {n}") for n in range(3)]

    port = free_port()
    threading.Thread(target=server.start_tcp, args=("127.0.0.1", port), daemon=True).start()
    while b":%04X " % port not in Path("/proc/net/tcp").read_bytes():
        pass
    tap = Tap(("127.0.0.1", port))
    client = LanguageClient("recorder", "1")
    await client.start_tcp("127.0.0.1", tap.port)
    await client.initialize_async(
        types.InitializeParams(capabilities=types.ClientCapabilities(), root_uri="file:///stock")
    )
    client.initialized(types.InitializedParams())
    position = types.Position(line=0, character=0)
    document = types.TextDocumentIdentifier(uri="file:///stock/ä")
    await client.text_document_completion_async(
        types.CompletionParams(text_document=document, position=position)
    )
    await client.shutdown_async(None)
    [passed] = tap.connections
    return [passed.client, passed.server]


def by_debugpy() -> Sent:
    """What its stream of JSON writes, in either direction."""
    file = io.BytesIO()
    out = JsonIOStream(io.BytesIO(), file)
    out.write_json({"seq": 1, "type": "request", "command": "initialize", "arguments": {"a": "ä"}})
    out.write_json({"seq": 2, "type": "event", "event": "output", "body": {"output": "n" * 300}})
    return Sent("client", [file.getvalue()])


def main() -> None:
    """Record both."""
    by = package("pygls")
    # It writes Content-Type too, which is no part of a message.
    streams = [{**stream(sent, by, size_of), "rewritten": True} for sent in asyncio.run(by_pygls())]
    save("lsp", "lsp", __file__, streams)
    save("dap", "dap", __file__, [stream(by_debugpy(), package("debugpy"), size_of)])


main()
