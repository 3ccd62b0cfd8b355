# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""`scan`, compiled: the usual Flume JSON into packed events, without an object for each. See parsers/flume.py."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy

cdef uint64_t ONES = 0x0101010101010101
cdef uint64_t HIGH = 0x8080808080808080


cdef inline uint64_t _has_zero(uint64_t word) noexcept nogil:
    """Not 0 where a byte of the word is 0. What it says of bytes above the lowest such one may be wrong."""
    return (word - ONES) & ~word & HIGH


cdef inline Py_ssize_t _space(const uint8_t *text, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """The first place at or after `at` that is no JSON whitespace; `end` if there is none."""
    while at < end and (text[at] == 0x20 or text[at] == 0x0A or text[at] == 0x0D or text[at] == 0x09):
        at += 1
    return at


cdef inline Py_ssize_t _value(const uint8_t *text, Py_ssize_t at, Py_ssize_t end, uint8_t first) noexcept nogil:
    """`at` is behind a member's name. Returns where its value begins, -1 if that is not with the character `first`."""
    at = _space(text, at, end)
    if at >= end or text[at] != 0x3A:
        return -1
    at = _space(text, at + 1, end)
    return at if at < end and text[at] == first else -1


cdef inline Py_ssize_t _skip_string(const uint8_t *text, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """`at` is behind an opening quote. Returns the place behind the closing one, -1 if there is none."""
    while at < end:
        if text[at] == 0x22:
            return at + 1
        if text[at] == 0x5C:
            at += 1
        at += 1
    return -1


cdef Py_ssize_t _skip_texts(const uint8_t *text, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """`at` is at a `{`. Returns the place behind the end of an object of strings; -1 if it is anything else.

    What is in the strings is not looked at.
    """
    at = _space(text, at + 1, end)
    if at < end and text[at] == 0x7D:
        return at + 1
    while True:
        if at >= end or text[at] != 0x22:
            return -1
        at = _skip_string(text, at + 1, end)
        if at < 0:
            return -1
        at = _value(text, at, end, 0x22)
        if at < 0:
            return -1
        at = _skip_string(text, at + 1, end)
        if at < 0:
            return -1
        at = _space(text, at, end)
        if at >= end:
            return -1
        if text[at] == 0x7D:
            return at + 1
        if text[at] != 0x2C:
            return -1
        at = _space(text, at + 1, end)


cdef inline int _hex(const uint8_t *text) noexcept nogil:
    """The value of four hexadecimal digits, which are there; -1 if one is none."""
    cdef int value = 0
    cdef int place
    cdef uint8_t digit
    for place in range(4):
        digit = text[place]
        if 0x30 <= digit <= 0x39:
            value = value << 4 | (digit - 0x30)
        elif 0x61 <= (digit | 0x20) <= 0x66:
            value = value << 4 | ((digit | 0x20) - 0x57)
        else:
            return -1
    return value


cdef inline Py_ssize_t _put(uint8_t *out, uint32_t point) noexcept nogil:
    """Write a code point in UTF-8; returns its bytes."""
    if point < 0x80:
        out[0] = <uint8_t>point
        return 1
    if point < 0x800:
        out[0] = <uint8_t>(0xC0 | point >> 6)
        out[1] = <uint8_t>(0x80 | point & 0x3F)
        return 2
    if point < 0x10000:
        out[0] = <uint8_t>(0xE0 | point >> 12)
        out[1] = <uint8_t>(0x80 | point >> 6 & 0x3F)
        out[2] = <uint8_t>(0x80 | point & 0x3F)
        return 3
    out[0] = <uint8_t>(0xF0 | point >> 18)
    out[1] = <uint8_t>(0x80 | point >> 12 & 0x3F)
    out[2] = <uint8_t>(0x80 | point >> 6 & 0x3F)
    out[3] = <uint8_t>(0x80 | point & 0x3F)
    return 4


cdef inline Py_ssize_t _well_formed(const uint8_t *text, Py_ssize_t left) noexcept nogil:
    """The bytes of the UTF-8 sequence that begins here, of which the first is above 0x7F; 0 if it is none.

    As Unicode's table 3-7: nothing overlong, no surrogate, nothing above U+10FFFF.
    """
    cdef uint8_t first = text[0]
    if 0xC2 <= first <= 0xDF:
        return 2 if left >= 2 and (text[1] & 0xC0) == 0x80 else 0
    if 0xE0 <= first <= 0xEF:
        if left < 3 or (text[1] & 0xC0) != 0x80 or (text[2] & 0xC0) != 0x80:
            return 0
        if (first == 0xE0 and text[1] < 0xA0) or (first == 0xED and text[1] > 0x9F):
            return 0
        return 3
    if 0xF0 <= first <= 0xF4:
        if left < 4 or (text[1] & 0xC0) != 0x80 or (text[2] & 0xC0) != 0x80 or (text[3] & 0xC0) != 0x80:
            return 0
        if (first == 0xF0 and text[1] < 0x90) or (first == 0xF4 and text[1] > 0x8F):
            return 0
        return 4
    return 0


cdef Py_ssize_t _copy_string(
    const uint8_t *text, Py_ssize_t at, Py_ssize_t end, uint8_t *out, Py_ssize_t *n_written
) noexcept nogil:
    """`at` is behind an opening quote. Writes the string's UTF-8 and returns the place behind the closing quote.

    -1 if it is no JSON string that UTF-8 can hold. Writes no more bytes than it reads.
    """
    cdef Py_ssize_t to = 0
    cdef Py_ssize_t n_bytes
    cdef uint64_t word
    cdef uint8_t byte
    cdef int unit, low
    while True:
        while end - at >= 8:  # eight bytes that say only themselves
            memcpy(&word, text + at, 8)
            if (
                (word & HIGH)
                | _has_zero(word ^ (ONES * 0x22))
                | _has_zero(word ^ (ONES * 0x5C))
                | ((word - ONES * 0x20) & ~word & HIGH)
            ):
                break
            memcpy(out + to, &word, 8)
            at += 8
            to += 8
        if at >= end:
            return -1
        byte = text[at]
        if byte == 0x22:
            n_written[0] = to
            return at + 1
        if byte < 0x20:
            return -1
        if byte >= 0x80:
            n_bytes = _well_formed(text + at, end - at)
            if n_bytes == 0:
                return -1
            memcpy(out + to, text + at, n_bytes)
            at += n_bytes
            to += n_bytes
            continue
        if byte != 0x5C:
            out[to] = byte
            at += 1
            to += 1
            continue
        if end - at < 2:
            return -1
        byte = text[at + 1]
        if byte == 0x75:  # u
            if end - at < 6:
                return -1
            unit = _hex(text + at + 2)
            if unit < 0 or 0xDC00 <= unit <= 0xDFFF:
                return -1
            at += 6
            if unit >= 0xD800 and unit <= 0xDBFF:
                if end - at < 6 or text[at] != 0x5C or text[at + 1] != 0x75:
                    return -1
                low = _hex(text + at + 2)
                if low < 0xDC00 or low > 0xDFFF:
                    return -1
                at += 6
                unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
            to += _put(out + to, unit)
            continue
        if byte == 0x6E:
            byte = 0x0A
        elif byte == 0x74:
            byte = 0x09
        elif byte == 0x72:
            byte = 0x0D
        elif byte == 0x62:
            byte = 0x08
        elif byte == 0x66:
            byte = 0x0C
        elif byte != 0x22 and byte != 0x5C and byte != 0x2F:
            return -1
        out[to] = byte
        at += 2
        to += 1


def scan(bytes document not None, headers_of not None):
    """The bodies in a row, where each ends (native uint64), and runs of (headers, number of the event after the last).

    None if it is not the usual case: an array of one or more objects with no other members than `headers` of strings
    and `body`, a string, each at most once. `headers_of` gets the text of such headers and returns them, or None.
    """
    cdef Py_ssize_t end = PyBytes_GET_SIZE(document)
    cdef const uint8_t *text = <const uint8_t *>PyBytes_AS_STRING(document)
    cdef Py_ssize_t room = 128  # in `ends`; that of `out` is enough: no string is longer than its JSON
    cdef uint64_t *ends = <uint64_t *>malloc(room * sizeof(uint64_t))
    cdef uint8_t *out = <uint8_t *>malloc(end + 1)
    cdef uint64_t *larger
    cdef Py_ssize_t n_events = 0
    cdef Py_ssize_t to = 0
    cdef Py_ssize_t at, start, behind, n_written
    cdef const uint8_t *last = NULL  # the text of the headers before, in the document
    cdef Py_ssize_t last_bytes = 0
    cdef bint has_headers, has_body
    cdef list runs = []
    cdef object headers = None
    cdef object found
    cdef bint usual = False
    try:
        if ends == NULL or out == NULL:
            raise MemoryError
        at = _space(text, 0, end)
        if at >= end or text[at] != 0x5B:
            return None
        at += 1
        while True:
            at = _space(text, at, end)
            if at >= end or text[at] != 0x7B:
                return None
            at = _space(text, at + 1, end)
            has_headers = has_body = False
            n_written = 0
            if at < end and text[at] == 0x7D:
                at += 1
            else:
                while True:
                    if not has_headers and end - at >= 9 and memcmp(text + at, b'"headers"', 9) == 0:
                        has_headers = True
                        at = _value(text, at + 9, end, 0x7B)
                        if at < 0:
                            return None
                        if last_bytes and end - at >= last_bytes and memcmp(text + at, last, last_bytes) == 0:
                            at += last_bytes
                        else:
                            behind = _skip_texts(text, at, end)
                            if behind < 0:
                                return None
                            found = headers_of(PyBytes_FromStringAndSize(<char *>text + at, behind - at))
                            if found is None:
                                return None
                            last = text + at
                            last_bytes = behind - at
                            at = behind
                            if headers is not None:
                                runs.append((headers, n_events))
                            headers = found
                    elif not has_body and end - at >= 6 and memcmp(text + at, b'"body"', 6) == 0:
                        has_body = True
                        at = _value(text, at + 6, end, 0x22)
                        if at < 0:
                            return None
                        at = _copy_string(text, at + 1, end, out + to, &n_written)
                        if at < 0:
                            return None
                    else:
                        return None
                    at = _space(text, at, end)
                    if at >= end:
                        return None
                    if text[at] == 0x7D:
                        at += 1
                        break
                    if text[at] != 0x2C:
                        return None
                    at = _space(text, at + 1, end)
            if not has_headers and (headers is None or last_bytes):
                if headers is not None:
                    runs.append((headers, n_events))
                headers = {}
                last_bytes = 0
            to += n_written
            if n_events == room:
                larger = <uint64_t *>realloc(ends, 2 * room * sizeof(uint64_t))
                if larger == NULL:
                    raise MemoryError
                ends = larger
                room *= 2
            ends[n_events] = to
            n_events += 1
            at = _space(text, at, end)
            if at >= end:
                return None
            if text[at] == 0x5D:
                break
            if text[at] != 0x2C:
                return None
            at += 1
        if _space(text, at + 1, end) != end:
            return None
        runs.append((headers, n_events))
        return (
            PyBytes_FromStringAndSize(<char *>out, to),
            PyBytes_FromStringAndSize(<char *>ends, n_events * sizeof(uint64_t)),
            runs,
        )
    finally:
        free(ends)
        free(out)
