"""Works out how the messages of an unknown stream are framed.

:func:`infer` takes captured bytes and returns the layouts that cut them into frames, best first,
each with the evidence for it. It is sans-IO: bytes in, candidates out.
"""

from __future__ import annotations

from .inferring import diagnose, infer
from .results import Candidate, Capture, Diagnosis, Evidence

__all__ = ["Candidate", "Capture", "Diagnosis", "Evidence", "diagnose", "infer"]
