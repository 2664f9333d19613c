#!/bin/sh
# warcio: a chunked HTTP body may end in trailer fields, between the chunk of length 0 and the empty
# line, and a recipient drops or keeps them apart from the content (RFC 9112, sections 7.1 and 7.1.2).
# warcio takes the body from there on for "not chunked": content_stream() goes on after the content
# with the last chunk's line and with the trailer, less the trailer's first two bytes.
#
# Seen with warcio 1.8.1 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check warcio==1.8.1 h11==0.16.0
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import io
import platform

import h11
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

FIELDS = [("Trailer", "Digest"), ("Transfer-Encoding", "chunked")]


def by_warcio(body):
    """Write the response into a WARC file, and read its content back."""
    file = io.BytesIO()
    writer = WARCWriter(file, gzip=False)
    head = StatusAndHeaders("200 OK", FIELDS, protocol="HTTP/1.1")
    writer.write_record(
        writer.create_warc_record(
            "http://example.com/", "response", payload=io.BytesIO(body), http_headers=head
        )
    )
    file.seek(0)
    return b"".join(record.content_stream().read() for record in ArchiveIterator(file))


def by_h11(body):
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "example.com")]))
    connection.send(h11.EndOfMessage())
    fields = "".join(f"{name}: {value}\r\n" for name, value in FIELDS)
    connection.receive_data(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode() + body)
    content = b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        content += bytes(event.data) if isinstance(event, h11.Data) else b""
    return content


names = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("warcio", "h11"))
print(f"{names}, CPython {platform.python_version()}")
plain = b"7\r\ncontent\r\n0\r\n\r\n"
trailed = b"7\r\ncontent\r\n0\r\nDigest: sha-256=abc\r\n\r\n"
for name, body in (("without a trailer", plain), ("with a trailer", trailed)):
    print(f"{name:17}: h11 {by_h11(body)}, warcio {by_warcio(body)}")
assert by_h11(plain) == by_h11(trailed) == by_warcio(plain) == b"content"
assert by_warcio(trailed) == b"content0\r\ngest: sha-256=abc\r\n\r\n", by_warcio(trailed)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
