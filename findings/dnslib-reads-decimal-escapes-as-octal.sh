#!/bin/sh
# dnslib: in a zone file \DDD is the octet with that decimal number, and \" and \\ are a quotation mark
# and a backslash in a quoted string (RFC 1035, section 5.1). dnslib reads "\101" as an "A", octal, where
# it is an "e"; and what RR.toZone() writes for a TXT record with a quotation mark or a backslash is
# another record, or none, to others and to dnslib itself.
#
# Seen with dnslib 0.9.26 and dnspython 2.9.2 on CPython 3.11; this prints what it sees, and fails where
# that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check dnslib==0.9.26 dnspython==2.9.2
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import platform

import dns.exception
import dns.rdata
from dnslib import RR


def by_dnspython(text):
    try:
        return dns.rdata.from_text("IN", "TXT", text).strings
    except dns.exception.SyntaxError as error:
        return type(error).__name__


def by_dnslib(text):
    return tuple(RR.fromZone(f"a. 60 IN TXT {text}")[0].rdata.data)


names = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("dnslib", "dnspython"))
print(f"{names}, CPython {platform.python_version()}")
for text, octets, octal in ((r'"\101"', b"e", b"A"), (r'"\065"', b"A", b"5")):
    print(text, "dnspython", by_dnspython(text), "dnslib", by_dnslib(text))
    assert (by_dnspython(text), by_dnslib(text)) == ((octets,), (octal,))

for text, wanted in ((r'"say \"hi\""', b'say "hi"'), (r'"C:\\temp"', b"C:\\temp")):
    record = RR.fromZone(f"a. 60 IN TXT {text}")[0]
    written = record.rdata.toZone()
    print(text, "read by dnslib as", record.rdata.data, "and written as", written)
    print("    which dnspython reads as", by_dnspython(written), "and dnslib as", by_dnslib(written))
    assert tuple(record.rdata.data) == by_dnspython(text) == (wanted,)
    assert by_dnspython(written) != (wanted,) != by_dnslib(written)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
