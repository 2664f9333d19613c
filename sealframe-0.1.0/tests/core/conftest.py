from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from .peers import codec


@pytest.fixture(params=["c", "python"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once with each codec."""
    name: str = request.param
    demanded = os.environ.get("SEALFRAME_EXTENSION") == "yes"
    if name == "c" and find_spec("sealframe.framing._codec") is None and not demanded:
        pytest.skip("the extension sealframe.framing._codec is not built")
    with codec(name):
        yield name
