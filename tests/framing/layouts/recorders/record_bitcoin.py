"""The messages of python-bitcoinlib: ``pip install python-bitcoinlib==0.12.2``."""

from __future__ import annotations

from bitcoin import params
from bitcoin.messages import (
    msg_block,
    msg_getaddr,
    msg_inv,
    msg_ping,
    msg_tx,
    msg_verack,
    msg_version,
)
from bitcoin.net import CInv

from .recording import Sent, package, save, stream


def size_of(data: bytes) -> int:
    """24 bytes of header, with the length of the payload at bytes 16 to 19."""
    return 24 + int.from_bytes(data[16:20], "little")


def main() -> None:
    """Write messages with and without a payload; both ends write the same."""
    inventory = msg_inv()
    for number in range(20):
        item = CInv()
        item.type, item.hash = 1, bytes([number]) * 32
        inventory.inv.append(item)
    block = msg_block()
    genesis = params.GENESIS_BLOCK
    block.block = genesis
    transaction = msg_tx()
    transaction.tx = genesis.vtx[0]
    messages = [
        msg_version(),
        msg_verack(),
        msg_getaddr(),
        msg_ping(),
        inventory,
        block,
        transaction,
    ]
    sent = Sent("client", [message.to_bytes() for message in messages])
    one = stream(sent, package("python-bitcoinlib"), size_of)
    save("bitcoin", "bitcoin", __file__, [one])


main()
