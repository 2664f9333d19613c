# cython: language_level=3
# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: auto_pickle=False, freethreading_compatible=True
"""The counter and the calls of one direction's records: the compiled backend, equal to
``sealframe.noise._record_cipher_py``, which has the contract. Same steps, same names."""

cimport cython
from cpython.buffer cimport PyBUF_WRITE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t, uint64_t

from sealframe.wire import REKEY_INTERVAL

__all__ = ["RecordCipher"]

cdef enum:
    # Kept equal to wire.HEAD_SIZE and wire.TAG_SIZE.
    _HEAD = 4
    _TAG = 16

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

    cdef object current
    cdef public uint64_t next_nonce

    # Another thread's cipher may put this one to sleep at any time.
    @property
    def aead(self):
        with cython.critical_section(self):
            return self.current

    @aead.setter
    def aead(self, value):
        with cython.critical_section(self):
            self.current = value

    @cython.critical_section
    def seal_record(self, plaintext):
        """Seal a record, and derive the next key where one is due."""
        cdef uint64_t nonce
        aead = self.current
        if aead is None:
            aead = self.wake()
        # No other code runs between these lines, nor, without the GIL, another thread in this
        # critical section: nobody else gets this nonce.
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

    @cython.critical_section
    def seal_records(self, pieces):
        """Seal records and return them, each with its head, in one piece of memory."""
        cdef Py_ssize_t total = 0
        cdef Py_ssize_t size
        cdef bytes whole
        cdef uint8_t *place
        for piece in pieces:
            total += _HEAD + len(piece) + _TAG
        # Nobody has it yet, and all of it is written below.
        whole = PyBytes_FromStringAndSize(NULL, total)
        place = <uint8_t *>PyBytes_AS_STRING(whole)
        for piece in pieces:
            size = len(piece) + _TAG
            total -= _HEAD + size
            if total < 0:
                raise ValueError("a piece has changed its size")
            place[0] = size & 0xFF
            place[1] = size >> 8 & 0xFF
            place[2] = size >> 16 & 0xFF
            place[3] = size >> 24 & 0xFF
            place += _HEAD
            self.seal_at(piece, <char *>place, size)
            place += size
        return whole

    cdef int seal_at(self, object plaintext, char *place, Py_ssize_t size) except -1:
        """Do as ``seal_record`` does, and write the record to its place."""
        cdef uint64_t nonce
        aead = self.current
        if aead is None:
            aead = self.wake()
        view = PyMemoryView_FromMemory(place, size, PyBUF_WRITE)
        nonce = self.next_nonce
        if nonce == _RESERVED_NONCE:
            raise self.exhausted()
        self.next_nonce = nonce + 1
        try:
            aead.encrypt_into(_encoded(nonce), plaintext, None, view)
        except BaseException:
            self.give_back(nonce)
            raise
        if self.next_nonce % _INTERVAL == 0:
            self.rekey()
        return 0

    @cython.critical_section
    def open_record(self, ciphertext):
        """Open what ``seal_record`` returned at the other end."""
        cdef uint64_t nonce = self.next_nonce
        aead = self.current
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

    @cython.critical_section
    def open_record_into(self, ciphertext, place):
        """Open what ``seal_record`` returned at the other end, into memory that is given."""
        cdef uint64_t nonce = self.next_nonce
        cdef Py_ssize_t size = len(ciphertext) - _TAG
        if len(place) != size:
            raise self.misfit(place, size)
        aead = self.current
        if nonce == _RESERVED_NONCE:
            raise self.exhausted()
        if aead is None:
            aead = self.wake()
        try:
            aead.decrypt_into(_encoded(nonce), ciphertext, None, place)
        except Exception as error:
            place[:] = bytes(size)
            raise self.refusal(error) from None
        self.next_nonce = nonce + 1
        if self.next_nonce % _INTERVAL == 0:
            self.rekey()

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

    def misfit(self, place, size):
        """Return the error for a place of another size; for the subclass."""
        raise NotImplementedError

    def refusal(self, error):
        """Return the error for what does not open; for the subclass."""
        raise NotImplementedError
