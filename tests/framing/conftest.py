from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compiled import compiled

from sealframe.framing import _codec_py, _stepping_py, _varied_py, choice, sized, stepping

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


@pytest.fixture(scope="session", params=["c", "python"])
def backend(request: pytest.FixtureRequest) -> ModuleType:
    """Each codec in turn."""
    return compiled("framing._codec") if request.param == "c" else _codec_py


@pytest.fixture(scope="session")
def c_backend() -> ModuleType:
    """The compiled codec, for what only it promises."""
    return compiled("framing._codec")


@pytest.fixture(scope="session")
def backends() -> tuple[ModuleType, ModuleType]:
    """Both codecs, to be compared."""
    return compiled("framing._codec"), _codec_py


@pytest.fixture(scope="module", params=["c", "python"])
def stepping_backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """``Sized`` and ``Choice`` with each backend in turn."""
    name: str = request.param
    built = compiled("framing._varied") if name == "c" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sized, "SizedDecoder", (built or _stepping_py).SizedDecoder)
        patch.setattr(choice, "ChoiceDecoder", (built or _stepping_py).ChoiceDecoder)
        patch.setattr(stepping, "VariedDecoder", (built or _varied_py).Decoder)
        yield name
