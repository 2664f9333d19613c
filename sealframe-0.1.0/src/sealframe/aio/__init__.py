"""A connection on asyncio: transport, queues, streams, requests. Internal: the public names
are in :mod:`sealframe`.
"""
