"""Public keys with which no secret can be agreed, and others that are not what they seem."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aio.scripted import listening

import sealframe
from sealframe import CloseCode, Connection, HandshakeError
from sealframe.noise.cipher import KeyPair
from sealframe.wire import HEAD_SIZE, Control
from sealframe.wire.control import Close

from .credentials import CONTEXT, Credentials, make
from .holder import HELLO, REFUSED, Holder, Impostor, claiming, dialled
from .middle import Tapped, Way
from .scene import BEFORE_WELCOME, Scene, scene

_VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "x25519-wycheproof.json"
_PRIME = 2**255 - 19

# RFC 7748, section 6.1, warns of them: those of order 1, 2, 4 and 8 on the curve and its
# twist, and the encodings of the same that are not reduced.
LOW_ORDER = [
    number.to_bytes(32, "little")
    for number in (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        _PRIME - 1,
        _PRIME,
        _PRIME + 1,
    )
]


def wycheproof_points() -> list[bytes]:
    """Return the public keys of the published tests that give an all-zero secret."""
    if not _VECTORS.exists():
        pytest.skip(f"{_VECTORS.name} is missing")
    groups = json.loads(_VECTORS.read_text())["testGroups"]
    return sorted(
        {
            bytes.fromhex(test["public"])
            for group in groups
            for test in group["tests"]
            if int(test["shared"], 16) == 0
        }
    )


@contextmanager
def posing_as(public: bytes, *, letter: str) -> Iterator[None]:
    """Let a handshake show this public key, whatever its private one, and reckon with zeros.

    That is what an attacker does: the secret with a point of low order is known to all.

    :param letter: which key it is in Noise's tokens, "e" or "s"
    """
    if letter == "s":
        with claiming(public, agreed=bytes(32)):
            yield
        return
    pair = Impostor(KeyPair.generate(), public, agreed=bytes(32))
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(KeyPair, "generate", lambda: pair)
        yield


# Nothing random is in the key that the attacker makes of it, which is the danger.
known_secret = pytest.mark.fixed_keys(reason="everyone knows the secret with such a point")


@known_secret
@pytest.mark.parametrize("source", ["known", "published"])
async def test_the_ephemeral_key_of_a_client(attacked_tcp: Scene, source: str) -> None:
    """In XK it need not even have a key of its own to make such a message 1."""
    points = LOW_ORDER if source == "known" else wycheproof_points()
    assert points
    for point in points:
        first_error, first_call = attacked_tcp.begin()
        async with dialled(attacked_tcp.address) as raw:
            holder = Holder(raw, attacked_tcp.credentials, client=True)
            with posing_as(point, letter="e"):
                message = holder.next_handshake()
            assert point in message
            await raw.send(message)
            assert await raw.receive_to_end() == REFUSED
            raw.close()
            await attacked_tcp.check_left_alone(BEFORE_WELCOME, first_error, first_call)


async def test_the_static_key_of_a_client(identities: Credentials, no_leaks: None) -> None:
    """It stands in message 3, encrypted."""
    async with scene(identities) as attacked:
        for point in LOW_ORDER:
            first_error, first_call = attacked.begin()
            async with dialled(attacked.address) as raw:
                holder = Holder(raw, identities, client=True)
                await holder.write_handshake()
                await holder.read_handshake()
                with posing_as(point, letter="s"):
                    await holder.write_handshake()
                assert await raw.receive_to_end() == REFUSED
                raw.close()
                await attacked.check_left_alone(BEFORE_WELCOME, first_error, first_call)


class TestOfAServer:
    @known_secret
    async def test_the_ephemeral_key(self, credentials: Credentials, no_leaks: None) -> None:
        for point in LOW_ORDER:
            await _check_client_refuses(credentials, point, "e")

    async def test_the_static_key(self, tmp_path: Path, no_leaks: None) -> None:
        """In XX it comes in message 2, to a client that would trust it."""
        pytest.importorskip("cryptography", reason="cryptography is not installed")
        credentials = make("XX", tmp_path)
        assert credentials.server_static is not None
        for point in LOW_ORDER:
            await _check_client_refuses(credentials, point, "s")
        assert not (tmp_path / "known_servers").exists()


async def _check_client_refuses(credentials: Credentials, point: bytes, letter: str) -> None:
    async with listening() as listener:
        connecting = asyncio.ensure_future(_connect(credentials, listener.port))
        async with await listener.accept() as raw:
            holder = Holder(raw, credentials, client=False)
            await holder.read_handshake()
            with posing_as(point, letter=letter):
                message = holder.next_handshake()
            await raw.send(message)
            assert await raw.receive_to_end() == REFUSED
            raw.close()
            with pytest.raises(HandshakeError) as caught:
                await connecting
            assert caught.value.code == CloseCode.REFUSED


async def _connect(credentials: Credentials, port: int) -> Connection:
    return await sealframe.connect("127.0.0.1", port, security=credentials.client, context=CONTEXT)


def with_top_bit(public: bytes) -> bytes:
    """Return another encoding of the same public key: RFC 7748 ignores that bit."""
    return public[:-1] + bytes((public[-1] ^ 0x80,))


class TestAnotherEncoding:
    @pytest.mark.parametrize("way", Way)
    async def test_on_the_way(self, attacked: Scene, way: Way) -> None:
        """Both ends agree on the same secrets, and yet see that the message was changed."""
        last = HEAD_SIZE + 1 + (len(attacked.credentials.preamble) if way is Way.UP else 0) + 32

        def script(tapped: Tapped, frame_way: Way, number: int, frame: bytes) -> bytes:
            if (frame_way, number) != (way, 0):
                return frame
            tapped.faults += 1
            return with_top_bit(frame[:last]) + frame[last:]

        tapped, _ = await attacked.suffer(script, BEFORE_WELCOME)
        assert tapped.faults == 1

    async def test_of_an_authorised_key(self, identities: Credentials, no_leaks: None) -> None:
        """The list knows one encoding of each key, and the key is what its bytes are."""
        public = identities.client_public
        assert public is not None
        async with scene(identities) as attacked:
            first_error, first_call = attacked.begin()
            async with dialled(attacked.address) as raw:
                holder = Holder(raw, identities, client=True)
                await holder.write_handshake()
                await holder.read_handshake()
                with claiming(with_top_bit(public)):
                    await holder.shake_hands()
                await holder.write(HELLO)
                (frame,) = await holder.read_to_end()
                assert isinstance(frame, Control)
                assert Close.decode(frame.body).code == CloseCode.UNAUTHORIZED
                raw.close()
                await attacked.check_left_alone(BEFORE_WELCOME, first_error, first_call)
