# cython: language_level=3
# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: auto_pickle=False
"""The counter and the calls of one direction's records: the compiled backend, equal to
``sealframe.noise._record_cipher_py``, which has the contract. Same steps, same names."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint64_t

from sealframe.wire import REKEY_INTERVAL

__all__ = ["RecordCipher"]

cdef uint64_t _RESERVED_NONCE = 0xFFFFFFFFFFFFFFFF
cdef uint64_t _INTERVAL = REKEY_INTERVAL


cdef bytes _encoded(uint64_t nonce):
    """Return the nonce as AES-GCM takes it: four zero bytes, and the counter, big-endian."""
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, 12)
    cdef uint8_t *place = <uint8_t *>PyBytes_AS_STRING(whole)
    cdef int i
    for i in range(12):
        place[11 - i] = nonce & 0xFF
        nonce >>= 8
    return whole


cdef class RecordCipher:
    """AES-256-GCM with a counter, for records. For the contract see the pure backend."""

    cdef public object aead
    cdef public uint64_t next_nonce

    def seal_record(self, plaintext):
        """Seal a record, and derive the next key where one is due."""
        cdef uint64_t nonce
        aead = self.aead
        if aead is None:
            aead = self.wake()
        # No other code runs between these lines: nobody else gets this nonce.
        nonce = self.next_nonce
        if nonce == _RESERVED_NONCE:
            raise self.exhausted()
        self.next_nonce = nonce + 1
        try:
            sealed = aead.encrypt(_encoded(nonce), plaintext, None)
        except BaseException:
            self.give_back(nonce)
            raise
        if self.next_nonce % _INTERVAL == 0:
            self.rekey()
        return sealed

    def open_record(self, ciphertext):
        """Open what ``seal_record`` returned at the other end."""
        cdef uint64_t nonce = self.next_nonce
        aead = self.aead
        if nonce == _RESERVED_NONCE:
            raise self.exhausted()
        if aead is None:
            aead = self.wake()
        try:
            plaintext = aead.decrypt(_encoded(nonce), ciphertext, None)
        except Exception as error:
            raise self.refusal(error) from None
        self.next_nonce = nonce + 1
        if self.next_nonce % _INTERVAL == 0:
            self.rekey()
        return plaintext

    def wake(self):
        """Make the object that encrypts; for the subclass."""
        raise NotImplementedError

    def rekey(self):
        """Replace the key by one derived from it; for the subclass."""
        raise NotImplementedError

    def give_back(self, nonce):
        """Note that nothing was encrypted with a nonce; for the subclass."""
        raise NotImplementedError

    def exhausted(self):
        """Return the error for a key of which all nonces are used; for the subclass."""
        raise NotImplementedError

    def refusal(self, error):
        """Return the error for what does not open; for the subclass."""
        raise NotImplementedError
