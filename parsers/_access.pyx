# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Access lines of the usual form: split, kept as places in the lines' own bytes, and written as JSON from there.

Only lines of which it is certain that `parsers.tomcat` reads the same are taken here: printable ASCII without a
backslash, every field ending at the first place where it can. All others are left to Python, which alone refuses
lines, and what it says of them is merged in. Every read is checked against the line's end.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.math cimport NAN
from libc.stdint cimport uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

import os

import orjson

from parsers.escapes import replace_surrogates
from parsers.tomcat_record import AccessColumns

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1

cdef enum:
    TEXTS = 8
    LONGEST_LINE = 0xFFFE  # so that places fit 16 bits
    NONE = 0xFFFF  # the length of a text that is not there
    STAMP = 28  # characters of [21/Nov/2026:06:12:20 +0100]
    KEYS = 400  # more than the JSON of a record has beside its texts, service and host
    HAS_TS = 1
    HAS_DURATION = 2
    BY_PYTHON = 4  # the row that Python has made of the line counts, not the places

# Texts of a record, in the order of its columns.
ROLES = ("client", "user", "method", "path", "query", "protocol", "referer", "user_agent")
cdef enum:
    CLIENT, USER, METHOD, PATH, QUERY, PROTOCOL, REFERER, USER_AGENT
# What else a field can give.
OTHER_ROLES = ("time", "status", "bytes", "duration")
cdef enum:
    TIME = 100
    STATUS = 101
    SIZE = 102
    DURATION = 103
    NOTHING = 104

KINDS = ("number", "status", "taken", "stamp", "flag", "dash", "protocol", "word", "text", "forwarded", "request")
cdef enum:
    K_NUMBER, K_STATUS, K_TAKEN, K_STAMP, K_FLAG, K_DASH, K_PROTOCOL, K_WORD, K_TEXT, K_FORWARDED, K_REQUEST

# What the expression's look ahead passes over.
NUMBERS = ("number", "status", "taken", "stamp", "flag", "dash")
cdef enum:
    UNCERTAIN, READ, OTHER  # what a line is to a pattern

cdef const char* MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"

COLUMNS = AccessColumns._fields
# By column: the text that it is; the others are numbers.
cdef int[12] TEXT_OF = [-1, CLIENT, USER, METHOD, PATH, QUERY, PROTOCOL, -1, -1, -1, REFERER, USER_AGENT]

cdef uint64_t SECRET = int.from_bytes(os.urandom(8), "little")  # nobody outside can choose paths that collide

include "_access_line.pxi"
include "_access_columns.pxi"
include "_access_json.pxi"


cdef class Splitter:
    """Takes the usual lines of a route's patterns."""

    cdef Program* _programs
    cdef Py_ssize_t _count
    cdef signed char* _by_end  # by program and last character: the first program from there on that a line can be of
    cdef object _texts  # keeps the bytes alive that steps point to

    def __cinit__(self, patterns):
        """`patterns` in the order in which they are tried, each (steps or None, ends, units per ms)."""
        cdef Py_ssize_t number
        cdef int character
        cdef str ends
        if len(patterns) > 127:
            raise ValueError("more than 127 patterns")
        self._programs = <Program*> PyMem_Malloc(max(len(patterns), 1) * sizeof(Program))
        if self._programs == NULL:
            raise MemoryError
        memset(self._programs, 0, max(len(patterns), 1) * sizeof(Program))
        self._count = len(patterns)
        self._texts = []
        self._by_end = <signed char*> PyMem_Malloc((self._count + 1) * 128)
        if self._by_end == NULL:
            raise MemoryError
        memset(self._by_end, -1, (self._count + 1) * 128)
        for number, (steps, ends, units_per_ms) in enumerate(patterns):
            if steps is not None:
                self._compile(&self._programs[number], steps, units_per_ms)
        # A line is of the first pattern that takes it: a later one is tried where those before certainly don't.
        for number in range(self._count - 1, -1, -1):
            steps, ends, _ = patterns[number]
            memcpy(self._by_end + number * 128, self._by_end + (number + 1) * 128, 128)
            for character in range(33, 127):
                if not ends or chr(character) in ends:
                    self._by_end[number * 128 + character] = <signed char> (-1 if steps is None else number)

    def __dealloc__(self):
        cdef Py_ssize_t number
        if self._programs != NULL:
            for number in range(self._count):
                PyMem_Free(self._programs[number].steps)
            PyMem_Free(self._programs)
        PyMem_Free(self._by_end)

    cdef int _compile(self, Program* program, steps, double units_per_ms) except -1:
        cdef Py_ssize_t number
        cdef bytes before, after, tail = steps.tail
        program.steps = <Step*> PyMem_Malloc(len(steps.fields) * sizeof(Step))
        if program.steps == NULL:
            raise MemoryError
        program.count = len(steps.fields)
        program.units_per_ms = units_per_ms
        for number, (before, kind, role) in enumerate(steps.fields):
            after = steps.fields[number + 1].before if number + 1 < program.count else tail
            program.steps[number].before = PyBytes_AS_STRING(before)
            program.steps[number].before_length = PyBytes_GET_SIZE(before)
            program.steps[number].kind = KINDS.index(kind)
            program.steps[number].role = NOTHING
            if role in ROLES:
                program.steps[number].role = ROLES.index(role)
            elif role in OTHER_ROLES:
                program.steps[number].role = TIME + OTHER_ROLES.index(role)
            program.steps[number].stop = after[0] if after else -1
            program.steps[number].null_is_nothing = role in ("method", "protocol")
            program.tabs += before.count(b"\t")
            self._texts.append(before)
            # The expression looks ahead from free text to where the next begins, or to the end of the line: what comes
            # behind the last number decides only where the last text has quotes of its own.
            if kind in NUMBERS:
                program.decides = program.decides and not tail
            else:
                program.decides = kind in ("request", "text") and before.endswith(b'"') and after[:2] in (b'" ', b'"\t')
        program.tail = PyBytes_AS_STRING(tail)
        program.tail_length = PyBytes_GET_SIZE(tail)
        program.tabs += tail.count(b"\t")
        self._texts.append(tail)
        return 0

    cdef bint _read(self, const char* body, const char* end, Line* line) noexcept:
        """Read a line by the first pattern that it is of; False where that is not certain."""
        cdef const Program* program
        cdef int verdict, number = self._by_end[<int> (end - 1)[0]]
        while number >= 0:
            program = &self._programs[number]
            if not is_plain(body, end - body, program.tabs):
                return False
            verdict = read_line(program, body, end, line)
            if verdict != OTHER:
                return verdict == READ
            number = self._by_end[(number + 1) * 128 + <int> (end - 1)[0]]
        return False

    def split(self, lines):
        """The columns of these lines, and the places of those that are left to be put in by `LineColumns.settle`."""
        cdef LineColumns columns = LineColumns.__new__(LineColumns)
        cdef list bodies = list(lines)
        cdef list left = []
        cdef Py_ssize_t place, count = len(bodies)
        cdef const char* body
        cdef const char* end
        cdef Line* line
        cdef object each
        columns.make_room(count)
        columns._bodies = bodies
        for place in range(count):
            each = bodies[place]
            line = &columns._lines[place]
            if PyBytes_CheckExact(each):
                body = PyBytes_AS_STRING(each)
                end = body + PyBytes_GET_SIZE(each)
                while end > body and (end - 1)[0] in (c' ', c'\t', c'\r', c'\n'):
                    end -= 1
                if body < end <= body + LONGEST_LINE and 0 < <signed char> (end - 1)[0]:
                    line.body = body
                    if self._read(body, end, line):
                        continue
            line.flags = BY_PYTHON
            left.append(place)
        return columns, left
