# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Records in Kafka's format (version 2), many in one call. See sources/batches.py."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

cdef enum:
    LONGEST_VARINT = 10


cdef inline Py_ssize_t _put_varint(uint8_t *out, int64_t value) noexcept nogil:
    """Write a signed number as Kafka does; returns its bytes, `LONGEST_VARINT` at most."""
    cdef uint64_t left = (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)
    cdef Py_ssize_t at = 0
    while left >= 0x80:
        out[at] = <uint8_t>(left | 0x80)
        left >>= 7
        at += 1
    out[at] = <uint8_t>left
    return at + 1


def key_bytes(bytes key):
    """A record's key, or none, as it stands in the record."""
    cdef uint8_t number[LONGEST_VARINT]
    if key is None:
        return PyBytes_FromStringAndSize(<char *>number, _put_varint(number, -1))
    return PyBytes_FromStringAndSize(<char *>number, _put_varint(number, PyBytes_GET_SIZE(key))) + key


def header_bytes(list headers not None):
    """A record's headers as they stand in the record."""
    cdef uint8_t number[LONGEST_VARINT]
    cdef bytes name, value
    cdef list parts = [PyBytes_FromStringAndSize(<char *>number, _put_varint(number, len(headers)))]
    for text, value in headers:
        name = text.encode()
        parts.append(PyBytes_FromStringAndSize(<char *>number, _put_varint(number, PyBytes_GET_SIZE(name))))
        parts.append(name)
        parts.append(PyBytes_FromStringAndSize(<char *>number, _put_varint(number, PyBytes_GET_SIZE(value))))
        parts.append(value)
    return b"".join(parts)


def longest(bytes ends not None, Py_ssize_t first, Py_ssize_t after):
    """The bytes of the longest body from number `first` to that before `after`; 0 if there are none such.

    Raises: ValueError if there are not so many.
    """
    cdef const char *end_of = PyBytes_AS_STRING(ends)
    cdef uint64_t start = 0, end, most = 0
    cdef Py_ssize_t number
    if first < 0 or after > PyBytes_GET_SIZE(ends) // 8:
        raise ValueError(f"no bodies from {first} to {after}")
    if 0 < first < after:
        memcpy(&start, end_of + 8 * (first - 1), 8)
    for number in range(first, after):
        memcpy(&end, end_of + 8 * number, 8)
        if end - start > most:
            most = end - start
        start = end
    return most


cdef class Records:
    """The records of one batch, one behind the other, up to so many bytes; the first is taken whatever its size."""

    cdef uint8_t *_data
    cdef Py_ssize_t _room
    cdef readonly Py_ssize_t n_bytes
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t limit_bytes

    def __cinit__(self, Py_ssize_t limit_bytes):
        self.limit_bytes = limit_bytes

    def __dealloc__(self):
        free(self._data)

    def extend(
        self,
        int64_t timestamp_delta,
        bytes key not None,
        bytes headers not None,
        bytes bodies not None,
        bytes ends not None,
        Py_ssize_t first,
        Py_ssize_t after,
    ):
        """Add records of the bodies from number `first` to that before `after`, until one no longer fits.

        `key` and `headers` as `key_bytes` and `header_bytes` give them, `bodies` and `ends` as in `PackedEvents`.
        Returns how many were added. Raises: ValueError if there are no such bodies, MemoryError; nothing of this call
        is added then.
        """
        cdef const uint8_t *body = <const uint8_t *>PyBytes_AS_STRING(bodies)
        cdef const char *end_of = PyBytes_AS_STRING(ends)
        cdef uint64_t n_bodies = PyBytes_GET_SIZE(bodies)
        cdef Py_ssize_t n_key = PyBytes_GET_SIZE(key)
        cdef Py_ssize_t n_headers = PyBytes_GET_SIZE(headers)
        cdef uint8_t delta[LONGEST_VARINT]
        cdef uint8_t offset[LONGEST_VARINT]
        cdef uint8_t size[LONGEST_VARINT]
        cdef uint8_t length[LONGEST_VARINT]
        cdef Py_ssize_t n_delta, n_offset, n_size, n_length, n_body, n_record, number
        cdef Py_ssize_t bytes_before = self.n_bytes
        cdef Py_ssize_t count_before = self.count
        cdef uint64_t start = 0, end
        cdef uint8_t *out
        if first < 0 or after < first or after > PyBytes_GET_SIZE(ends) // 8:
            raise ValueError(f"no bodies from {first} to {after}")
        n_delta = _put_varint(delta, timestamp_delta)
        if 0 < first < after:
            memcpy(&start, end_of + 8 * (first - 1), 8)
        number = first
        while number < after:
            memcpy(&end, end_of + 8 * number, 8)
            if end < start or end > n_bodies:
                self.n_bytes = bytes_before
                self.count = count_before
                raise ValueError(f"body {number} ends at {end}, before {start} or behind {n_bodies}")
            n_body = <Py_ssize_t>(end - start)
            n_offset = _put_varint(offset, self.count)
            n_size = _put_varint(size, n_body)
            n_record = 1 + n_delta + n_offset + n_key + n_size + n_body + n_headers
            n_length = _put_varint(length, n_record)
            if self.count and self.n_bytes + n_length + n_record > self.limit_bytes:
                break
            if self.n_bytes + n_length + n_record > self._room and not self._grow(self.n_bytes + n_length + n_record):
                self.n_bytes = bytes_before
                self.count = count_before
                raise MemoryError
            out = self._data + self.n_bytes
            memcpy(out, length, n_length)
            out += n_length
            out[0] = 0  # attributes
            out += 1
            memcpy(out, delta, n_delta)
            out += n_delta
            memcpy(out, offset, n_offset)
            out += n_offset
            memcpy(out, PyBytes_AS_STRING(key), n_key)
            out += n_key
            memcpy(out, size, n_size)
            out += n_size
            memcpy(out, body + start, n_body)
            out += n_body
            memcpy(out, PyBytes_AS_STRING(headers), n_headers)
            self.n_bytes += n_length + n_record
            self.count += 1
            start = end
            number += 1
        return number - first

    def take(self):
        """All of them; none are held any more. To be called once."""
        cdef bytes data = PyBytes_FromStringAndSize(<char *>self._data, self.n_bytes)
        free(self._data)
        self._data = NULL
        self._room = self.n_bytes = 0
        return data

    cdef bint _grow(self, Py_ssize_t least) noexcept:
        """Make room for so many bytes; False if there is no memory."""
        cdef Py_ssize_t room = max(least, min(2 * self._room, self.limit_bytes), 1024)
        cdef uint8_t *data = <uint8_t *>realloc(self._data, room)
        if data == NULL:
            return False
        self._data = data
        self._room = room
        return True
