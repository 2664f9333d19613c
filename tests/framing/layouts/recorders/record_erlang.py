"""Erlang's ``{packet, N}`` of Debian 12: ``apt-get install erlang-base``."""

from __future__ import annotations

import socket
import subprocess

from .recording import Sent, save, stream

PROGRAM = """
{ok, S} = gen_tcp:connect("127.0.0.1", PORT, [binary, {packet, N}]),
[ok = gen_tcp:send(S, binary:copy(<<"x">>, K)) || K <- [0, 1, 4, 250]],
ok = gen_tcp:send(S, term_to_binary({part, <<"bolt">>, 6})),
gen_tcp:close(S), io:format("~s", [erlang:system_info(otp_release)]), halt().
"""


def main() -> None:
    """Send the same with 1, 2 and 4 bytes of length."""
    for width in (1, 2, 4):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            program = PROGRAM.replace("PORT", str(listener.getsockname()[1]))
            command = ["erl", "-noshell", "-eval", program.replace("N}", f"{width}}}")]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            connection, _ = listener.accept()
        sent = Sent("client")
        with connection:
            while data := connection.recv(65_536):
                sent.reads.append(data)
        release, _ = process.communicate()
        name = f"erlang-packet-{width}"

        def size_of(data: bytes, width: int = width) -> int:
            return width + int.from_bytes(data[:width], "big")

        save(name, name, __file__, [stream(sent, f"Erlang/OTP {release}", size_of)])


main()
