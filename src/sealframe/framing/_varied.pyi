from collections.abc import Callable, Iterable
from typing import Self, SupportsIndex, final, type_check_only

from typing_extensions import Buffer

from .base import FrameLayout
from .codec_types import Control
from .plan import Plan
from .stepping import FrameStepper

__all__ = ["ChoiceDecoder", "Decoder", "Encoder", "SizedDecoder"]

@type_check_only
class _StreamDecoder:
    @property
    def pending(self) -> int: ...
    @property
    def frame_size(self) -> int: ...
    @property
    def prefix(self) -> bytes: ...
    @property
    def saw_control(self) -> bool: ...
    def feed(self, data: Buffer, /) -> list[bytes | Control]: ...
    def get_buffer(self) -> memoryview: ...
    def buffer_updated(self, nbytes: SupportsIndex, /) -> list[bytes | Control]: ...
    def finish(self) -> None: ...
    def advance(self, data: bytes, place: int, frames: list[bytes | Control], /) -> int: ...

@final
class Decoder(_StreamDecoder):
    def __new__(cls, plan: Plan) -> Self: ...

@final
class SizedDecoder(_StreamDecoder):
    def __new__(
        cls,
        function: Callable[[bytes], int | None],
        least: int,
        most: int,
        until: bytes,
        minimum: int,
        maximum: int,
    ) -> Self: ...

@final
class ChoiceDecoder(_StreamDecoder):
    def __new__(
        cls,
        next_layout: Callable[[bytes], FrameLayout | None],
        new_part: Callable[[FrameLayout], FrameStepper],
        head_size: int,
        minimum: int,
    ) -> Self: ...

@final
class Encoder:
    def __new__(cls, plan: Plan) -> Self: ...
    def encode(self, payload: Buffer, /) -> bytes: ...
    def encode_many(self, payloads: Iterable[Buffer], /) -> bytes: ...
    def pack(self, payloads: Iterable[Buffer], /) -> list[bytes]: ...
    def head(self, length: SupportsIndex, /) -> bytes: ...
