"""Make the test vectors of sealed connections, from the text of docs/PROTOCOL.md alone.

    python tests/noise_/make_vectors.py docs/vectors.json

Nothing of sealframe is imported, so that the vectors check the code and not the reverse: Noise is
written out as in its specification, revision 34, section 5. Keys and context are those of the
examples in section 6. ``test_vectors`` holds the file, the transcript in the page and the code to
what this makes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import struct
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PSK: Final = bytes(range(32))
CONTEXT: Final = b"demo"
PRIVATE: Final = {"ce": b"\x11" * 32, "se": b"\x22" * 32, "cs": b"\x33" * 32, "ss": b"\x44" * 32}
"""Ephemeral keys of client and server, then their static ones."""
FLIGHTS: Final = {
    1: ("NNpsk0", [["psk", "e"], ["e", "ee"]]),
    2: ("XK", [["e", "es"], ["e", "ee"], ["s", "se"]]),
    3: ("XX", [["e"], ["e", "ee", "s", "es"], ["s", "se"]]),
    4: ("NNhfs+psk0", [["psk", "e", "e1"], ["e", "ee", "ekem1"]]),
    5: ("XKhfs", [["e", "es", "e1"], ["e", "ee", "ekem1"], ["s", "se"]]),
    6: ("XXhfs", [["e", "e1"], ["e", "ee", "ekem1", "s", "es"], ["s", "se"]]),
}
SEED: Final = b"\x55" * 32 + b"\x66" * 32
"""d and z, from which the client's ML-KEM-768 key pair comes (FIPS 203, section 6.1)."""
PAGE: Final = Path(__file__).parents[2] / "docs" / "PROTOCOL.md"
RECORD_KEY: Final = bytes(range(64, 96))
REKEYED: Final = 4096
REFUSED: Final = bytes.fromhex("0400008044050000")
VERSION: Final = bytes.fromhex("0400008044040000")
SEALED: Final = bytes.fromhex("0400008044100000")


def control(opcode: int, body: bytes) -> bytes:
    """Return a control frame."""
    return struct.pack("<IB", 0x8000_0000 | (1 + len(body)), opcode) + body


def message(content: bytes) -> bytes:
    """Return a message frame."""
    return struct.pack("<I", len(content)) + content


def encrypt(key: bytes, number: int, plaintext: bytes, data: bytes = b"") -> bytes:
    """Return ENCRYPT() of the AESGCM functions of Noise, section 12.4."""
    return AESGCM(key).encrypt(bytes(4) + struct.pack(">Q", number), plaintext, data)


def public(private: bytes) -> bytes:
    """Return the public key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def hkdf(chaining_key: bytes, material: bytes, outputs: int) -> list[bytes]:
    """Return HKDF() of Noise, section 4.3."""
    temp = hmac.digest(chaining_key, material, "sha256")
    found: list[bytes] = []
    for number in range(1, outputs + 1):
        previous = found[-1] if found else b""
        found.append(hmac.digest(temp, previous + bytes((number,)), "sha256"))
    return found


@dataclass
class Handshake:
    """What both ends compute; since they agree, once for both.

    :param spoiled: in place of the client's ephemeral public key
    """

    pattern: int
    psk: bytes = PSK
    context: bytes = CONTEXT
    spoiled: bytes | None = None
    steps: list[dict[str, str]] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        flights = FLIGHTS[self.pattern][1]
        name = protocol_name(self.pattern).encode()
        padded = name.ljust(32, b"\0") if len(name) <= 32 else hashlib.sha256(name).digest()
        self.h = self.ck = padded
        self.kem = MLKEM768PrivateKey.from_seed_bytes(SEED)
        self.k: bytes | None = None
        self.n = 0
        self.public = {name: public(key) for name, key in PRIVATE.items()}
        if self.spoiled is not None:
            self.public["ce"] = self.spoiled
        self._note("InitializeSymmetric")
        preamble = b"sealfram" + bytes((1, self.pattern))
        self.prologue = preamble + struct.pack("<H", len(self.context)) + self.context
        self._mix_hash("prologue", self.prologue)
        if self.pattern in (2, 5):
            self._mix_hash("s of the server, known before", self.public["ss"])
        for number, tokens in enumerate(flights):
            writer = "s" if number % 2 else "c"
            body = b"" if number else preamble
            for token in tokens:
                body += self._token(writer, token)
            body += self._encrypt_and_hash("the empty payload", b"")
            self.messages.append(control(0x41, body))
            if self.spoiled is not None:
                return
        self.keys = hkdf(self.ck, b"", 2)

    def _token(self, writer: str, token: str) -> bytes:
        if token == "e":
            key = self.public[writer + "e"]
            self._mix_hash("e", key)
            if self.pattern in (1, 4):
                self._mix_key("e, since there is a psk", key)
            return key
        if token == "s":
            return self._encrypt_and_hash("s", self.public[writer + "s"])
        if token == "psk":
            self.ck, mixed, self.k = hkdf(self.ck, self.psk, 3)
            self.n = 0
            self._mix_hash("psk", mixed)
            return b""
        if token == "e1":
            return self._encrypt_and_hash("e1", self.kem.public_key().public_bytes_raw())
        if token == "ekem1":
            text = self._encrypt_and_hash("ekem1", kem_ciphertext())
            self._mix_key("ekem1", self.kem.decapsulate(kem_ciphertext()))
            return text
        private = X25519PrivateKey.from_private_bytes(PRIVATE["c" + token[0]])
        other = X25519PublicKey.from_public_bytes(self.public["s" + token[1]])
        self._mix_key(token, private.exchange(other))
        return b""

    def _mix_hash(self, what: str, data: bytes) -> None:
        self.h = hashlib.sha256(self.h + data).digest()
        self._note(f"MixHash: {what}")

    def _mix_key(self, what: str, material: bytes) -> None:
        self.ck, self.k = hkdf(self.ck, material, 2)
        self.n = 0
        self._note(f"MixKey: {what}")

    def _encrypt_and_hash(self, what: str, plaintext: bytes) -> bytes:
        text = plaintext
        if self.k is not None:
            text = encrypt(self.k, self.n, plaintext, self.h)
            self.n += 1
        self._mix_hash(f"{what}, encrypted" if self.k else what, text)
        return text

    def _note(self, step: str) -> None:
        k = {} if self.k is None else {"k": self.k.hex()}
        self.steps.append({"step": step, "ck": self.ck.hex(), "h": self.h.hex(), **k})


def protocol_name(pattern: int) -> str:
    """Return the Noise protocol of a pattern."""
    agreement = "25519" if pattern <= 3 else "25519+MLKEM768"
    return f"Noise_{FLIGHTS[pattern][0]}_{agreement}_AESGCM_SHA256"


@cache
def kem_ciphertext() -> bytes:
    """Return the ciphertext that the page gives; the package chooses its randomness itself."""
    page = PAGE.read_text(encoding="utf-8")
    (found,) = re.findall(r"^```hex kem-ciphertext\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return bytes.fromhex(found)


def steps(pattern: int) -> str:
    """Return the steps of a handshake as docs/PROTOCOL.md has them."""
    lines = []
    for number, step in enumerate(Handshake(pattern).steps):
        lines.append(f"{number:2} {step['step']}")
        lines += [f"   {name:2} {step[name]}" for name in ("ck", "h", "k") if name in step]
    return "\n".join(lines) + "\n"


def rekey(key: bytes) -> bytes:
    """Return the next key of a direction."""
    return encrypt(key, 2**64 - 1, bytes(32))[:32]


def records() -> dict[str, Any]:
    """Return records around both ends of the first three keys."""
    found = []
    key, changed = RECORD_KEY, 0
    for number in (0, 1, REKEYED - 1, REKEYED, 2 * REKEYED - 1, 2 * REKEYED):
        while changed < number // REKEYED:
            key, changed = rekey(key), changed + 1
        record = message(encrypt(key, number, b"sealframe"))
        nonce = bytes(4) + struct.pack(">Q", number)
        found.append(
            {"number": number, "key": key.hex(), "nonce": nonce.hex(), "record": record.hex()}
        )
    return {"first key": RECORD_KEY.hex(), "plaintext": b"sealframe".hex(), "records": found}


def spoil(frame: bytes) -> bytes:
    """Return the frame with its last byte changed."""
    return frame[:-1] + bytes((frame[-1] ^ 1,))


def spoil_at(frame: bytes, place: int) -> bytes:
    """Return the frame with a byte changed."""
    return frame[:place] + bytes((frame[place] ^ 1,)) + frame[place + 1 :]


def failures() -> list[dict[str, Any]]:
    """Return handshakes that fail: what an end with the right keys reads, and what it writes."""
    good, xk, xkhfs, xxhfs = (Handshake(pattern) for pattern in (1, 2, 5, 6))
    first = good.messages[0]
    body = first[5:]

    def case(
        name: str,
        read: list[bytes],
        written: list[bytes],
        *,
        client: bool = False,
        pattern: int = 1,
    ) -> dict[str, Any]:
        return {
            "name": name,
            "end": "client" if client else "server",
            "pattern": pattern,
            "reads": [data.hex() for data in read],
            "writes": [data.hex() for data in written],
        }

    software = b"sealframe/0.1.0"
    fields = struct.pack("<HHIHH", 1, 4, 16 << 20, 5, len(software)) + software
    hello = control(0x42, b"sealfram\x01" + fields)
    first_record = message(encrypt(xk.keys[0], 0, hello))
    return [
        case("another key", [Handshake(1, psk=bytes(32)).messages[0]], [REFUSED]),
        case("another context", [Handshake(1, context=b"other").messages[0]], [REFUSED]),
        case("a changed byte in message 1", [spoil(first)], [REFUSED]),
        case("message 1 is a byte short", [control(0x41, body[:-1])], [REFUSED]),
        case("message 1 is a byte long", [control(0x41, body + b"\0")], [REFUSED]),
        case(
            "an ephemeral key of zeros, whose ee is zeros",
            [Handshake(1, spoiled=bytes(32)).messages[0]],
            [REFUSED],
        ),
        case("version 2", [control(0x41, body[:8] + b"\2" + body[9:])], [VERSION]),
        case("a changed byte in e1", [spoil_at(xkhfs.messages[0], 700)], [REFUSED], pattern=5),
        case(
            "a changed byte in ekem1",
            [spoil_at(xkhfs.messages[1], 700)],
            [xkhfs.messages[0], REFUSED],
            client=True,
            pattern=5,
        ),
        case(
            "an encapsulation key of 4,095s, in the clear",
            [xxhfs.messages[0][:47] + b"\xff" * 1184],
            [REFUSED],
            pattern=6,
        ),
        case(
            "the hybrid at a server that takes XK alone", [xkhfs.messages[0]], [VERSION], pattern=2
        ),
        case("pattern 9", [control(0x41, body[:9] + b"\x09" + body[10:])], [VERSION]),
        case("XK at a server with a shared key", [xk.messages[0]], [VERSION]),
        case("another magic", [control(0x41, b"sealfran" + body[8:])], []),
        case("a message", [message(b"hi")], [SEALED]),
        case("HELLO", [hello], [SEALED]),
        case("PING", [control(0x07, b"")], []),
        case(
            "a changed byte in message 2", [spoil(good.messages[1])], [first, REFUSED], client=True
        ),
        case(
            "a changed byte in message 3",
            [xk.messages[0], spoil(xk.messages[2])],
            [xk.messages[1], REFUSED],
            pattern=2,
        ),
        case(
            "a changed byte in the client's first record",
            [first, spoil(message(encrypt(good.keys[0], 0, hello)))],
            [good.messages[1]],
        ),
        case(
            "a plaintext CLOSE in place of the server's first record",
            [xk.messages[1], REFUSED],
            [xk.messages[0], xk.messages[2], first_record],
            client=True,
            pattern=2,
        ),
    ]


Part = tuple[bytes, str]


@dataclass
class Turn:
    """What one end writes at a time.

    :ivar parts: the bytes, with what each is
    :ivar inside: the plaintext of the record, likewise; none for a handshake frame
    """

    client: bool
    title: str
    parts: list[Part]
    inside: list[Part]

    @property
    def data(self) -> bytes:
        """All bytes on the wire."""
        return b"".join(part for part, _ in self.parts)


def _fields(*fields: tuple[int, bytes, str]) -> list[Part]:
    return [(struct.pack("<HH", kind, len(value)) + value, what) for kind, value, what in fields]


def turns() -> list[Turn]:
    """Return a whole connection, sealed with the shared key."""
    handshake = Handshake(1)
    first, second = handshake.messages
    found = [
        Turn(
            True,
            "HANDSHAKE, message 1",
            [
                (first[:4], "head: a control frame of 59 bytes"),
                (first[4:5], "HANDSHAKE"),
                (first[5:13], "magic"),
                (first[13:15], "version 1, pattern 1"),
                (first[15:47], "e, the client's ephemeral key"),
                (first[47:], "the tag of the empty payload"),
            ],
            [],
        ),
        Turn(
            False,
            "HANDSHAKE, message 2",
            [
                (second[:4], "head: a control frame of 49 bytes"),
                (second[4:5], "HANDSHAKE"),
                (second[5:37], "e, the server's ephemeral key"),
                (second[37:], "the tag of the empty payload"),
            ],
            [],
        ),
    ]
    numbers = [0, 0]

    def record(client: bool, title: str, parts: list[Part]) -> None:
        direction = 0 if client else 1
        number = numbers[direction]
        numbers[direction] += 1
        sealed = encrypt(handshake.keys[direction], number, b"".join(part for part, _ in parts))
        head = struct.pack("<I", len(sealed))
        outer = [
            (head, f"head: a record of {len(sealed)} bytes"),
            (sealed[:-16], f"the ciphertext, under nonce {number}"),
            (sealed[-16:], "the tag"),
        ]
        found.append(Turn(client, title, outer, parts))

    def framed(opcode: int, name: str, parts: list[Part]) -> list[Part]:
        size = 1 + sum(len(part) for part, _ in parts)
        head = struct.pack("<I", 0x8000_0000 | size)
        opened = [(head, f"head: a control frame of {size} bytes"), (bytes((opcode,)), name)]
        return opened + parts

    def spoken(content: bytes) -> list[Part]:
        head = struct.pack("<I", len(content))
        return [
            (head, f"head: a message of {len(content)} bytes"),
            (content, ascii(content.decode())),
        ]

    software = (5, b"sealframe/0.1.0", "field 5, software: 'sealframe/0.1.0'")
    begin = [(b"sealfram", "magic"), (b"\x01", "version 1")]
    maximum = struct.pack("<I", 16 << 20)
    hello = begin + _fields((1, maximum, "field 1, max_frame: 16 MiB"), software)
    record(True, "record 0: HELLO, alone", framed(0x42, "HELLO", hello))
    maximum = struct.pack("<I", 1 << 20)
    name = (7, b"5f0c2a-1", "field 7, client id: '5f0c2a-1'")
    welcome = begin + _fields((1, maximum, "field 1, max_frame: 1 MiB"), software, name)
    record(False, "record 0: WELCOME", framed(0x43, "WELCOME", welcome))
    record(True, "record 1: a message", spoken(b"hi"))
    ping = [(bytes(range(1, 9)), "to be brought back")]
    record(False, "record 1: PING", framed(0x07, "PING", ping))
    record(True, "record 2: PONG", framed(0x88, "PONG", ping))
    record(False, "record 2: a message", spoken(b"ho"))
    close = [(b"\0\0", "code 0, NORMAL"), (b"\0", "no reason")]
    count = _fields((8, struct.pack("<Q", 1), "field 8, frames received: 1, the message"))
    record(True, "record 3: CLOSE; the client sends no more", framed(0x44, "CLOSE", close + count))
    record(False, "record 3: CLOSE; both close", framed(0x44, "CLOSE", close + count))
    return found


def _lines(parts: list[Part], mark: str) -> list[str]:
    lines = []
    for data, what in parts:
        for at in range(0, len(data), 16):
            digits = data[at : at + 16].hex(" ")
            lines.append(f"  {mark}{digits:<49}{'' if at else what}".rstrip())
    return lines


def transcript() -> str:
    """Return the whole connection, annotated, as docs/PROTOCOL.md has it."""
    lines = []
    for turn in turns():
        lines.append(f"{'client' if turn.client else 'server'}: {turn.title}")
        lines += _lines(turn.parts, "")
        if turn.inside:
            lines += ["  which opens to", *_lines(turn.inside, "| ")]
    return "\n".join(lines) + "\n"


def vectors() -> dict[str, Any]:
    """Return everything, with bytes as hexadecimal digits."""
    handshakes = []
    for pattern in FLIGHTS:
        made = Handshake(pattern)
        handshakes.append(
            {
                "pattern": pattern,
                "name": protocol_name(pattern),
                "prologue": made.prologue.hex(),
                "steps": made.steps,
                "frames": [frame.hex() for frame in made.messages],
                "hash": made.h.hex(),
                "client sends under": made.keys[0].hex(),
                "server sends under": made.keys[1].hex(),
            }
        )
    return {
        "about": "docs/PROTOCOL.md, section 6, says what each of these is",
        "context": CONTEXT.hex(),
        "shared key": PSK.hex(),
        "client ephemeral private": PRIVATE["ce"].hex(),
        "server ephemeral private": PRIVATE["se"].hex(),
        "client static private": PRIVATE["cs"].hex(),
        "server static private": PRIVATE["ss"].hex(),
        "client ML-KEM-768 seed": SEED.hex(),
        "ML-KEM-768 ciphertext": kem_ciphertext().hex(),
        "ML-KEM-768 m": (b"\x77" * 32).hex(),
        "handshakes": handshakes,
        "records": records(),
        "failures": failures(),
        "connection": [
            {
                "from": "client" if turn.client else "server",
                "what": turn.title,
                "bytes": turn.data.hex(),
                "plaintext": b"".join(part for part, _ in turn.inside).hex(),
            }
            for turn in turns()
        ],
    }


def text() -> str:
    """Return the contents of the file."""
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
    print(transcript(), end="")
