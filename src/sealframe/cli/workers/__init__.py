"""``serve --workers``: processes that are one relay on one port.

The parent (:mod:`.crew`) serves nobody. It starts the workers, each of which is this command again
with the same arguments, and starts one anew that has ended. A worker (:mod:`.worker`) has its
standard input from the parent: a socket with its :class:`~.job.Job` first, over which it says that
it listens, and over which it is told to stop. Its end is the parent's end.
"""
