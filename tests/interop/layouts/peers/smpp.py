"""smpplib, which is a client alone: it prints no port."""

from __future__ import annotations

import smpplib.client
import smpplib.smpp


def main() -> None:
    """Bind, ask whether the other end is alive, submit twice, be delivered to, unbind."""
    client = smpplib.client.Client("127.0.0.1", int(input()))
    sent: list[str] = []
    received: list[bytes] = []
    client.set_message_sent_handler(lambda pdu: sent.append(pdu.message_id.decode()))
    client.set_message_received_handler(lambda pdu: received.append(pdu.short_message))
    client.connect()
    client.bind_transceiver(system_id="login", password="secret")
    client.send_pdu(smpplib.smpp.make_pdu("enquire_link", client=client))
    client.read_once()
    for text in (b"hello", b"long " * 30):
        client.send_message(source_addr="1", destination_addr="2", short_message=text)
        client.read_once()
    client.read_once()
    assert sent == ["m1", "m2"], sent
    assert received == [b"done"], received
    client.unbind()
    client.disconnect()


if __name__ == "__main__":
    main()
