from __future__ import annotations

import gc
import hmac
from secrets import token_bytes
from unittest.mock import patch

import pytest
from trust.secrecy import assert_not_copied, assert_not_shown, kept_alive, reachable

from sealframe.errors import (
    ConfigurationError,
    DecryptionError,
    HandshakeError,
    MessageTooLargeError,
)
from sealframe.noise.cipher import CipherState, KeyPair, generate_keypair, public_key
from sealframe.noise.credentials import Credentials
from sealframe.noise.handshake import PATTERNS, Handshake
from sealframe.noise.kem import DecapsulationKey, EncapsulationKey
from sealframe.noise.symmetric import SymmetricState, hkdf, initial_hash
from sealframe.wire import Pattern

PSK = bytes(range(1, 33))
CLIENT = bytes(range(33, 65))
SERVER = bytes(range(65, 97))
EPHEMERALS = (bytes(range(97, 129)), bytes(range(129, 161)))
WRONG = bytes(range(161, 193))
SEED = bytes(range(193, 225)) + bytes(range(224, 192, -1))
"""Of the initiator's ML-KEM-768 key pair."""

# Points whose multiples by any private key are zero, of order 1, 4 and 8 on the
# curve or its twist (https://cr.yp.to/ecdh.html).
LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]

# What each side is given; the sizes of the messages when their payloads are empty.
KEYS: dict[str, tuple[dict[str, bytes], dict[str, bytes]]] = {
    "NNpsk0": ({"psk": PSK}, {"psk": PSK}),
    "XK": ({"static": CLIENT, "remote_static": public_key(SERVER)}, {"static": SERVER}),
    "XX": ({"static": CLIENT}, {"static": SERVER}),
}
KEYS |= {"NNhfs+psk0": KEYS["NNpsk0"], "XKhfs": KEYS["XK"], "XXhfs": KEYS["XX"]}
SIZES = {
    "NNpsk0": [48, 48],
    "XK": [48, 48, 64],
    "XX": [32, 96, 64],
    "NNhfs+psk0": [1248, 1152],
    "XKhfs": [1248, 1152, 64],
    "XXhfs": [1216, 1200, 64],
}
KINDS = {
    "NNpsk0": Pattern.NNPSK0,
    "XK": Pattern.XK,
    "XX": Pattern.XX,
    "NNhfs+psk0": Pattern.NNHFS_PSK0,
    "XKhfs": Pattern.XKHFS,
    "XXhfs": Pattern.XXHFS,
}

UNPROVEN = [("XX", 0), ("XXhfs", 0)]
"""Messages in which nothing is authenticated yet: the next one shows what is wrong with them."""

MESSAGES = [(pattern, number) for pattern, sizes in SIZES.items() for number in range(len(sizes))]

PROVEN = [message for message in MESSAGES if message not in UNPROVEN]

HYBRIDS = [pattern for pattern in PATTERNS if "hfs" in pattern]

every_pattern = pytest.mark.parametrize("pattern", PATTERNS)
same_state = pytest.mark.fixed_keys(reason="each try starts from the very same state")


def sides(pattern: str, prologue: bytes = b"") -> tuple[Handshake, Handshake]:
    """Return initiator and responder with the right keys."""
    ours, theirs = KEYS[pattern]
    return (
        Handshake(pattern, initiator=True, prologue=prologue, **ours),
        Handshake(pattern, initiator=False, prologue=prologue, **theirs),
    )


def exchange(first: Handshake, second: Handshake, messages: int = 3) -> None:
    """Pass empty messages, up to that many, until both have finished."""
    for _ in range(messages):
        if not first.finished:
            assert second.read_message(first.write_message()) == b""
            first, second = second, first


def before(pattern: str, number: int) -> tuple[Handshake, Handshake]:
    """Return who writes and who reads message `number`, when it is its turn.

    All keys are fixed, so that each call leads to the very same state, but for what ML-KEM-768
    encapsulates.
    """
    ours, theirs = KEYS[pattern]
    seed = SEED if "hfs" in pattern else None
    writer = Handshake(pattern, initiator=True, ephemeral=EPHEMERALS[0], kem_seed=seed, **ours)
    reader = Handshake(pattern, initiator=False, ephemeral=EPHEMERALS[1], **theirs)
    for _ in range(number):
        reader.read_message(writer.write_message())
        writer, reader = reader, writer
    return writer, reader


def duplicate(handshake: Handshake) -> Handshake:
    """Return another one in the same state, which goes on by itself.

    To get there anew each time would take a hundred times as long.
    """
    copied = Handshake.__new__(Handshake)
    for name in Handshake.__slots__:
        value = getattr(handshake, name)
        if isinstance(value, SymmetricState):
            state = SymmetricState.__new__(SymmetricState)
            for part in SymmetricState.__slots__:
                setattr(state, part, getattr(value, part))
            value = state
        setattr(copied, name, dict(value) if isinstance(value, dict) else value)
    return copied


def assert_dead(handshake: Handshake) -> None:
    with pytest.raises(HandshakeError, match="has failed"):
        handshake.write_message()
    with pytest.raises(HandshakeError, match="has failed"):
        handshake.read_message(bytes(48))
    with pytest.raises(HandshakeError):
        handshake.split()
    with pytest.raises(HandshakeError):
        _ = handshake.hash
    assert not handshake.finished
    assert handshake.remote_static is None


def test_tables_of_this_file_cover_every_pattern() -> None:
    assert KEYS.keys() == SIZES.keys() == PATTERNS.keys()


@every_pattern
def test_empty_messages_have_the_sizes_of_the_protocol(pattern: str) -> None:
    writer, reader = sides(pattern)
    for size in SIZES[pattern]:
        assert not writer.finished
        assert not reader.finished
        message = writer.write_message()
        assert len(message) == size
        reader.read_message(message)
        writer, reader = reader, writer
    assert writer.finished
    assert reader.finished


@every_pattern
def test_both_sides_agree_and_can_talk(pattern: str) -> None:
    initiator, responder = sides(pattern, prologue=b"as agreed")
    exchange(initiator, responder)
    assert initiator.hash == responder.hash
    ours, theirs = initiator.split(), responder.split()
    for _ in range(3):
        assert theirs[1].open(ours[0].seal(b"there")) == b"there"
        assert ours[1].open(theirs[0].seal(b"and back")) == b"and back"
    assert initiator.hash == responder.hash
    assert len(initiator.hash) == 32
    assert initiator.finished


@every_pattern
def test_two_directions_and_two_handshakes_have_different_keys(pattern: str) -> None:
    first, second = sides(pattern), sides(pattern)
    exchange(*first)
    exchange(*second)
    assert first[0].hash != second[0].hash
    ciphers = [cipher for pair in (first, second) for cipher in pair[0].split()]
    assert len({cipher.seal(bytes(16)) for cipher in ciphers}) == 4


@every_pattern
def test_ephemeral_keys_are_new_each_time(pattern: str) -> None:
    messages = [sides(pattern)[0].write_message() for _ in range(5)]
    assert len({message[:32] for message in messages}) == 5
    if pattern == "XXhfs":
        # In the clear, where alone it can be seen.
        assert len({message[32:] for message in messages}) == 5


@pytest.mark.parametrize("pattern", HYBRIDS)
def test_the_kem_key_pair_is_new_each_time(pattern: str) -> None:
    seeds = set()
    for _ in range(5):
        initiator = sides(pattern)[0]
        initiator.write_message()
        seeds |= {one for one in reachable(initiator) if len(one) == 64}
    assert len(seeds) == 5


@same_state
@pytest.mark.parametrize("pattern", HYBRIDS)
def test_the_kem_key_pair_is_let_go_with_its_ciphertext(pattern: str) -> None:
    """Also where a message 3 is still to come; the server keeps nothing of it either."""
    initiator, responder = before(pattern, 0)
    responder.read_message(initiator.write_message())
    public = next(one for one in reachable(responder) if len(one) == 1184)
    assert SEED in reachable(initiator)
    message = responder.write_message()
    assert public not in reachable(responder)
    initiator.read_message(message)
    assert not {SEED, public} & set(reachable(initiator))


@same_state
@pytest.mark.parametrize("pattern", HYBRIDS)
def test_a_ciphertext_that_is_not_authentic_is_not_decapsulated(pattern: str) -> None:
    responder, initiator = before(pattern, 1)
    message = bytearray(responder.write_message())
    message[700] ^= 1
    with patch.object(DecapsulationKey, "decapsulate") as decapsulate:
        with pytest.raises(HandshakeError):
            initiator.read_message(message)
    decapsulate.assert_not_called()


@pytest.mark.parametrize("pattern", ["NNhfs+psk0", "XKhfs"])
def test_a_key_that_is_not_authentic_costs_no_encapsulation(pattern: str) -> None:
    """Where message 1 proves something, no ML-KEM is done for who cannot make one."""
    initiator, responder = sides(pattern)
    message = bytearray(initiator.write_message())
    message[700] ^= 1
    with patch("sealframe.noise.handshake.EncapsulationKey") as key:
        with pytest.raises(HandshakeError):
            responder.read_message(message)
    key.assert_not_called()


@every_pattern
def test_payloads_of_any_bytes_like_type_travel_with_the_messages(pattern: str) -> None:
    writer, reader = sides(pattern)
    for number, size in enumerate(SIZES[pattern]):
        payload = memoryview(bytes([number]) * 40)[: number * 20]
        message = writer.write_message(payload)
        assert len(message) == size + len(payload)
        assert reader.read_message(bytearray(message)) == payload
        writer, reader = reader, writer


@every_pattern
def test_longest_payload_fits_every_message(pattern: str) -> None:
    writer, reader = sides(pattern)
    limit = 64_287 if "hfs" in pattern else 65_439
    longest = bytes(limit)
    while not writer.finished:
        with pytest.raises(MessageTooLargeError) as refusal:
            writer.write_message(bytes(limit + 1))
        assert (refusal.value.size, refusal.value.limit) == (limit + 1, limit)
        message = writer.write_message(longest)
        assert len(message) <= 65_535
        assert reader.read_message(message) == longest
        writer, reader = reader, writer


def test_message_over_the_limit_of_noise_is_refused() -> None:
    writer, reader = sides("XX")
    with pytest.raises(HandshakeError):
        reader.read_message(writer.write_message() + bytes(65_535))
    assert_dead(reader)


@pytest.mark.parametrize("pattern", ["XK", "XX", "XKhfs", "XXhfs"])
def test_static_keys_are_learned_with_the_message_that_carries_them(pattern: str) -> None:
    initiator, responder = sides(pattern)
    client, server = public_key(CLIENT), public_key(SERVER)
    known = [(initiator.remote_static, responder.remote_static)]
    writer, reader = initiator, responder
    for _ in range(3):
        reader.read_message(writer.write_message())
        known.append((initiator.remote_static, responder.remote_static))
        writer, reader = reader, writer
    beforehand = server if "K" in pattern else None
    assert known == [(beforehand, None), (beforehand, None), (server, None), (server, client)]


def test_without_static_keys_none_is_learned() -> None:
    initiator, responder = sides("NNpsk0")
    exchange(initiator, responder)
    assert initiator.remote_static is responder.remote_static is None


@pytest.mark.parametrize("outputs", [2, 3])
def test_hkdf_is_that_of_hmac(outputs: int) -> None:
    for size in [*range(70), 1000]:
        key, material = token_bytes(32), token_bytes(size)
        secret = hmac.digest(key, material, "sha256")
        expected = [hmac.digest(secret, b"\1", "sha256")]
        while len(expected) < outputs:
            number = bytes([len(expected) + 1])
            expected.append(hmac.digest(secret, expected[-1] + number, "sha256"))
        assert list(hkdf(key, material, outputs)) == expected


@pytest.mark.parametrize(
    ("name", "start"),
    [
        (b"Noise_X1psk_25519_AESGCM_SHA256", b"Noise_X1psk_25519_AESGCM_SHA256\0".hex()),
        (b"Noise_XXpsk3_25519_AESGCM_SHA256", b"Noise_XXpsk3_25519_AESGCM_SHA256".hex()),
        (
            b"Noise_X1Xpsk3_25519_AESGCM_SHA256",
            "04bd0452cf5fe6f99ac75c840731fd5f92b144a97fb076e68539356f85af677f",
        ),
    ],
)
def test_name_of_a_protocol_is_padded_up_to_32_bytes_and_hashed_beyond(
    name: bytes, start: str
) -> None:
    """Noise, section 5.2. The name with the shared key has just 32."""
    assert initial_hash(name).hex() == start


# Order of the calls


@every_pattern
def test_call_out_of_turn_is_refused_and_harmless(pattern: str) -> None:
    initiator, responder = sides(pattern)
    writer, reader = initiator, responder
    while not writer.finished:
        with pytest.raises(HandshakeError, match="our turn"):
            writer.read_message(bytes(48))
        with pytest.raises(HandshakeError, match="the peer's turn"):
            reader.write_message()
        for side in (writer, reader):
            with pytest.raises(HandshakeError, match="not finished"):
                side.split()
            with pytest.raises(HandshakeError, match="not finished"):
                _ = side.hash
        reader.read_message(writer.write_message())
        writer, reader = reader, writer
    for side in (writer, reader):
        with pytest.raises(HandshakeError, match="is finished"):
            side.write_message()
        with pytest.raises(HandshakeError, match="is finished"):
            side.read_message(bytes(48))
    theirs = responder.split()[1]
    assert theirs.open(initiator.split()[0].seal(b"still works")) == b"still works"


@every_pattern
def test_split_works_once(pattern: str) -> None:
    initiator, responder = sides(pattern)
    exchange(initiator, responder)
    for side in (initiator, responder):
        side.split()
        with pytest.raises(HandshakeError, match="split before"):
            side.split()


@every_pattern
@pytest.mark.parametrize("wrong", ["text", 48, None])
def test_argument_of_another_type_is_refused_and_harmless(pattern: str, wrong: object) -> None:
    initiator, responder = sides(pattern)
    with pytest.raises(TypeError):
        initiator.write_message(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        responder.read_message(wrong)  # type: ignore[arg-type]
    exchange(initiator, responder)
    assert responder.finished


# What bad messages get


@same_state
@pytest.mark.parametrize(("pattern", "number"), PROVEN)
def test_every_bit_of_every_message_counts(pattern: str, number: int) -> None:
    writer, reader = before(pattern, number)
    message = writer.write_message()
    texts = set()
    for position in range(SIZES[pattern][number]):
        changed = bytearray(message)
        for bit in range(8):
            changed[position] = message[position] ^ 1 << bit
            victim = duplicate(reader)
            with pytest.raises(HandshakeError) as failure:
                victim.read_message(changed)
            texts.add(str(failure.value))
        assert_dead(victim)
    assert len(texts) == 1
    reader.read_message(message)


@same_state
@pytest.mark.parametrize(("pattern", "number"), UNPROVEN)
def test_every_byte_of_a_message_without_a_proof_counts(pattern: str, number: int) -> None:
    """The next message shows it; a malformed e1 is refused at once."""
    writer, reader = before(pattern, number)
    message = writer.write_message()
    for position in range(SIZES[pattern][number]):
        changed = bytearray(message)
        # The top bit, as X25519 ignores that of a public key's last byte.
        changed[position] ^= 0x80
        victim, other = duplicate(reader), duplicate(writer)
        try:
            victim.read_message(changed)
        except HandshakeError:
            assert pattern == "XXhfs", "a coefficient of e1 may be too large"
            assert_dead(victim)
            continue
        answer = victim.write_message()
        with pytest.raises(HandshakeError):
            other.read_message(answer)
        assert_dead(other)


@same_state
@pytest.mark.parametrize(("pattern", "number"), MESSAGES)
def test_message_cut_anywhere_is_refused(pattern: str, number: int) -> None:
    writer, reader = before(pattern, number)
    message = writer.write_message()
    for length in range(SIZES[pattern][number]):
        victim = duplicate(reader)
        with pytest.raises(HandshakeError):
            victim.read_message(message[:length])
        assert_dead(victim)


@same_state
@pytest.mark.parametrize(("pattern", "number"), PROVEN)
def test_lengthened_or_repeated_message_is_refused(pattern: str, number: int) -> None:
    for tail in (b"\0", bytes(16), bytes(1000)):
        writer, reader = before(pattern, number)
        with pytest.raises(HandshakeError):
            reader.read_message(writer.write_message() + tail)
        assert_dead(reader)
    if number >= 2:
        writer, reader = before(pattern, number - 2)
        first = writer.write_message()
        reader.read_message(first)
        writer.read_message(reader.write_message())
        with pytest.raises(HandshakeError):
            reader.read_message(first)
        assert_dead(reader)


@same_state
def test_bad_messages_all_get_the_same_text() -> None:
    """The text may go to the peer or a log, and tells neither what was wrong with it."""
    texts = set()
    for pattern, number in MESSAGES:
        if (pattern, number) in UNPROVEN:
            continue
        message = before(pattern, number)[0].write_message()
        low_order = bytes.fromhex(LOW_ORDER[0])
        for bad in (
            b"",
            message[:31],
            message[:-1],
            message + b"\0",
            bytes(65_536),
            low_order + message[32:],
            message[:-1] + bytes([message[-1] ^ 1]),
        ):
            _, reader = before(pattern, number)
            with pytest.raises(HandshakeError) as failure:
                reader.read_message(bad)
            texts.add((str(failure.value), failure.value.args, failure.value.code))
            assert failure.value.__cause__ is None
            assert_not_shown(PSK + CLIENT + SERVER, failure.value, *failure.value.args)
    assert len(texts) == 1


@every_pattern
def test_different_prologues_do_not_fit(pattern: str) -> None:
    ours, theirs = KEYS[pattern]
    for prologues in [(b"", b"x"), (b"x", b""), (b"one", b"two")]:
        initiator = Handshake(pattern, initiator=True, prologue=prologues[0], **ours)
        responder = Handshake(pattern, initiator=False, prologue=prologues[1], **theirs)
        with pytest.raises(HandshakeError):
            exchange(initiator, responder)
        assert not initiator.finished
        assert not responder.finished


def test_different_shared_keys_do_not_fit() -> None:
    initiator = Handshake("NNpsk0", initiator=True, psk=PSK)
    responder = Handshake("NNpsk0", initiator=False, psk=WRONG)
    with pytest.raises(HandshakeError):
        responder.read_message(initiator.write_message())
    assert_dead(responder)


def test_server_of_another_identity_is_refused() -> None:
    initiator, _ = sides("XK")
    responder = Handshake("XK", initiator=False, static=WRONG)
    with pytest.raises(HandshakeError):
        responder.read_message(initiator.write_message())
    assert_dead(responder)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_ephemeral_key_of_low_order_ends_the_handshake(point: str) -> None:
    # In XX its secret is first needed for our own answer.
    _, responder = sides("XX")
    responder.read_message(bytes.fromhex(point))
    with pytest.raises(HandshakeError):
        responder.write_message()
    assert_dead(responder)

    _, responder = sides("XK")
    with pytest.raises(HandshakeError):
        responder.read_message(bytes.fromhex(point) + bytes(16))
    assert_dead(responder)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_holder_of_the_shared_key_cannot_use_a_low_order_key(point: str) -> None:
    # The message is authentic, so it shows in our own answer.
    forged = SymmetricState(b"Noise_NNpsk0_25519_AESGCM_SHA256")
    forged.mix_hash(b"")
    forged.mix_key_and_hash(PSK)
    forged.mix_hash(bytes.fromhex(point))
    forged.mix_key(bytes.fromhex(point))
    _, responder = sides("NNpsk0")
    assert responder.read_message(bytes.fromhex(point) + forged.encrypt_and_hash(b"")) == b""
    with pytest.raises(HandshakeError):
        responder.write_message()
    assert_dead(responder)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_static_key_of_low_order_ends_the_handshake(point: str) -> None:
    initiator = Handshake("XK", initiator=True, static=CLIENT, remote_static=bytes.fromhex(point))
    with pytest.raises(HandshakeError):
        initiator.write_message()
    assert_dead(initiator)


# What is given at construction


@pytest.mark.parametrize(
    ("pattern", "initiator", "keys", "text"),
    [
        ("NN", True, (), "no handshake pattern 'NN'"),
        ("nnpsk0", True, ("psk",), "no handshake pattern"),
        ("", True, (), "no handshake pattern"),
        ("NNpsk0", True, (), "initiator needs the key psk"),
        ("NNpsk0", False, (), "responder needs the key psk"),
        ("NNpsk0", True, ("psk", "static"), "no use for the key static"),
        ("NNpsk0", True, ("psk", "remote_static"), "no use for the key remote_static"),
        ("XK", True, ("static",), "needs the key remote_static"),
        ("XK", True, ("remote_static",), "needs the key static"),
        ("XK", True, ("static", "remote_static", "psk"), "no use for the key psk"),
        ("XK", False, (), "needs the key static"),
        ("XK", False, ("static", "remote_static"), "no use for the key remote_static"),
        ("XX", True, (), "needs the key static"),
        ("XX", False, (), "needs the key static"),
        ("XX", True, ("static", "remote_static"), "no use for the key remote_static"),
        ("XX", False, ("static", "psk"), "no use for the key psk"),
    ],
)
def test_keys_that_do_not_go_with_the_pattern_are_refused(
    pattern: str, initiator: bool, keys: tuple[str, ...], text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Handshake(pattern, initiator=initiator, **dict.fromkeys(keys, WRONG))


@pytest.mark.parametrize("length", [0, 31, 33])
@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("NNpsk0", "psk"),
        ("NNpsk0", "ephemeral"),
        ("XK", "static"),
        ("XK", "remote_static"),
        ("XX", "static"),
    ],
)
def test_key_of_another_size_is_refused(pattern: str, name: str, length: int) -> None:
    keys = {**KEYS[pattern][0], name: bytes(length)}
    with pytest.raises(ConfigurationError, match=f"{name} must be 32 bytes, not {length}"):
        Handshake(pattern, initiator=True, **keys)


# Many with the same keys


@every_pattern
def test_handshakes_with_the_same_credentials_do_not_disturb_each_other(pattern: str) -> None:
    kind = KINDS[pattern]
    ours, theirs = (Credentials(kind, **keys) for keys in KEYS[pattern])
    pairs = [
        (
            ours.handshake(kind, initiator=True, prologue=b"as agreed"),
            theirs.handshake(kind, initiator=False, prologue=b"as agreed"),
        )
        for _ in range(3)
    ]
    for number in range(len(SIZES[pattern])):
        for pair in pairs:
            writer, reader = pair if number % 2 == 0 else pair[::-1]
            assert reader.read_message(writer.write_message(b"payload")) == b"payload"
    assert len({one.hash for pair in pairs for one in pair}) == len(pairs)
    # One that was made for itself alone fits too.
    initiator = Handshake(pattern, initiator=True, prologue=b"as agreed", **KEYS[pattern][0])
    exchange(initiator, theirs.handshake(kind, initiator=False, prologue=b"as agreed"))
    assert initiator.finished


@every_pattern
def test_credentials_serve_many_prologues_and_keep_few(pattern: str) -> None:
    kind = KINDS[pattern]
    ours, theirs = (Credentials(kind, **keys) for keys in KEYS[pattern])
    for number in [*range(100), 0]:
        prologue = b"number %d" % number
        initiator = ours.handshake(kind, initiator=True, prologue=prologue)
        exchange(initiator, theirs.handshake(kind, initiator=False, prologue=prologue))
        assert initiator.finished
    found = [one for one in gc.get_referents(ours) if isinstance(one, dict)]
    assert all(len(one) <= 8 for one in found)
    assert found
    initiator = ours.handshake(kind, initiator=True, prologue=b"number 1")
    with pytest.raises(HandshakeError):
        exchange(initiator, theirs.handshake(kind, initiator=False, prologue=b"number 2"))


# Secrets


@same_state
@every_pattern
def test_secrets_are_let_go_when_finished(pattern: str) -> None:
    for role, keys in enumerate(KEYS[pattern]):
        handshakes = before(pattern, 0)
        secrets = {EPHEMERALS[role], *keys.values()} - {public_key(SERVER)}
        if role == 0 and "hfs" in pattern:
            secrets.add(SEED)
        # A handshake has the key that was made of the psk, and not the psk.
        assert secrets - {PSK} <= set(reachable(handshakes[role]))
        exchange(*handshakes)
        kept = set(reachable(handshakes[role]))
        assert handshakes[role].hash in kept
        ciphers = set(reachable(handshakes[role].split()))
        assert not secrets & kept
        assert {one for one in kept if len(one) == 32} <= {
            handshakes[role].hash,
            handshakes[role].remote_static,
            *(public_key(ephemeral) for ephemeral in EPHEMERALS),
            *ciphers,
        }


@same_state
@every_pattern
def test_secrets_are_let_go_after_a_failure(pattern: str) -> None:
    number = 1 if (pattern, 0) in UNPROVEN else 0
    _, reader = before(pattern, number)
    with pytest.raises(HandshakeError):
        reader.read_message(bytes(SIZES[pattern][number]))
    assert [one for one in reachable(reader) if len(one) >= 32] == []


@same_state
@every_pattern
def test_secrets_are_let_go_after_a_failure_of_the_initiator(pattern: str) -> None:
    _, initiator = before(pattern, 1)
    with pytest.raises(HandshakeError):
        initiator.read_message(bytes(SIZES[pattern][1]))
    assert [one for one in reachable(initiator) if len(one) >= 32] == []


def failing(pattern: str, number: int, place: int) -> tuple[Handshake, HandshakeError]:
    """Return who fails to read a message of which a byte was changed, and the error."""
    writer, reader = before(pattern, number)
    message = bytearray(writer.write_message())
    message[place] ^= 0x80
    # A frame leads to those that called it, this one among them.
    del writer
    with pytest.raises(HandshakeError) as caught:
        reader.read_message(message)
    return reader, caught.value


@same_state
@pytest.mark.parametrize(("pattern", "number"), PROVEN)
def test_the_error_keeps_no_key_alive(pattern: str, number: int) -> None:
    """Neither by its context nor by the frames in its traceback, however long it is kept."""
    reader, error = failing(pattern, number, -1)
    assert error.__context__ is error.__cause__ is None
    # The first frame is that of this file.
    assert error.__traceback__ is not None
    kept = kept_alive(error.__traceback__.tb_next)
    assert reader in kept
    kinds = SymmetricState | KeyPair | DecapsulationKey | EncapsulationKey
    assert not [thing for thing in kept if isinstance(thing, kinds)]


@same_state
def test_the_error_of_a_bad_key_keeps_no_key_alive() -> None:
    """Also where the key is found to be bad while the answer is made."""
    for pattern, number in (("XX", 1), ("XXhfs", 0)):
        writer, reader = before(pattern, 0)
        message = bytearray(writer.write_message())
        message[32:] = b"\xff" * len(message[32:])
        if number:
            message[:32] = bytes(32)
            reader.read_message(message)
        del writer
        with pytest.raises(HandshakeError) as caught:
            reader.write_message() if number else reader.read_message(message)
        assert caught.value.__context__ is None
        assert caught.value.__traceback__ is not None
        kept = kept_alive(caught.value.__traceback__.tb_next)
        assert not [thing for thing in kept if isinstance(thing, SymmetricState | KeyPair)]


@same_state
def test_a_key_that_came_with_a_message_that_failed_is_not_told() -> None:
    """It was proved by nothing."""
    for pattern, number in (("XX", 1), ("XKhfs", 2)):
        reader, _ = failing(pattern, number, -1)
        assert reader.remote_static is None
        assert public_key(SERVER) not in reachable(reader)
        assert public_key(CLIENT) not in reachable(reader)


@same_state
@every_pattern
def test_nothing_secret_is_shown_or_copied(pattern: str) -> None:
    secret = PSK + CLIENT + SERVER + b"".join(EPHEMERALS)
    initiator, responder = before(pattern, 0)
    for _ in range(2):
        assert_not_shown(secret, initiator, responder)
        assert_not_copied(initiator)
        assert_not_copied(SymmetricState(b"Noise"))
        exchange(initiator, responder)
    assert repr(initiator) == f"<Handshake {pattern} as initiator>"


def test_ciphers_are_of_one_handshake_only() -> None:
    first, second = sides("NNpsk0"), sides("NNpsk0")
    exchange(*first)
    exchange(*second)
    sealed = first[0].split()[0].seal(b"for the first")
    with pytest.raises(DecryptionError):
        second[1].split()[1].open(sealed)
    assert isinstance(first[1].split()[1], CipherState)


def test_public_and_private_keys_go_together() -> None:
    private, public = generate_keypair()
    initiator = Handshake("XK", initiator=True, static=CLIENT, remote_static=public)
    responder = Handshake("XK", initiator=False, static=private)
    exchange(initiator, responder)
    assert responder.finished
