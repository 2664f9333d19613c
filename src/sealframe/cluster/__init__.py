"""Many servers as one, on NATS: every server knows every client.

Needs the extra ``cluster``: ``pip install "sealframe[cluster]"``.
"""

from __future__ import annotations

from .clients import ClusterClient, ClusterServer
from .cluster import Cluster
from .groups import ClusterGroup
from .local_nats import LocalNats

__all__ = ["Cluster", "ClusterClient", "ClusterGroup", "ClusterServer", "LocalNats"]
