"""What the catalogue says of a layout: :class:`Entry`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..base import FrameLayout


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One protocol of the catalogue: its layout, its source, and what peers do in practice.

    The texts are whole sentences for people. An empty one means that nothing is known beyond
    what the source says.
    """

    name: str
    """What :func:`~sealframe.framing.layouts.get` takes: lower case, ``"modbus-tcp"``."""
    layout: FrameLayout
    """The layout, to be given as ``framing=``."""
    title: str
    """The protocol's name in full, and its frame in a few words."""
    source: str
    """The specification and the section that defines the frame."""
    ports: tuple[int, ...] = ()
    """TCP ports that are registered for it or in common use."""
    pipelining: str = ""
    """Whether a request may be sent before the one before it was answered."""
    empty_frames: str = ""
    """Whether there are frames without a body, and what they mean."""
    first_packet: str = ""
    """Who sends first, and whether the first frame differs."""
    heartbeats: str = ""
    """What either end sends or expects while nothing else happens."""
    limits: str = ""
    """The largest frame that the specification allows, and what real peers take, in bytes."""
    notes: str = ""
    """What else one should know."""
    recorded: tuple[str, ...] = ()
    """The packages, with their versions, whose bytes the tests hold the layout to. Empty where
    there is none: then :attr:`notes` says so, as it does where the bytes are not a conversation
    of two programs."""

    @property
    def constant(self) -> str:
        """The name of the layout in :mod:`sealframe.framing.layouts`: ``"MODBUS_TCP"``."""
        return self.name.upper().replace("-", "_")

    @property
    def expression(self) -> str:
        """The layout as Python source: ``"Framing(width=2, byteorder='big', offset=4, ...)"``.

        Empty where it is made of functions: then :attr:`constant` names it.
        """
        source = repr(self.layout)
        return "" if "<function" in source else source
