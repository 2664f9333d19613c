"""Messages as a head and a body, for layouts that keep their header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import ConfigurationError, EncodeError
from ._varied_py import read_field
from .plan import ESCAPED, UINT
from .varied_encoder import write_number

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .layout import Framing

__all__ = ["Framed", "HeadsCodec"]


class Framed(NamedTuple):
    """A message whose header is apart."""

    head: bytes
    """The header's bytes without the length."""
    body: Buffer
    """The rest of the message; a ``memoryview`` of it in what comes."""


class HeadsCodec:
    """What :meth:`~sealframe.Framing.heads` returns.

    It is a ``codec=`` for messages that are :class:`Framed`.

    :ivar size: bytes in a head
    """

    __slots__ = ("_any_length", "_offset", "_plan", "size")

    def __init__(self, framing: Framing, size: int | None) -> None:
        if framing.strip != 0:
            raise ConfigurationError("heads() takes messages that keep their header: say strip=0")
        plan = self._plan = framing.plan
        whole = (1 << 8 * plan.width) - 1
        if plan.kind in (UINT, ESCAPED) and plan.mask != whole:
            raise ConfigurationError(
                "heads() would leave out bits of the length field that are not the length; take "
                "the messages whole"
            )
        self._offset: Final = plan.offset
        self.size: Final[int] = plan.offset + plan.head_sum if size is None else size
        most = framing.minimum - framing.number.widths[0]
        if type(self.size) is not int or not plan.offset <= self.size <= most:
            raise ConfigurationError(
                f"size must be {plan.offset}, the bytes before the length, to {most}, what the "
                f"smallest message has besides the length, not {size!r}"
            )
        self._any_length: Final = write_number(plan, 0, 0)

    def __repr__(self) -> str:
        return f"<HeadsCodec size={self.size}>"

    def encode(self, message: tuple[Buffer, Buffer], /) -> bytes:
        """Return the message whole, with any length in it; the layout's encoder fills it in.

        :raises EncodeError: it is no pair of bytes-like objects, or its head has another size
        """
        try:
            head, body = (memoryview(part) for part in message)
        except (TypeError, ValueError):
            given: Any = message
            raise EncodeError(
                f"a message is Framed(head, body) here, two bytes-like objects, not "
                f"{type(given).__name__}"
            ) from None
        if head.nbytes != self.size:
            raise EncodeError(f"a head has {self.size} bytes here, not {head.nbytes}")
        front = bytes(head)
        return b"".join((front[: self._offset], self._any_length, front[self._offset :], body))

    def decode(self, message: bytes, /) -> Framed:
        """Return head and body; the body is not copied."""
        offset = self._offset
        used, _, _ = read_field(self._plan, message, offset, len(message))
        head = message[:offset] + message[offset + used : used + self.size]
        return Framed(head, memoryview(message)[used + self.size :])
