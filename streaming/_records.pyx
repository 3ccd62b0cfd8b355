# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Records of Kafka's format v2 to columns, and columns to records: what streaming/records.py says, without an object a
record. Every length is checked against the buffer before it is used.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy

ctypedef const unsigned char* Bytes

DEF REMEMBERED_BYTES = 2048  # of one record's headers; larger ones are read each time


cdef inline bint varint(Bytes data, Py_ssize_t* at, Py_ssize_t end, long long* value) noexcept:
    """Read a zigzag varint and move on; False where it does not end before `end`, or takes more than 64 bits."""
    cdef unsigned long long raw = 0
    cdef int shift = 0
    cdef unsigned char byte
    while at[0] < end and shift < 64:
        byte = data[at[0]]
        at[0] += 1
        raw |= <unsigned long long>(byte & 0x7F) << shift
        if byte < 0x80:
            value[0] = <long long>(raw >> 1) ^ -<long long>(raw & 1)
            return True
        shift += 7
    return False


cdef inline bint chunk(Bytes data, Py_ssize_t* at, Py_ssize_t end, Bytes* start, Py_ssize_t* size) noexcept:
    """Read a length and move behind what it counts; size -1 for null. False where that is not within `end`."""
    cdef long long length
    if not varint(data, at, end, &length) or length > end - at[0]:
        return False
    start[0] = data + at[0]
    size[0] = -1 if length < 0 else <Py_ssize_t>length
    if length > 0:
        at[0] += <Py_ssize_t>length
    return True


cdef object taken(Bytes start, Py_ssize_t size):
    return None if size < 0 else PyBytes_FromStringAndSize(<const char*>start, size)


cdef tuple read_headers(Bytes data, Py_ssize_t at, Py_ssize_t end):
    cdef long long count
    cdef Bytes start = NULL
    cdef Py_ssize_t size = 0
    cdef list found = []
    if not varint(data, &at, end, &count) or count < 0:
        raise ValueError("the number of its headers is wrong")
    while count > 0:
        count -= 1
        if not chunk(data, &at, end, &start, &size) or size < 0:
            raise ValueError("the name of a header is wrong")
        name = start[:size].decode("utf-8")
        if not chunk(data, &at, end, &start, &size):
            raise ValueError("a header is longer than the record")
        found.append((name, taken(start, size)))
    if at != end:
        raise ValueError(f"{end - at} bytes are left behind its headers")
    return tuple(found)


def unpack(
    bytes payload not None, long long count, long long base_offset, long long first_ms, long long append_ms,
    long long from_offset, dict known not None, list headers not None,
):
    """(offsets, timestamps_ms, keys, values, header_ids) of the records of a batch from `from_offset` on.

    `payload`: the records, decompressed. `append_ms`: the time of all, or -1: each has its own, from `first_ms` on.
    `known` and `headers` grow: ids of headers by their bytes, and headers by id. Raises ValueError for damage.
    """
    cdef Bytes data = <Bytes>PyBytes_AS_STRING(payload)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload), at = 0, end
    cdef Bytes key = NULL, last_key = NULL, value = NULL, last_block = NULL
    cdef Py_ssize_t key_size = 0, last_key_size = -2, value_size = 0, block_size, last_block_size = -1
    cdef long long number, length, ignored, delta_ms = 0, last_delta_ms = 0, delta = 0
    cdef long long offset, previous = -1, first = -1
    cdef bint holes = False
    cdef list offsets = [], timestamps_ms = [], keys = [], values = [], header_ids = []
    cdef object same_key = None, timestamp_ms = None, header_id = None
    cdef bytes block
    for number in range(count):
        if not varint(data, &at, size, &length) or length < 0 or length > size - at:
            raise ValueError(f"record {number} of {count} ends beyond its batch")
        end = at + <Py_ssize_t>length
        if (
            not varint(data, &at, end, &ignored)
            or not varint(data, &at, end, &delta_ms)
            or not varint(data, &at, end, &delta)
            or not chunk(data, &at, end, &key, &key_size)
            or not chunk(data, &at, end, &value, &value_size)
        ):
            raise ValueError(f"record {number} of {count} is damaged")
        block_size = end - at
        if block_size != last_block_size or memcmp(data + at, last_block, block_size) != 0:
            last_block, last_block_size = data + at, block_size
            block = PyBytes_FromStringAndSize(<const char*>last_block, block_size)
            header_id = known.get(block)
            if header_id is None:
                try:
                    found = read_headers(data, at, end)
                except ValueError as error:
                    raise ValueError(f"record {number} of {count}: {error}") from error
                header_id = len(headers)
                headers.append(found)
                if block_size <= REMEMBERED_BYTES:
                    known[block] = header_id
        at = end
        offset = base_offset + delta
        if offset < from_offset:
            continue
        if first < 0:
            first = offset
        elif offset != previous + 1:
            if not holes:
                offsets.extend(range(first, previous + 1))
            holes = True
        if holes:
            offsets.append(offset)
        previous = offset
        if timestamp_ms is None or delta_ms != last_delta_ms:
            timestamp_ms = append_ms if append_ms >= 0 else first_ms + delta_ms
            last_delta_ms = delta_ms
        timestamps_ms.append(timestamp_ms)
        if key_size != last_key_size or (key_size > 0 and memcmp(key, last_key, key_size) != 0):
            last_key, last_key_size = key, key_size
            same_key = taken(key, key_size)
        keys.append(same_key)
        values.append(taken(value, value_size))
        header_ids.append(header_id)
    if at != size:
        raise ValueError(f"{size - at} bytes are left behind the last record")
    return (
        offsets if holes else range(first, previous + 1) if first >= 0 else range(0),
        timestamps_ms,
        keys,
        values,
        header_ids,
    )


cdef inline Py_ssize_t varint_size(long long value) noexcept:
    cdef unsigned long long raw = (<unsigned long long>value << 1) ^ <unsigned long long>(value >> 63)
    cdef Py_ssize_t size = 1
    while raw >= 0x80:
        raw >>= 7
        size += 1
    return size


cdef inline unsigned char* put_varint(unsigned char* at, long long value) noexcept:
    cdef unsigned long long raw = (<unsigned long long>value << 1) ^ <unsigned long long>(value >> 63)
    while raw >= 0x80:
        at[0] = <unsigned char>(raw & 0x7F | 0x80)
        raw >>= 7
        at += 1
    at[0] = <unsigned char>raw
    return at + 1


cdef inline unsigned char* put_chunk(unsigned char* at, const char* data, Py_ssize_t size) noexcept:
    at = put_varint(at, size)
    if size > 0:
        memcpy(at, data, size)
        at += size
    return at


cdef inline Py_ssize_t size_of(object value, const char** data) except -2:
    if value is None:
        return -1
    if not PyBytes_CheckExact(value):
        raise TypeError(f"expected bytes or None, not {type(value).__name__}")
    data[0] = PyBytes_AS_STRING(value)
    return PyBytes_GET_SIZE(value)


cdef inline int digits(char* text, long long number) noexcept:
    """Write a number that is not negative; returns how many digits."""
    cdef char turned[20]
    cdef int count = 0, place
    while True:
        turned[count] = <char>(48 + number % 10)
        number //= 10
        count += 1
        if number == 0:
            break
    for place in range(count):
        text[place] = turned[count - 1 - place]
    return count


def pack(
    list keys not None, list values not None, list timestamps_ms not None, offsets, bytes name not None,
    bytes prefix not None, Py_ssize_t at, Py_ssize_t room, Py_ssize_t max_bytes,
):
    """(packed, next, first_ms, newest_ms): rows from place `at` on as records of one batch, and the place of the next.

    Each row has one header `name`: `prefix` and its number in `offsets`. `room` bytes are left free before the records,
    and count: not more than `max_bytes` are packed, but for a row that is alone. Raises ValueError for columns of
    different lengths, TypeError for a key or value that is not bytes.
    """
    cdef Py_ssize_t count = len(values), place = at, used = room, capacity, grown
    cdef const char* key = NULL
    cdef const char* value = NULL
    cdef const char* raw_prefix = PyBytes_AS_STRING(prefix)
    cdef Py_ssize_t key_size, value_size, header_size, length, prefix_size = PyBytes_GET_SIZE(prefix)
    cdef Py_ssize_t name_size = PyBytes_GET_SIZE(name)
    cdef long long first_ms = 0, newest_ms = 0, timestamp_ms, number
    cdef char text[20]
    cdef int text_size
    cdef unsigned char* to
    if not (len(keys) == len(timestamps_ms) == len(offsets) == count) or at < 0 or room < 0:
        raise ValueError("columns of different lengths")
    capacity = max_bytes + 1024
    cdef bytearray packed = PyByteArray_FromStringAndSize(NULL, capacity)
    while place < count:
        key_size = size_of(keys[place], &key)
        value_size = size_of(values[place], &value)
        timestamp_ms = timestamps_ms[place]
        number = offsets[place]
        if number < 0:
            raise ValueError("an offset is negative")
        text_size = digits(text, number)
        if place == at:
            first_ms = newest_ms = timestamp_ms
        header_size = prefix_size + text_size
        length = (
            1 + varint_size(timestamp_ms - first_ms) + varint_size(place - at)
            + varint_size(key_size) + max(key_size, 0) + varint_size(value_size) + max(value_size, 0)
            + 1 + varint_size(name_size) + name_size + varint_size(header_size) + header_size
        )
        grown = used + varint_size(length) + length
        if grown > max_bytes and place > at:
            break
        if grown > capacity:
            capacity = grown
            PyByteArray_Resize(packed, capacity)
        to = <unsigned char*>PyByteArray_AS_STRING(packed) + used
        to = put_varint(to, length)
        to[0] = 0
        to = put_varint(to + 1, timestamp_ms - first_ms)
        to = put_varint(to, place - at)
        to = put_chunk(to, key, key_size)
        to = put_chunk(to, value, value_size)
        to = put_varint(to, 1)
        to = put_chunk(to, PyBytes_AS_STRING(name), name_size)
        to = put_varint(to, header_size)
        memcpy(to, raw_prefix, prefix_size)
        memcpy(to + prefix_size, text, text_size)
        used = grown
        newest_ms = max(newest_ms, timestamp_ms)
        place += 1
    PyByteArray_Resize(packed, used)
    return packed, place, first_ms, newest_ms
