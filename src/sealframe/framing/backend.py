"""Chooses the codec backend, compiled or pure Python, when it is imported.

``SEALFRAME_NO_EXTENSIONS=1`` takes the pure one. Otherwise the compiled one is taken where it is
installed; with ``SEALFRAME_EXTENSION=yes`` it is an :exc:`ImportError` if it is not.
:mod:`sealframe.aio.queues` follows the choice, so that never one of each is in use.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._codec_py import Decoder, Encoder
    from ._stepping_py import ChoiceDecoder, SizedDecoder
    from ._varied_py import Decoder as VariedDecoder
    from .varied_encoder import Encoder as VariedEncoder

    IMPLEMENTATION: str
elif os.environ.get("SEALFRAME_NO_EXTENSIONS") == "1":
    from ._codec_py import Decoder, Encoder
    from ._stepping_py import ChoiceDecoder, SizedDecoder
    from ._varied_py import Decoder as VariedDecoder
    from .varied_encoder import Encoder as VariedEncoder

    IMPLEMENTATION = "python"
else:
    try:
        from ._codec import Decoder, Encoder
    except ImportError:
        if os.environ.get("SEALFRAME_EXTENSION") == "yes":
            raise
        from ._codec_py import Decoder, Encoder
        from ._stepping_py import ChoiceDecoder, SizedDecoder
        from ._varied_py import Decoder as VariedDecoder
        from .varied_encoder import Encoder as VariedEncoder

        IMPLEMENTATION = "python"
    else:
        from ._varied import ChoiceDecoder, SizedDecoder
        from ._varied import Decoder as VariedDecoder
        from ._varied import Encoder as VariedEncoder

        IMPLEMENTATION = "c"

__all__ = [
    "IMPLEMENTATION",
    "ChoiceDecoder",
    "Decoder",
    "Encoder",
    "SizedDecoder",
    "VariedDecoder",
    "VariedEncoder",
]
