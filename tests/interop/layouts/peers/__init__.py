"""Programs in which a real server and a real client of one package talk, over a relay.

Each is run as ``python -m interop.layouts.peers.NAME`` from ``tests``. It prints the port of its
server, reads the port that its client is to connect to, lets the client do something that it would
notice if it went wrong, and ends.
"""
