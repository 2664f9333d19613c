from __future__ import annotations

import array
import gc
import sys
import time
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from trust.secrecy import assert_not_copied, assert_not_shown

from sealframe.buffers import BytesLike
from sealframe.errors import DecryptionError, KeyFormatError, NonceExhaustedError
from sealframe.noise import cipher as module
from sealframe.noise.cipher import CipherState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.fixed_keys(reason="every test seals under KEY, from nonce 0 on")

KEY = bytes(range(32))
TEXT = b"sealed frames"

# Worked out with AES-256-GCM alone, nonces and derived keys put together by hand.
FROZEN = [
    (b"", b"", "f05d76ae4ab99fe5a6f69b3148c2363d"),
    (TEXT, b"", "66b3de90219010787c4f3c5c9f9343c923a22a032f1b4a863a6098d432"),
    (TEXT, b"with these", "ba144f11d12ffab7cb6c5174043cee415a0de8200a5c351d1db8b2dad7"),
]
FROZEN_REKEYED = [
    "68500254e8a5e6e98c10adfd6ddfff14ea522c391ada7d56e1c064862d",
    "f7c1113a936e80cd7f9ae37e528a33dd7329aaee1d97d7f5682ea58813",
]
FROZEN_NONCES = [
    (0x0102030405060708, "77340462b88529f871fe908a6d64792cfb5c468ef5ed63e0928105b247"),
    (2**64 - 2, "950977e8fd807997d8986796d595f343bdcbd624a613d030c289e4cfef"),
]


def at(nonce: int) -> CipherState:
    cipher = CipherState(KEY)
    cipher.set_nonce(nonce)
    return cipher


def test_known_answers_and_a_rekey_after_each_further_call() -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    for count, (plaintext, ad, sealed) in enumerate(FROZEN):
        assert sender.nonce == receiver.nonce == count
        assert sender.seal(plaintext, ad).hex() == sealed
        assert receiver.open(bytes.fromhex(sealed), ad) == plaintext
    for count, sealed in enumerate(FROZEN_REKEYED, len(FROZEN)):
        sender.rekey()
        receiver.rekey()
        assert sender.nonce == receiver.nonce == count
        assert sender.seal(TEXT).hex() == sealed
        assert receiver.open(bytes.fromhex(sealed)) == TEXT


@pytest.mark.parametrize(("nonce", "sealed"), FROZEN_NONCES)
def test_nonce_is_big_endian_after_four_zero_bytes(nonce: int, sealed: str) -> None:
    assert at(nonce).seal(TEXT).hex() == sealed
    assert at(nonce).open(bytes.fromhex(sealed)) == TEXT


def test_rekeyed_cipher_does_not_open_what_the_old_key_sealed() -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    sealed = sender.seal(TEXT)
    receiver.rekey()
    with pytest.raises(DecryptionError):
        receiver.open(sealed)


@pytest.mark.parametrize(
    "plaintext",
    [
        bytearray(TEXT),
        memoryview(TEXT),
        memoryview(b"<" + TEXT + b">")[1:-1],
        memoryview(bytearray(TEXT)),
    ],
)
def test_any_bytes_like_object_is_taken(plaintext: bytearray | memoryview) -> None:
    sealed = CipherState(KEY).seal(plaintext, plaintext)
    assert sealed == CipherState(KEY).seal(TEXT, TEXT)
    opened = CipherState(KEY).open(bytearray(sealed), memoryview(TEXT))
    assert (opened, type(opened)) == (TEXT, bytes)


def test_view_of_wider_items_is_taken_as_its_bytes() -> None:
    numbers = memoryview(array.array("I", [1, 2, 3]))
    sealed = CipherState(KEY).seal(numbers)
    assert CipherState(KEY).open(sealed) == numbers.tobytes()


@pytest.mark.parametrize("position", range(len(TEXT) + 16))
def test_changed_ciphertext_is_refused_and_changes_nothing(position: int) -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    sealed = sender.seal(TEXT)
    changed = bytearray(sealed)
    changed[position] ^= 0x80
    with pytest.raises(DecryptionError):
        receiver.open(changed)
    assert receiver.nonce == 0
    assert receiver.open(sealed) == TEXT
    assert receiver.open(sender.seal(TEXT)) == TEXT


@pytest.mark.parametrize("length", range(16))
def test_ciphertext_shorter_than_its_tag_is_refused(length: int) -> None:
    receiver = CipherState(KEY)
    with pytest.raises(DecryptionError):
        receiver.open(CipherState(KEY).seal(TEXT)[:length])
    assert receiver.nonce == 0


def test_wrong_ad_order_and_repetition_are_refused() -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    first, second = sender.seal(TEXT, b"ad"), sender.seal(TEXT)
    for sealed, ad in [(first, b""), (first, b"da"), (second, b"")]:
        with pytest.raises(DecryptionError):
            receiver.open(sealed, ad)
    receiver.open(first, b"ad")
    with pytest.raises(DecryptionError):
        receiver.open(first, b"ad")
    assert receiver.open(second) == TEXT


@pytest.mark.parametrize("wrong", ["text", 16, None, memoryview(bytes(8))[::2]])
def test_seal_that_fails_takes_no_nonce(wrong: object) -> None:
    cipher = CipherState(KEY)
    with pytest.raises(TypeError):
        cipher.seal(wrong)  # type: ignore[arg-type]
    assert cipher.nonce == 0
    assert cipher.seal(b"").hex() == FROZEN[0][2]


def use(aesgcm: Callable[[bytes], object], patches: pytest.MonkeyPatch) -> None:
    """Let ciphers that wake from now on use other objects than the package's."""
    changed = replace(module.primitives(), aesgcm=aesgcm)  # type: ignore[arg-type]
    patches.setattr(module, "primitives", lambda: changed)


def test_seal_that_fails_in_the_package_takes_no_nonce_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OutOfMemory:
        def __init__(self, _: bytes) -> None: ...

        def encrypt(self, *_: object) -> bytes:
            raise MemoryError

        encrypt_into = encrypt

    cipher = CipherState(KEY)
    with monkeypatch.context() as patches:
        use(OutOfMemory, patches)
        with pytest.raises(MemoryError):
            cipher.seal(TEXT)
        with pytest.raises(MemoryError):
            cipher.seal_records([TEXT])
        with pytest.raises(MemoryError):
            cipher.seal_record(TEXT)
    lull(cipher)
    assert cipher.nonce == 0
    assert cipher.seal(b"").hex() == FROZEN[0][2]


def test_the_nonce_never_goes_back() -> None:
    cipher = at(5)
    cipher.set_nonce(5)
    with pytest.raises(ValueError, match="nonce 4 was used: the next one is 5"):
        cipher.set_nonce(4)
    assert cipher.nonce == 5


def test_last_nonce_is_never_used() -> None:
    sender, receiver = at(2**64 - 2), at(2**64 - 2)
    assert receiver.open(sender.seal(TEXT)) == TEXT
    for cipher in (sender, receiver):
        for _ in range(2):
            with pytest.raises(NonceExhaustedError):
                cipher.seal(TEXT)
            with pytest.raises(NonceExhaustedError):
                cipher.open(bytes(32))
            assert cipher.nonce == 2**64 - 1
            cipher.rekey()


class GivingWay:
    """Does as the package, but lets other threads go on in the midst of every call."""

    def __init__(self, key: bytes) -> None:
        self._real = AESGCM(key)

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._real, name)

        def call(*arguments: object) -> object:
            for _ in range(5):
                time.sleep(0)
            return method(*arguments)

        return call


def test_threads_never_share_a_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    use(GivingWay, monkeypatch)
    cipher = CipherState(KEY)
    with ThreadPoolExecutor(4) as pool:
        sealed = list(pool.map(lambda _: cipher.seal(TEXT), range(200)))
    # Equal plaintexts under one nonce would give equal ciphertexts.
    assert len(set(sealed)) == cipher.nonce == 200


COUNTER: Any = next(
    vars(kind)["next_nonce"] for kind in CipherState.__mro__ if "next_nonce" in vars(kind)
)
"""Reads and writes the attribute of either backend."""


class Interrupted(CipherState):
    """Another thread calls in the midst of a call, when the counter was read so many times."""

    __slots__ = ("_calls", "_countdown", "_waiting")

    def __init__(self, key: bytes) -> None:
        self._countdown = 0
        self._calls: Callable[[], object] | None = None
        self._waiting: list[Thread] = []
        super().__init__(key)

    def interrupt(self, calls: Callable[[], object], after: int = 1) -> None:
        self._calls, self._countdown = calls, after

    def run(self) -> None:
        thread = Thread(target=self._calls)
        self._waiting.append(thread)
        thread.start()
        # It has to wait for the lock. Without one it is done long before that.
        thread.join(0.3)

    def join(self) -> None:
        for thread in self._waiting:
            thread.join()

    @property
    def next_nonce(self) -> int:
        value: int = COUNTER.__get__(self)
        self._countdown -= 1
        if self._countdown == 0:
            self.run()
        return value

    @next_nonce.setter
    def next_nonce(self, value: int) -> None:
        COUNTER.__set__(self, value)


def test_a_nonce_is_claimed_by_one_thread() -> None:
    cipher, others = Interrupted(KEY), list[bytes]()
    cipher.interrupt(lambda: others.append(cipher.seal(TEXT)))
    sealed = cipher.seal(TEXT)
    cipher.join()
    assert {sealed, *others, cipher.seal(TEXT)} == {at(number).seal(TEXT) for number in range(3)}


def test_a_nonce_is_not_given_back_under_another_thread() -> None:
    cipher, others = Interrupted(KEY), list[bytes]()
    # Read first where it is claimed.
    cipher.interrupt(lambda: others.append(cipher.seal(TEXT)), after=2)
    with pytest.raises(DecryptionError):
        cipher.open(bytes(20))
    cipher.join()
    sealed = [*others, cipher.seal(TEXT), cipher.seal(TEXT)]
    assert len(set(sealed)) == len(sealed) == 3


def test_a_nonce_does_not_go_back_under_another_thread() -> None:
    cipher = Interrupted(KEY)
    cipher.interrupt(lambda: cipher.set_nonce(10))
    cipher.set_nonce(5)
    cipher.join()
    assert cipher.nonce == 10


def test_threads_that_rekey_at_once_do_so_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cipher = Interrupted(KEY)
    started: list[Callable[[], object]] = []

    class Slow:
        """Lets another thread begin while this one derives a key."""

        def __init__(self, key: bytes) -> None:
            self._real = AESGCM(key)

        def encrypt(self, *arguments: Any) -> bytes:
            derived = self._real.encrypt(*arguments)
            if started:
                cipher.interrupt(started.pop())
                cipher.run()
            return derived

    twice = CipherState(KEY)
    twice.rekey()
    twice.rekey()
    with monkeypatch.context() as patches:
        use(Slow, patches)
        cipher.wake()
        started.append(cipher.rekey)
        cipher.rekey()
        cipher.join()
        assert cipher.seal(TEXT) == twice.seal(TEXT)
    lull(cipher)


def test_threads_that_wake_a_cipher_at_once_make_one_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allow(2, monkeypatch)
    cipher = Interrupted(KEY)
    started: list[Callable[[], object]] = []

    def make(key: bytes) -> AESGCM:
        if started:
            cipher.interrupt(started.pop())
            cipher.run()
        return AESGCM(key)

    with monkeypatch.context() as patches:
        use(make, patches)
        started.append(cipher.wake)
        cipher.wake()
        cipher.join()
    # Another may be awake: a thread of a test before may still have woken its own.
    assert [other() for other in module.awake].count(cipher) == 1


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_key_of_another_size_is_refused(length: int) -> None:
    with pytest.raises(KeyFormatError, match=f"32 bytes, not {length}"):
        CipherState(bytes(length))


@pytest.mark.parametrize("wrong", [32, "k" * 32, None])
def test_key_of_another_type_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError):
        CipherState(wrong)  # type: ignore[arg-type]


def test_nothing_of_the_key_gets_out() -> None:
    cipher = CipherState(KEY)
    with pytest.raises(DecryptionError) as failure:
        cipher.open(bytes(20))
    assert_not_shown(KEY, cipher, failure.value, failure.value.args)
    assert_not_copied(cipher)


# Into memory that is given


def seal_into(cipher: CipherState, plaintext: BytesLike) -> bytes:
    record = cipher.seal_records([memoryview(plaintext)])
    assert record[:4] == (len(plaintext) + 16).to_bytes(4, "little")
    return bytes(record[4:])


def open_into(cipher: CipherState, ciphertext: BytesLike) -> bytes:
    buffer = bytearray(b"?" * (len(ciphertext) - 16 + 6))
    with memoryview(buffer)[3:-3] as place:
        try:
            cipher.open_record_into(ciphertext, place)  # type: ignore[arg-type]
        except DecryptionError:
            assert not any(place), "of what is not authentic something is left"
            raise
        finally:
            assert buffer[:3] == buffer[-3:] == b"???", "it wrote beside its place"
    return bytes(buffer[3:-3])


@pytest.mark.parametrize("size", [0, 1, 13, 16, 1000, 65_519, 100_000])
def test_into_memory_it_seals_and_opens_the_same(size: int) -> None:
    sender, reference, receiver, other = (CipherState(KEY) for _ in range(4))
    plaintext = bytes(range(256)) * 400
    for _ in range(3):
        sealed = seal_into(sender, memoryview(plaintext)[:size])
        assert sealed == reference.seal(plaintext[:size])
        assert open_into(receiver, sealed) == other.open(sealed) == plaintext[:size]
        sender.rekey()
        reference.rekey()
        receiver.rekey()
        other.rekey()
    assert sender.nonce == receiver.nonce == 3


@pytest.mark.parametrize("position", [0, 500, 999, 1000, 1015])
def test_nothing_is_left_of_what_is_not_authentic(position: int) -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    sealed = sender.seal(b"x" * 1000)
    changed = bytearray(sealed)
    changed[position] ^= 1
    with pytest.raises(DecryptionError, match="the ciphertext is not authentic") as failure:
        open_into(receiver, changed)
    assert failure.value.__cause__ is None
    assert receiver.nonce == 0
    assert open_into(receiver, sealed) == b"x" * 1000


@pytest.mark.parametrize("size", [0, 15, 28, 30, 100])
def test_a_place_of_another_size_is_refused_and_takes_no_nonce(size: int) -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    sealed = seal_into(sender, TEXT)
    assert sealed == CipherState(KEY).seal(TEXT)
    with pytest.raises(ValueError, match=f"has {size} bytes, not 13"):
        receiver.open_record_into(sealed, memoryview(bytearray(size)))
    assert (sender.nonce, receiver.nonce) == (1, 0)
    assert open_into(receiver, sealed) == TEXT


def test_the_last_nonce_is_used_in_no_way() -> None:
    cipher = at(2**64 - 1)
    with pytest.raises(NonceExhaustedError):
        seal_into(cipher, TEXT)
    with pytest.raises(NonceExhaustedError):
        open_into(cipher, bytes(32))
    assert cipher.nonce == 2**64 - 1


# As the record layer does it


def sealed_text(nonce: int) -> bytes:
    return AESGCM(KEY).encrypt(nonce.to_bytes(12, "big"), TEXT, None)


@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_the_record_layer_seals_and_opens_the_same(kind: Callable[[bytes], BytesLike]) -> None:
    sender, reference, receiver = (CipherState(KEY) for _ in range(3))
    for count in range(5):
        assert sender.nonce == receiver.nonce == count
        sealed = sender.seal_record(kind(TEXT))  # type: ignore[arg-type]
        assert sealed == reference.seal(TEXT)
        assert receiver.open_record(kind(sealed)) == TEXT  # type: ignore[arg-type]
        if count == 2:
            for cipher in (sender, reference, receiver):
                cipher.rekey()
    # One counter, however they are called.
    assert (
        receiver.open(sender.seal_record(TEXT)) == receiver.open_record(sender.seal(TEXT)) == TEXT
    )


def test_what_the_record_layer_cannot_open_changes_nothing() -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    sealed = sender.seal_record(TEXT)
    for wrong in (b"", bytes(15), sealed[:-1], sealed[::-1], sealed + b"x"):
        with pytest.raises(DecryptionError, match="the ciphertext is not authentic") as failure:
            receiver.open_record(wrong)
        assert failure.value.__cause__ is None
        assert receiver.nonce == 0
    assert receiver.open_record(sealed) == TEXT
    with pytest.raises(DecryptionError):
        receiver.open_record(sealed)


def test_the_record_layer_never_uses_the_last_nonce() -> None:
    sender, receiver = at(2**64 - 2), at(2**64 - 2)
    assert receiver.open_record(sender.seal_record(TEXT)) == TEXT
    for _ in range(2):
        with pytest.raises(NonceExhaustedError):
            sender.seal_record(TEXT)
        with pytest.raises(NonceExhaustedError):
            receiver.open_record(bytes(32))
    assert sender.nonce == receiver.nonce == 2**64 - 1


@pytest.mark.parametrize("kind", ["seal", "seal next", "seal into"])
def test_a_nonce_is_given_back_only_if_no_other_call_has_come_since(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cipher = CipherState(KEY)

    class Failing:
        """Fails, and lets the cipher be used by another meanwhile."""

        def __init__(self, key: bytes) -> None:
            self._real = AESGCM(key)
            self._first = True

        def encrypt(self, nonce: bytes, data: bytes, ad: bytes | None) -> bytes:
            self._let_another(nonce)
            return self._real.encrypt(nonce, data, ad)

        def encrypt_into(self, nonce: bytes, *others: object) -> None:
            self._let_another(nonce)
            raise AssertionError("the first call fails")

        def _let_another(self, nonce: bytes) -> None:
            if self._first:
                self._first = False
                between.append(cipher.seal(TEXT))
                raise MemoryError

    between: list[bytes] = []
    use(Failing, monkeypatch)
    with pytest.raises(MemoryError):
        CALLS[kind](cipher)
    assert between == [sealed_text(1)]
    assert cipher.nonce == 2
    assert cipher.seal(TEXT) == sealed_text(2)


# Asleep

CALLS: dict[str, Callable[[CipherState], object]] = {
    "seal": lambda cipher: cipher.seal(TEXT),
    "open": lambda cipher: cipher.open(bytes.fromhex(FROZEN[cipher.nonce][2])),
    "seal next": lambda cipher: cipher.seal_record(TEXT),
    "open next": lambda cipher: cipher.open_record(sealed_text(cipher.nonce)),
    "seal into": lambda cipher: seal_into(cipher, TEXT),
    "open into": lambda cipher: open_into(cipher, bytes.fromhex(FROZEN[cipher.nonce][2])),
    "rekey": CipherState.rekey,
}


def is_awake(cipher: CipherState) -> bool:
    return cipher.is_awake


def lull(*ciphers: CipherState) -> None:
    """Use others until all these sleep."""
    for _ in range(module.MAX_AWAKE):
        CipherState(bytes(32)).seal(b"")
    assert not any(map(is_awake, ciphers))


def allow(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let so many ciphers be awake, and forget those that are."""
    monkeypatch.setattr(module, "MAX_AWAKE", limit)
    monkeypatch.setattr(module, "awake", deque())


@pytest.fixture
def switching() -> Iterator[None]:
    """Have the threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_known_answers_of_ciphers_that_slept_before_each_call() -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    for count, (plaintext, ad, sealed) in enumerate(FROZEN):
        lull(sender, receiver)
        assert sender.nonce == receiver.nonce == count
        assert sender.seal(plaintext, ad).hex() == sealed
        assert receiver.open(bytes.fromhex(sealed), ad) == plaintext
        assert is_awake(sender)
        assert is_awake(receiver)
    for count, sealed in enumerate(FROZEN_REKEYED, len(FROZEN)):
        lull(sender, receiver)
        sender.rekey()
        receiver.rekey()
        lull(sender, receiver)
        assert sender.nonce == receiver.nonce == count
        assert sender.seal(TEXT).hex() == sealed
        assert receiver.open(bytes.fromhex(sealed)) == TEXT


def test_into_memory_it_seals_and_opens_the_same_after_sleep() -> None:
    sender, other, receiver = (CipherState(KEY) for _ in range(3))
    for number in range(4):
        lull(sender, receiver)
        sealed = seal_into(sender, TEXT)
        assert sealed == other.seal(TEXT)
        assert open_into(receiver, sealed) == TEXT
        assert sender.nonce == receiver.nonce == number + 1
        for cipher in (sender, other, receiver):
            cipher.rekey()


def test_calls_that_fail_after_sleep_take_no_nonce() -> None:
    receiver, exhausted = at(1), at(2**64 - 1)
    lull(receiver, exhausted)
    with pytest.raises(DecryptionError):
        receiver.open(bytes(32))
    lull(receiver, exhausted)
    assert receiver.nonce == 1
    with pytest.raises(NonceExhaustedError):
        exhausted.seal(TEXT)
    assert exhausted.nonce == 2**64 - 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("limit", [0, 1, 3])
def test_no_more_are_awake_than_allowed_and_those_used_last(
    limit: int, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(limit, monkeypatch)
    ciphers = [CipherState(KEY) for _ in range(8)]
    assert not any(map(is_awake, ciphers)), "awake before they are used"
    for _ in range(2):
        for count, cipher in enumerate(ciphers, 1):
            CALLS[call](cipher)
            assert sum(map(is_awake, ciphers)) <= limit
            used = ciphers[max(0, count - limit) : count]
            assert all(map(is_awake, used))
    assert sum(map(is_awake, ciphers)) == len(module.awake) == limit


def test_one_that_is_awake_stays_so_for_all_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(2, monkeypatch)
    first, second = CipherState(KEY), CipherState(KEY)
    for _ in range(10):
        assert second.open(first.seal(TEXT)) == TEXT
        first.rekey()
        second.rekey()
    assert is_awake(first)
    assert is_awake(second)
    assert len(module.awake) == 2


@pytest.mark.parametrize("limit", [0, 1])
def test_a_cipher_may_be_put_to_sleep_in_the_midst_of_a_call(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none may be awake, each falls asleep between its waking and its work."""
    allow(limit, monkeypatch)
    sender, receiver = CipherState(KEY), CipherState(KEY)
    for plaintext, ad, sealed in FROZEN:
        assert sender.seal(plaintext, ad).hex() == sealed
        assert receiver.open(bytes.fromhex(sealed), ad) == plaintext
    for sealed in FROZEN_REKEYED:
        sender.rekey()
        receiver.rekey()
        assert seal_into(sender, TEXT).hex() == sealed
        assert open_into(receiver, bytes.fromhex(sealed)) == TEXT


def test_a_cipher_that_is_gone_is_not_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(1, monkeypatch)
    cipher = CipherState(KEY)
    cipher.seal(TEXT)
    gone = weakref.ref(cipher)
    del cipher
    gc.collect()
    assert gone() is None
    others = [CipherState(KEY) for _ in range(2)]
    for other in others:
        assert other.seal(b"").hex() == FROZEN[0][2]
    assert [is_awake(other) for other in others] == [False, True]
    assert len(module.awake) == 1


@pytest.mark.usefixtures("switching")
def test_threads_that_put_ciphers_to_sleep_share_no_nonce_and_lose_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allow(2, monkeypatch)
    keys = [bytes([number]) * 32 for number in range(5)]
    ciphers = [CipherState(key) for key in keys]
    rounds = 400
    with ThreadPoolExecutor(4) as pool:
        sealed = list(pool.map(lambda _: [one.seal(TEXT) for one in ciphers], range(rounds)))
    assert sum(map(is_awake, ciphers)) <= 2
    for key, cipher, results in zip(keys, ciphers, zip(*sealed, strict=True), strict=True):
        real = AESGCM(key)
        nonces = [number.to_bytes(12, "big") for number in range(rounds)]
        assert sorted(results) == sorted(real.encrypt(nonce, TEXT, None) for nonce in nonces)
        assert cipher.nonce == rounds


@pytest.mark.usefixtures("switching")
def test_threads_that_put_each_other_to_sleep_rekey_in_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allow(2, monkeypatch)
    pairs = [(CipherState(KEY), CipherState(KEY)) for _ in range(4)]

    def talk(pair: tuple[CipherState, CipherState]) -> None:
        sender, receiver = pair
        for number in range(300):
            assert open_into(receiver, sender.seal(TEXT)) == TEXT
            assert receiver.open(seal_into(sender, TEXT)) == TEXT
            if number % 3 == 0:
                sender.rekey()
                receiver.rekey()

    with ThreadPoolExecutor(len(pairs)) as pool:
        list(pool.map(talk, pairs))
    assert {cipher.nonce for pair in pairs for cipher in pair} == {600}
    assert sum(is_awake(cipher) for pair in pairs for cipher in pair) <= 2
