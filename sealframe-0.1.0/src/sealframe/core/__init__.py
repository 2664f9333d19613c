"""The protocol's state machine: bytes and events in, bytes and events out.

Internal. No asyncio, no socket, no file, and no clock that was not handed in, also through
what it imports.
"""
