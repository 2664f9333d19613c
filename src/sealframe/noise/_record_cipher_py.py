"""The counter and the calls of one direction's records: the pure-Python backend, equal to
``sealframe.noise._record_cipher``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from ..wire import HEAD_SIZE, REKEY_INTERVAL, TAG_SIZE

if TYPE_CHECKING:
    from ..buffers import BytesLike

__all__ = ["RecordCipher"]

_RESERVED_NONCE: Final = 2**64 - 1  # Noise, section 5.1: for REKEY alone
_NONCE_SIZE: Final = 12


class Aead(Protocol):
    """What is used of an ``AESGCM`` object of ``cryptography``."""

    def encrypt(self, nonce: bytes, data: BytesLike, ad: BytesLike | None, /) -> bytes: ...
    def decrypt(self, nonce: bytes, data: BytesLike, ad: BytesLike | None, /) -> bytes: ...
    def encrypt_into(
        self, nonce: bytes, data: BytesLike, ad: None, place: memoryview, /
    ) -> int: ...
    def decrypt_into(
        self, nonce: bytes, data: BytesLike, ad: None, place: memoryview, /
    ) -> int: ...


class RecordCipher:
    """AES-256-GCM with a counter, for records; all calls here come from one thread.

    The subclass has the key. The nonce is four zero bytes and the counter as a 64-bit big-endian
    number (Noise revision 34, section 12.4). After every 4,096 records the next key is derived
    (docs/PROTOCOL.md section 6).

    :ivar aead: encrypts; None until it is needed
    :ivar next_nonce: the counter value that the next call will use
    """

    __slots__ = ("aead", "next_nonce")

    def __init__(self) -> None:
        self.aead: Aead | None = None
        self.next_nonce = 0

    def seal_record(self, plaintext: bytes | memoryview) -> bytes:
        """Seal a record, and derive the next key where one is due.

        :param plaintext: as bytes, or as a view of bytes
        :raises NonceExhaustedError: every counter value was used
        """
        aead = self.aead or self.wake()
        nonce = self.next_nonce
        if nonce == _RESERVED_NONCE:
            raise self.exhausted()
        # Claimed before it is used: two uses of one nonce give away AES-GCM's authentication
        # key (RFC 5116, section 5.1.1).
        self.next_nonce = nonce + 1
        try:
            sealed = aead.encrypt(nonce.to_bytes(_NONCE_SIZE, "big"), plaintext, None)
        except BaseException:
            self.give_back(nonce)
            raise
        if not self.next_nonce % REKEY_INTERVAL:
            self.rekey()
        return sealed

    def seal_records(self, pieces: Sequence[bytes | memoryview]) -> bytes:
        """Seal records and return them, each with its head, in one piece of memory.

        :param pieces: the plaintext of each record, as bytes, or as a view of bytes
        :raises NonceExhaustedError: every counter value was used
        """
        buffer = bytearray(sum(map(len, pieces)) + len(pieces) * (HEAD_SIZE + TAG_SIZE))
        start = 0
        with memoryview(buffer) as view:
            for piece in pieces:
                body = start + HEAD_SIZE
                end = body + len(piece) + TAG_SIZE
                view[start:body] = (end - body).to_bytes(HEAD_SIZE, "little")
                self._seal_at(piece, view[body:end])
                start = end
        # Nobody writes to it any more.
        return cast("bytes", buffer)

    def _seal_at(self, plaintext: bytes | memoryview, place: memoryview) -> None:
        """Do as :meth:`seal_record` does, and write the record to its place."""
        aead = self.aead or self.wake()
        nonce = self.next_nonce
        if nonce == _RESERVED_NONCE:
            raise self.exhausted()
        self.next_nonce = nonce + 1
        try:
            aead.encrypt_into(nonce.to_bytes(_NONCE_SIZE, "big"), plaintext, None, place)
        except BaseException:
            self.give_back(nonce)
            raise
        if self.next_nonce % REKEY_INTERVAL == 0:
            self.rekey()

    def open_record(self, ciphertext: bytes | memoryview) -> bytes:
        """Open what :meth:`seal_record` returned at the other end.

        :param ciphertext: as bytes, or as a view of bytes
        :raises DecryptionError: it is not authentic; nothing has changed
        :raises NonceExhaustedError: every counter value was used
        """
        nonce = self.next_nonce
        if nonce == _RESERVED_NONCE:
            raise self.exhausted()
        aead = self.aead or self.wake()
        try:
            plaintext = aead.decrypt(nonce.to_bytes(_NONCE_SIZE, "big"), ciphertext, None)
        except Exception as error:  # noqa: BLE001 - the subclass knows the package's
            raise self.refusal(error) from None
        self.next_nonce = nonce + 1
        if not self.next_nonce % REKEY_INTERVAL:
            self.rekey()
        return plaintext

    def open_record_into(self, ciphertext: bytes | memoryview, place: memoryview) -> None:
        """Do as :meth:`open_record` does, and write the plaintext to ``place``.

        :param place: 16 bytes shorter than the record, and apart from it; full of zeros after a
            :exc:`~sealframe.DecryptionError`
        :raises ValueError: it is not 16 bytes shorter
        """
        size = len(ciphertext) - TAG_SIZE
        if len(place) != size:
            # Checked before a nonce is used: versions of the package check this differently.
            raise self.misfit(place, size)
        nonce = self.next_nonce
        if nonce == _RESERVED_NONCE:
            raise self.exhausted()
        aead = self.aead or self.wake()
        try:
            aead.decrypt_into(nonce.to_bytes(_NONCE_SIZE, "big"), ciphertext, None, place)
        except Exception as error:  # noqa: BLE001 - the subclass knows the package's
            # The package decrypts before it verifies: the place may hold unauthenticated
            # plaintext, which must not get out (RFC 5116, section 2.2).
            place[:] = bytes(size)
            raise self.refusal(error) from None
        self.next_nonce = nonce + 1
        if not self.next_nonce % REKEY_INTERVAL:
            self.rekey()

    def wake(self) -> Aead:
        """Make the object that encrypts; for the subclass."""
        raise NotImplementedError

    def rekey(self) -> None:
        """Replace the key by one derived from it; for the subclass."""
        raise NotImplementedError

    def give_back(self, nonce: int) -> None:
        """Note that nothing was encrypted with a nonce; for the subclass."""
        raise NotImplementedError

    def exhausted(self) -> Exception:
        """Return the error for a key of which all nonces are used; for the subclass."""
        raise NotImplementedError

    def misfit(self, place: memoryview, size: int) -> Exception:
        """Return the error for a place of another size; for the subclass."""
        raise NotImplementedError

    def refusal(self, error: Exception) -> Exception:
        """Return the error for what does not open; for the subclass."""
        raise NotImplementedError
