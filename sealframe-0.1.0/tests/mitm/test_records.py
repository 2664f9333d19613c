"""Records replayed, dropped, reordered, reflected, spliced; lengths that lie."""

from __future__ import annotations

import pytest
from aio.scripted import until

from sealframe import HandshakeError, ProtocolError, TruncatedError
from sealframe.wire import CONTROL_BIT, HEAD_SIZE, MAX_LENGTH

from .credentials import Credentials
from .holder import dialled
from .middle import Script, Tapped, Way, changing, replacing
from .scene import BEFORE_WELCOME, Harm, Scene, harm_at


def first_message(credentials: Credentials, way: Way) -> int:
    """Return the number of the frame that carries the first message."""
    return credentials.handshakes(way) + 1


def harm_after(way: Way, messages: int) -> Harm:
    """Return what must come of a bad record behind so many messages."""
    if way is Way.UP:
        return Harm(TruncatedError, ProtocolError, welcomed=True, questions=messages)
    return Harm(ProtocolError, TruncatedError, welcomed=True, questions=None, answers=messages)


@pytest.mark.parametrize("way", Way)
class TestOrder:
    async def test_a_record_comes_twice(self, attacked: Scene, way: Way) -> None:
        at = first_message(attacked.credentials, way) + 1
        await attacked.suffer(changing(way, at, _twice), harm_after(way, 2))

    async def test_an_old_record_comes_again(self, attacked: Scene, way: Way) -> None:
        """Each that there was: of the handshake, HELLO or WELCOME, the first message."""
        last = first_message(attacked.credentials, way) + 1
        for old in range(last):

            def script(
                tapped: Tapped,
                frame_way: Way,
                number: int,
                frame: bytes,
                old: int = old,
            ) -> bytes:
                if (frame_way, number) == (way, last):
                    return frame + tapped.seen[way][old]
                return frame

            await attacked.suffer(script, harm_after(way, 2))

    async def test_a_record_is_missing(self, attacked: Scene, way: Way) -> None:
        at = first_message(attacked.credentials, way) + 1
        await attacked.suffer(replacing(way, at, b""), harm_after(way, 1))

    async def test_two_records_change_places(self, attacked: Scene, way: Way) -> None:
        at = first_message(attacked.credentials, way) + 1
        await attacked.suffer(_late(way, at, by=1), harm_after(way, 1))

    async def test_a_record_comes_much_later(self, attacked: Scene, way: Way) -> None:
        at = first_message(attacked.credentials, way)
        await attacked.suffer(_late(way, at, by=3), harm_after(way, 0))

    async def test_a_frame_of_the_handshake_comes_twice(self, attacked: Scene, way: Way) -> None:
        for at in range(attacked.credentials.handshakes(way)):
            await attacked.suffer(changing(way, at, _twice), BEFORE_WELCOME)


def _twice(frame: bytes) -> bytes:
    return frame + frame


def _late(way: Way, at: int, *, by: int) -> Script:
    held = b""

    def script(tapped: Tapped, frame_way: Way, number: int, frame: bytes) -> bytes:
        nonlocal held
        if frame_way is way and number == at:
            held = frame
            return b""
        if frame_way is way and number == at + by:
            return frame + held
        return frame

    return script


@pytest.mark.parametrize("way", Way)
async def test_a_frame_is_reflected_to_its_sender(attacked: Scene, way: Way) -> None:
    """Both directions count from 0, but each has a key of its own."""
    credentials = attacked.credentials
    for at in range(first_message(credentials, way) + 2):

        def script(
            tapped: Tapped, frame_way: Way, number: int, frame: bytes, at: int = at
        ) -> bytes:
            if (frame_way, number) == (way, at):
                tapped.write(way.back, frame)
            return frame

        if at == 0:
            harm = BEFORE_WELCOME
        elif way is Way.DOWN:
            harm = Harm(TruncatedError, ProtocolError, welcomed=True, questions=None)
        else:
            # As long as no WELCOME has come, the client is in its handshake.
            kind = ProtocolError if at > credentials.handshakes(way) else HandshakeError
            harm = Harm(kind, TruncatedError, welcomed=True, questions=None)
        await attacked.suffer(script, harm)


@pytest.mark.parametrize("way", Way)
async def test_a_frame_of_another_connection(attacked: Scene, way: Way) -> None:
    """With the same keys at both ends and the same number in the stream."""
    credentials = attacked.credentials
    other = (await attacked.conversation()).seen[way]
    # The client's first message alone depends on nothing of this connection.
    for at in range(way is Way.UP, first_message(credentials, way) + 2):
        await attacked.suffer(replacing(way, at, other[at]), harm_at(credentials, way, at))


class TestAWholeConversationAgain:
    @pytest.mark.parametrize("at_once", [False, True])
    async def test_the_client_at_the_server(self, attacked: Scene, at_once: bool) -> None:
        frames = (await attacked.conversation()).seen[Way.UP]
        first_error, first_call = attacked.begin()
        async with dialled(attacked.address) as raw:
            if at_once:
                await raw.send(b"".join(frames))
            else:
                await raw.send(frames[0])
                assert await raw.receive()
                for frame in frames[1:]:
                    await raw.send(frame)
            raw.finish()
            # What is still sent to one who sees through it may reset the connection.
            await until(lambda: len(attacked.errors) > first_error)
        await attacked.check_left_alone(BEFORE_WELCOME, first_error, first_call)

    async def test_the_server_at_the_client(self, attacked: Scene) -> None:
        frames = (await attacked.conversation()).seen[Way.DOWN]

        def script(tapped: Tapped, way: Way, number: int, frame: bytes) -> bytes:
            if (way, number) == (Way.UP, 0):
                tapped.write(Way.DOWN, b"".join(frames))
            return b""

        tapped, _ = await attacked.suffer(script, BEFORE_WELCOME)
        assert tapped.seen[Way.DOWN] == []


LENGTHS = {
    "0": 0,
    "16": 16,
    "17": 17,
    "1,020": 1020,
    "1,021": 1021,
    "65,535": 65_535,
    "65,536": 65_536,
    "2 GiB": MAX_LENGTH,
    "1 | C": 1 | CONTROL_BIT,
    "65,535 | C": 65_535 | CONTROL_BIT,
}


@pytest.mark.parametrize("way", Way)
class TestLengths:
    async def test_a_forged_record_of_each_length(self, attacked: Scene, way: Way) -> None:
        """In place of HELLO or WELCOME, and of the second message."""
        credentials = attacked.credentials
        for at in (credentials.handshakes(way), first_message(credentials, way) + 1):
            for length in LENGTHS.values():
                forged = length.to_bytes(HEAD_SIZE, "little") + bytes(min(length, 65_536))
                await attacked.suffer(replacing(way, at, forged), harm_at(credentials, way, at))

    async def test_a_declared_length_that_is_wrong(self, attacked: Scene, way: Way) -> None:
        """By one, and by much: what follows is taken for a part of it, or the reverse."""
        credentials = attacked.credentials
        at = first_message(credentials, way)
        for change in (-30, -1, 1, 20):

            def script(
                tapped: Tapped, frame_way: Way, number: int, frame: bytes, change: int = change
            ) -> bytes:
                if (frame_way, number) != (way, at):
                    return frame
                length = max(0, int.from_bytes(frame[:HEAD_SIZE], "little") + change)
                return length.to_bytes(HEAD_SIZE, "little") + frame[HEAD_SIZE:]

            await attacked.suffer(script, harm_at(credentials, way, at))
