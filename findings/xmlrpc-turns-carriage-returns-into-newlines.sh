#!/bin/sh
# xmlrpc: the documentation of ServerProxy says that strings are passed directly and come back as the
# same type, that what is special to XML is escaped, and that of the control characters tab, newline
# and carriage return are the ones which a string may have. Carriage returns do not arrive: dumps()
# writes them as they are, and XML (1.0, section 2.11) has each reader turn "\r\n" and "\r" into "\n".
# As "&#13;", which XML keeps for this, they would; loads() takes that. So a method that gives back
# its argument does not give back its argument.
#
# Seen with CPython 3.11 to 3.15; this prints what it sees, and fails where that changes. PYTHON
# names another interpreter than python3. It installs nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/program.py" <<'PROGRAM'
import platform
import threading
import xmlrpc.client
import xmlrpc.server

TEXT = "tab\t, both\r\n, return\r, newline\n, <&>"

print(f"CPython {platform.python_version()}")
with xmlrpc.server.SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False) as server:
    server.register_function(lambda text: (len(text), text), "length_and_text")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{server.server_address[1]}/") as proxy:
            length, back = proxy.length_and_text(TEXT)
    finally:
        server.shutdown()
        thread.join()
print(f"sent:     {TEXT!r}, {len(TEXT)} characters")
print(f"returned: {back!r}; the server counts {length} characters")

written = xmlrpc.client.dumps((TEXT,))
(kept,), _ = xmlrpc.client.loads(written.replace("\r", "&#13;"))
print(f"with carriage returns as '&#13;' on the wire: {kept!r}")
assert kept == TEXT, kept
assert back == "tab\t, both\n, return\n, newline\n, <&>", back
assert length == len(TEXT) - 1, length
print("as described: carriage returns arrive as newlines")
PROGRAM
"${PYTHON:-python3}" "$folder/program.py"
