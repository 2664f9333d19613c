"""Stolen keys, clients that are not let in, impostors; and that failures look alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aio.scripted import listening

import sealframe
from sealframe import (
    ClientIdentity,
    CloseCode,
    HandshakeError,
    PrivateKey,
    PublicKey,
    ServerKeyChangedError,
    SharedKey,
    UnauthorizedError,
    UnknownServerError,
)
from sealframe.wire import CONTROL_BIT, HEAD_SIZE, Control, Opcode, Pattern, control
from sealframe.wire.control import Close

from .credentials import CONTEXT, Credentials, PatternName, make
from .holder import HELLO, REFUSED, Holder, claiming, dialled
from .middle import Script, Tapped, Way, carry
from .scene import BEFORE_WELCOME, Harm, scene

NOT_LET_IN = Harm(UnauthorizedError, HandshakeError, answers=0)


def stranger(credentials: Credentials, known_servers: Path) -> ClientIdentity:
    """Return a client with a key that the server does not know."""
    key, hybrid = PrivateKey.generate(), credentials.pattern.post_quantum
    if credentials.pinned:
        assert credentials.server_public is not None
        server = PublicKey(credentials.server_public)
        return ClientIdentity(key, server=server, post_quantum=hybrid)
    return ClientIdentity(
        key, known_servers=known_servers, trust_first_use=True, post_quantum=hybrid
    )


class TestTheServersKeyIsStolen:
    async def test_it_is_no_clients_key(self, identities: Credentials, no_leaks: None) -> None:
        async with scene(identities) as attacked:
            first_error, first_call = attacked.begin()
            async with dialled(attacked.address) as raw:
                thief = identities.handshake(initiator=True, static=identities.server_static)
                holder = Holder(raw, identities, client=True, handshake=thief)
                await holder.shake_hands()
                await holder.write(HELLO)
                (frame,) = await holder.read_to_end()
                assert isinstance(frame, Control)
                assert Close.decode(frame.body).code == CloseCode.UNAUTHORIZED
                raw.close()
                await attacked.check_left_alone(BEFORE_WELCOME, first_error, first_call)

    @pytest.mark.parametrize("stolen", ["server", "none"])
    async def test_it_does_not_make_one_a_client_that_is_let_in(
        self, identities: Credentials, stolen: str, no_leaks: None
    ) -> None:
        """Whose public key is known to the thief, who shows it in message 3."""
        assert identities.client_public is not None
        static = identities.server_static if stolen == "server" else bytes(range(32))
        async with scene(identities) as attacked:
            first_error, first_call = attacked.begin()
            async with dialled(attacked.address) as raw:
                thief = identities.handshake(initiator=True, static=static)
                holder = Holder(raw, identities, client=True, handshake=thief)
                await holder.write_handshake()
                await holder.read_handshake()
                with claiming(identities.client_public):
                    await holder.write_handshake()
                assert await raw.receive_to_end() == REFUSED
                raw.close()
                await attacked.check_left_alone(BEFORE_WELCOME, first_error, first_call)


async def test_the_clients_stolen_key_does_not_make_one_its_server(
    identities: Credentials, no_leaks: None
) -> None:
    """Whose public key the thief shows, in XX, or has to know the private one of, in XK."""
    assert identities.server_public is not None
    async with listening() as listener:
        connecting = asyncio.ensure_future(_connect(identities.client, listener.port))
        async with await listener.accept() as raw:
            first = await raw.receive()
            with claiming(identities.server_public):
                thief = identities.handshake(initiator=False, static=identities.client_static)
                if identities.pinned:
                    with pytest.raises(HandshakeError):
                        thief.read_message(first[HEAD_SIZE + 11 :])
                    body = bytes(48)
                else:
                    thief.read_message(first[HEAD_SIZE + 11 :])
                    body = thief.write_message()
            await raw.send(control.frame(Opcode.HANDSHAKE, body))
            assert await raw.receive_to_end() == REFUSED
            raw.close()
            with pytest.raises(HandshakeError):
                await connecting


async def _connect(security: ClientIdentity, port: int) -> sealframe.Connection:
    return await sealframe.connect("127.0.0.1", port, security=security, context=CONTEXT)


class TestNotLetIn:
    async def test_is_told_inside_the_seal_alone(
        self, identities: Credentials, tmp_path: Path, no_leaks: None
    ) -> None:
        """On the wire it looks like a WELCOME: as long, and as late."""
        async with scene(identities) as attacked:
            welcomed = await attacked.conversation()
            refused, visit = await attacked.suffer(
                carry, NOT_LET_IN, security=stranger(identities, tmp_path / "new")
            )
        assert visit.error is not None
        assert visit.error.code == CloseCode.UNAUTHORIZED
        assert len(refused.seen[Way.DOWN]) == 2
        for way in Way:
            frames = identities.handshakes(way) + 1
            sizes = [len(frame) for frame in refused.seen[way]]
            assert sizes == [len(frame) for frame in welcomed.seen[way][:frames]]
        assert not refused.seen[Way.DOWN][1][HEAD_SIZE - 1] & (CONTROL_BIT >> 24)
        # A server that does not let us in is none to trust.
        assert not (tmp_path / "new").exists()

    async def test_a_changed_answer_is_not_believed(
        self, identities: Credentials, tmp_path: Path, no_leaks: None
    ) -> None:
        def script(tapped: Tapped, way: Way, number: int, frame: bytes) -> bytes:
            if (way, number) != (Way.DOWN, 1):
                return frame
            return frame[:-1] + bytes((frame[-1] ^ 1,))

        async with scene(identities) as attacked:
            security = stranger(identities, tmp_path / "new")
            await attacked.suffer(script, BEFORE_WELCOME, security=security)


class TestAnotherServerInTheMiddle:
    """In XX it can answer, with a key of its own."""

    @pytest.mark.parametrize("known", [False, True])
    async def test_learns_nothing_of_the_client(
        self, tmp_path: Path, known: bool, no_leaks: None
    ) -> None:
        """Neither where the real server is known, nor where only known ones are trusted."""
        pytest.importorskip("cryptography", reason="cryptography is not installed")
        impostor = make("XX", tmp_path)
        real, offered = PrivateKey.generate().public_key, PublicKey(impostor.server_public or b"")
        mine = tmp_path / "mine"
        security = ClientIdentity(PrivateKey.generate(), known_servers=mine, trust_first_use=known)
        async with scene(impostor) as attacked:
            if known:
                address = attacked.middle.address
                mine.write_text(f"{address['host']}:{address['port']} {real}\n")
            before = mine.read_bytes() if known else None
            kind = ServerKeyChangedError if known else UnknownServerError
            tapped, visit = await attacked.suffer(
                carry, Harm(kind, HandshakeError, answers=0), security=security
            )
        assert tapped.seen[Way.UP][1:] == [REFUSED]
        if isinstance(visit.error, ServerKeyChangedError):
            assert (visit.error.known, visit.error.offered) == (real, offered)
        else:
            assert isinstance(visit.error, UnknownServerError)
            assert visit.error.key == offered
        assert (mine.read_bytes() if mine.exists() else None) == before


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("XK", Pattern.XX),
        ("XX", Pattern.XK),
        ("XKhfs", Pattern.XK),
        ("XXhfs", Pattern.XX),
        ("XKhfs", Pattern.XXHFS),
    ],
)
async def test_nobody_is_talked_into_another_pattern(
    name: PatternName, other: Pattern, tmp_path: Path, no_leaks: None
) -> None:
    """A server that takes all, and someone who changes the number on the way."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    place = HEAD_SIZE + 10

    def script(tapped: Tapped, way: Way, number: int, frame: bytes) -> bytes:
        if (way, number) != (Way.UP, 0):
            return frame
        return frame[:place] + bytes((other,)) + frame[place + 1 :]

    async with scene(make(name, tmp_path, accepted=("XK", "XX"))) as attacked:
        tapped, _ = await attacked.suffer(script, BEFORE_WELCOME)
        assert tapped.sent(Way.DOWN) == REFUSED


# What anyone on the way, or at the other end, can see of a failure


def changed(way: Way, at: int, change: Callable[[bytes], bytes]) -> Script:
    """Return a script that changes the body of a handshake frame, and its head to fit."""

    def script(tapped: Tapped, frame_way: Way, number: int, frame: bytes) -> bytes:
        if (frame_way, number) != (way, at):
            return frame
        start = HEAD_SIZE + 1 + (10 if (way, at) == (Way.UP, 0) else 0)
        return control.frame(Opcode.HANDSHAKE, frame[HEAD_SIZE + 1 : start] + change(frame[start:]))

    return script


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "first byte": lambda noise: bytes((noise[0] ^ 1,)) + noise[1:],
    "last byte": lambda noise: noise[:-1] + bytes((noise[-1] ^ 1,)),
    "zeros": lambda noise: bytes(len(noise)),
    "ones": lambda noise: b"\xff" * len(noise),
    "one byte less": lambda noise: noise[:-1],
    "one byte more": lambda noise: noise + b"\0",
    "half": lambda noise: noise[: len(noise) // 2],
    "nothing": lambda noise: b"",
    "a low-order key": lambda noise: (1).to_bytes(32, "little") + noise[32:],
}


class TestFailuresLookAlike:
    """Whatever is wrong with a message, the answer is the same bytes, and FIN."""

    async def test_of_the_handshake(self, credentials: Credentials, no_leaks: None) -> None:
        async with scene(credentials) as attacked:
            for way in Way:
                for at in range(credentials.handshakes(way)):
                    replies = set()
                    for name, change in CHANGES.items():
                        # No part of this message is authentic: message 2 shows it.
                        bare = credentials.unproven and (way, at) == (Way.UP, 0)
                        if bare and name in ("first byte", "last byte", "ones"):
                            continue
                        tapped, _ = await attacked.suffer(changed(way, at, change), BEFORE_WELCOME)
                        answer = b"".join(tapped.seen[way.back][at + (way is Way.DOWN) :])
                        replies.add(answer)
                    assert replies == {REFUSED}, (way, at)

    async def test_of_the_first_message(self, credentials: Credentials, no_leaks: None) -> None:
        """Another key or context at both ends is answered as a forgery is."""
        async with scene(credentials) as attacked:
            visits: list[dict[str, Any]] = [{"context": b""}, {"context": CONTEXT + b"\0"}]
            if credentials.psk is not None:
                visits.append({"security": SharedKey.generate()})
            elif credentials.pinned:
                other = PrivateKey.generate().public_key
                visits.append({"security": ClientIdentity(PrivateKey.generate(), server=other)})
            for arguments in visits:
                tapped, _ = await attacked.suffer(carry, BEFORE_WELCOME, **arguments)
                if credentials.unproven:
                    # The client is the first that can see it.
                    assert tapped.seen[Way.UP][1:] == [REFUSED]
                else:
                    assert tapped.seen[Way.DOWN] == [REFUSED]
