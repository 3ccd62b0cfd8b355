# The JSON of lines, from where their fields are.

cdef class _Writer:
    """Writes records' JSON, each in a buffer that is used again."""

    cdef char* _head  # up to the host; the same for many records
    cdef Py_ssize_t _head_room, _head_length
    cdef char* _text
    cdef Py_ssize_t _text_room
    cdef object _ts, _service, _host  # what the head is of

    def __dealloc__(self):
        PyMem_Free(self._head)
        PyMem_Free(self._text)

    cdef bint begin(self, ts, service, host) except -1:
        """Write a record's time, service and host; False where they are not for here, and no record may follow."""
        cdef int overflow = 0
        cdef long long ms = 0
        cdef char* at
        if ts is self._ts and service is self._service and host is self._host and self._head_length:
            return True
        if ts is not None:
            if type(ts) is not int:
                return False
            ms = PyLong_AsLongLongAndOverflow(ts, &overflow)
            if overflow:
                return False
        if not (service is None or type(service) is str) or not (host is None or type(host) is str):
            return False
        self._head_length = 0
        self._head = room(self._head, &self._head_room, KEYS)
        at = put(self._head, b'{"ts":', 6)
        at = put(at, b"null", 4) if ts is None else put_number(at, ms)
        at = self._add_text(put(at, b',"service":', 11), service)
        at = self._add_text(put(at, b',"host":', 8), host)
        self._ts, self._service, self._host = ts, service, host
        self._head_length = at - self._head
        return True

    cdef char* _add_text(self, char* at, text) except NULL:
        """Write a header's text into the head, at a place where there are `KEYS` bytes left to its end."""
        cdef Py_ssize_t length = 0, before = at - self._head
        cdef const char* characters
        cdef bytes written
        if text is None:
            return put(at, b"null", 4)
        if PyUnicode_IS_COMPACT_ASCII(text):
            characters = PyUnicode_AsUTF8AndSize(text, &length)
            if is_plain(characters, length, 0) and memchr(characters, c'"', length) == NULL:
                self._head = room(self._head, &self._head_room, before + length + KEYS)
                at = put(self._head + before, b'"', 1)
                return put(put(at, characters, length), b'"', 1)
        try:
            written = orjson.dumps(text)
        except orjson.JSONEncodeError:
            written = orjson.dumps(replace_surrogates(text))
        length = PyBytes_GET_SIZE(written)
        self._head = room(self._head, &self._head_room, before + length + KEYS)
        return put(self._head + before, PyBytes_AS_STRING(written), length)

    cdef bytes record(self, const Line* line):
        """The JSON of a record, after `begin`."""
        cdef Py_ssize_t size = self._head_length + KEYS
        cdef int role
        cdef char* at
        for role in range(TEXTS):
            if line.length[role] != NONE:
                size += line.length[role]
        self._text = room(self._text, &self._text_room, size)
        at = put(self._text, self._head, self._head_length)
        at = put_text(put(at, b',"client":', 10), line, CLIENT)
        at = put_text(put(at, b',"user":', 8), line, USER)
        at = put_text(put(at, b',"method":', 10), line, METHOD)
        at = put_text(put(at, b',"path":', 8), line, PATH)
        at = put_text(put(at, b',"query":', 9), line, QUERY)
        at = put_text(put(at, b',"protocol":', 12), line, PROTOCOL)
        at = put(at, b',"status":', 10)
        at = put(at, b"null", 4) if line.status < 0 else put_number(at, line.status)
        at = put_number(put(at, b',"bytes":', 9), line.size)
        at = put(at, b',"duration_ms":', 15)
        at = put_duration(at, line.duration) if line.flags & HAS_DURATION else put(at, b"null", 4)
        at = put_text(put(at, b',"referer":', 11), line, REFERER)
        at = put_text(put(at, b',"user_agent":', 14), line, USER_AGENT)
        at = put(at, b"}", 1)
        return PyBytes_FromStringAndSize(self._text, at - self._text)


cdef char* room(char* held, Py_ssize_t* capacity, Py_ssize_t size) except NULL:
    """A buffer of at least that size in place of the one that is held."""
    cdef char* larger
    if size <= capacity[0]:
        return held
    larger = <char*> PyMem_Realloc(held, 2 * size)
    if larger == NULL:
        raise MemoryError
    capacity[0] = 2 * size
    return larger


cdef inline char* put(char* at, const char* text, Py_ssize_t length) noexcept:
    memcpy(at, text, length)
    return at + length


cdef inline char* put_text(char* at, const Line* line, int role) noexcept:
    """Write a text that needs no escapes: printable ASCII without quotes and backslashes."""
    if line.length[role] == NONE:
        return put(at, b"null", 4)
    at[0] = c'"'
    at = put(at + 1, line.body + line.start[role], line.length[role])
    at[0] = c'"'
    return at + 1


cdef inline char* put_number(char* at, long long number) noexcept:
    cdef char[20] digits
    cdef int left = 20
    cdef uint64_t rest = <uint64_t> number
    if number < 0:
        at[0] = c"-"
        at += 1
        rest = 0 - rest
    while True:
        left -= 1
        digits[left] = <char> (c'0' + rest % 10)
        rest //= 10
        if rest == 0:
            break
    return put(at, digits + left, 20 - left)


cdef char* put_duration(char* at, double ms) except NULL:
    """Write a float that is not negative as orjson does: the shortest text that gives it back."""
    cdef long long micros
    cdef int fraction
    cdef bytes written
    if ms < 1e11:
        # At most 15 digits: where the float is the nearest one to them, no shorter text is nearest to it.
        micros = <long long> (ms * 1000 + 0.5)
        if <double> micros / 1000.0 == ms:
            at = put_number(at, micros // 1000)
            fraction = <int> (micros % 1000)
            at[0] = c'.'
            at[1] = <char> (c'0' + fraction // 100)
            at[2] = <char> (c'0' + fraction // 10 % 10)
            at[3] = <char> (c'0' + fraction % 10)
            at += 4
            while (at - 1)[0] == c"0" and (at - 2)[0] != c".":
                at -= 1
            return at
    written = orjson.dumps(ms)
    return put(at, PyBytes_AS_STRING(written), PyBytes_GET_SIZE(written))
