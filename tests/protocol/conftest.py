from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from .peers import codec


@pytest.fixture(params=["c", "python"])
def twin(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once with each codec."""
    name: str = request.param
    if name == "c" and find_spec("sealframe._framing") is None:
        pytest.skip("the C codec is not built here")
    with codec(name):
        yield name
