"""The competitors, a file each, all written as their own documentation recommends.

A peer offers a workload by having a function ``<workload>_server(job)`` and
``<workload>_client(job)``. Each runs in a process of its own, and does all that a program
would do: it listens or connects, moves the messages, and closes.
"""
