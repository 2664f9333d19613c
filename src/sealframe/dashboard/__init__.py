"""A web page that shows what a server is doing; needs ``pip install "sealframe[dashboard]"``::

    from sealframe import dashboard

    async with sealframe.serve(...) as server, dashboard.serve(server) as page:
        print(page.url)

It is read only, and listens at loopback unless told otherwise. See docs/guides/dashboard.md.
"""

from __future__ import annotations

from .serving import Dashboard, serve

__all__ = ["Dashboard", "serve"]
