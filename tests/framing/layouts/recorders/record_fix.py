"""simplefix, which packs messages: ``pip install simplefix==1.0.17``."""

from __future__ import annotations

import simplefix

from .recording import Sent, package, save, stream


def message(number: int, kind: str, *fields: tuple[int, str]) -> bytes:
    """Return a message as simplefix encodes it."""
    packed = simplefix.FixMessage()
    packed.append_pair(8, "FIX.4.4")
    packed.append_pair(35, kind)
    packed.append_pair(49, "BUYER")
    packed.append_pair(56, "SELLER")
    packed.append_pair(34, number)
    packed.append_pair(52, "20261130-09:30:00.000")
    for tag, value in fields:
        packed.append_pair(tag, value)
    encoded: bytes = packed.encode()
    return encoded


def main() -> None:
    """A logon, orders, heartbeats."""
    sent = Sent("client", [message(1, "A", (98, "0"), (108, "30"))])
    for number in range(2, 8):
        order = (11, f"order-{77 * number}"), (55, "EUR/USD"), (38, str(1000 * number))
        sent.reads.append(message(number, "D", *order[: number - 1]))
    sent.reads.append(message(8, "0"))
    save("fix", "fix", __file__, [stream(sent, package("simplefix"))])


main()
