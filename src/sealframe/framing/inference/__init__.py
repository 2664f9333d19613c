"""Works out how the messages of an unknown stream are framed.

:func:`~sealframe.framing.infer` takes captured bytes and returns the layouts that cut them into
frames, best first, each with the evidence for it. :func:`explain` says why a given layout does not
fit them, and :func:`explain_number` what a suspicious length is. All of it is sans-IO.
"""

from __future__ import annotations

from .explaining import explain
from .given import Run, read_length, run, sender_of
from .inferring import diagnose, infer
from .numbers import explain_number
from .pasted import parse_pasted
from .results import Candidate, Capture, Diagnosis, Evidence

__all__ = [
    "Candidate",
    "Capture",
    "Diagnosis",
    "Evidence",
    "Run",
    "diagnose",
    "explain",
    "explain_number",
    "infer",
    "parse_pasted",
    "read_length",
    "run",
    "sender_of",
]
