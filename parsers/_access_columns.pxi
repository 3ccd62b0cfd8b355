# Many lines as columns.

cdef class LineColumns:
    """Requests as columns, as `AccessColumns` has them; made into Python's objects only where these are asked for."""

    cdef Line* _lines
    cdef Py_ssize_t _count
    cdef list _bodies  # keeps the bytes alive that lines point to
    cdef dict _rows  # by place: what Python says of lines with BY_PYTHON
    cdef bint _countable  # all numbers of `_rows` are also in `_lines`
    cdef list _made  # columns that were asked for

    def __init__(self, *columns):
        """From columns of Python's, or empty."""
        cdef Py_ssize_t place
        rows = list(zip(*columns, strict=True))
        self.make_room(len(rows))
        for place in range(self._count):
            self._lines[place].flags = BY_PYTHON
        self.settle(range(len(rows)), rows, ())

    def __dealloc__(self):
        PyMem_Free(self._lines)

    cdef int make_room(self, Py_ssize_t count) except -1:
        cdef Line* lines = <Line*> PyMem_Malloc(max(count, 1) * sizeof(Line))
        if lines == NULL:
            raise MemoryError
        PyMem_Free(self._lines)
        self._lines = lines
        self._count = count
        self._bodies = []
        self._rows = {}
        self._countable = True
        self._made = [None] * len(COLUMNS)
        return 0

    def settle(self, places, rows, refused):
        """Put in what Python says of lines that were left, and take out those that are refused.

        `places` and `rows` are in pairs; `refused` are places of others, and all that were left are in one of the two.
        """
        cdef Py_ssize_t place, kept = 0
        cdef dict moved
        for place, row in zip(places, rows, strict=True):
            if not 0 <= place < self._count:
                raise IndexError(place)
            self._put(place, row)
        if refused:
            moved = {}
            gone = frozenset(refused)
            for place in range(self._count):
                if place in gone:
                    continue
                if self._lines[place].flags & BY_PYTHON:
                    moved[kept] = self._rows[place]
                self._lines[kept] = self._lines[place]
                kept += 1
            self._count = kept
            self._rows = moved
        self._made = [None] * len(COLUMNS)

    cdef int _put(self, Py_ssize_t place, row) except -1:
        cdef Line* line = &self._lines[place]
        status, size, duration_ms = row[7], row[8], row[9]
        line.flags = BY_PYTHON
        line.status = -1
        line.size = 0
        line.duration = NAN
        self._rows[place] = tuple(row)
        if status is not None:
            if type(status) is int and 0 <= status < 1 << 31:
                line.status = status
            else:
                self._countable = False
        if type(size) is int and 0 <= size < 1 << 62:
            line.size = size
        else:
            self._countable = False
        if duration_ms is not None:
            if type(duration_ms) is float:
                line.duration = duration_ms
            else:
                self._countable = False
        return 0

    def take(self, places):
        """The same columns, of the records at these places."""
        cdef LineColumns taken = LineColumns.__new__(LineColumns)
        cdef Py_ssize_t number = 0, place
        cdef list chosen = list(places)
        taken.make_room(len(chosen))
        taken._bodies = self._bodies
        taken._countable = self._countable
        for number in range(len(chosen)):
            place = chosen[number]
            if not 0 <= place < self._count:
                raise IndexError(place)
            taken._lines[number] = self._lines[place]
            if self._lines[place].flags & BY_PYTHON:
                taken._rows[number] = self._rows[place]
        return taken

    def __iter__(self):
        return iter([self.column(number) for number in range(len(COLUMNS))])

    def __getattr__(self, str name):
        if name not in COLUMNS:
            raise AttributeError(name)
        return self.column(COLUMNS.index(name))

    cdef column(self, int number):
        if self._made[number] is None:
            self._made[number] = tuple(self._values(number))
        return self._made[number]

    cdef list _values(self, int number):
        cdef list values = [None] * self._count
        cdef Py_ssize_t place
        cdef Line* line
        cdef int role = TEXT_OF[number]
        cdef long long last = 0
        cdef object ts = None
        for place in range(self._count):
            line = &self._lines[place]
            if line.flags & BY_PYTHON:
                values[place] = self._rows[place][number]
            elif role >= 0:
                if line.length[role] != NONE:
                    values[place] = text_of(line, role)
            elif number == 0:
                if line.flags & HAS_TS:
                    if ts is None or last != line.ts:  # equal times are one object, which `encode` looks at
                        last = line.ts
                        ts = last
                    values[place] = ts
            elif number == 7:
                if line.status >= 0:
                    values[place] = line.status
            elif number == 8:
                values[place] = line.size
            elif line.flags & HAS_DURATION:
                values[place] = line.duration
        return values

    def packed(self):
        """What is counted, in machine numbers: (paths, each record's path among them, statuses, bytes, durations).

        The four are packed as int, int (-1: none), long long and double (ms; NaN: none). The paths may have one twice.
        None where a number does not fit, or is of a type of its own.
        """
        cdef Py_ssize_t place, count = self._count
        if not self._countable:
            return None
        ids = PyBytes_FromStringAndSize(NULL, count * sizeof(int))
        statuses = PyBytes_FromStringAndSize(NULL, count * sizeof(int))
        sizes = PyBytes_FromStringAndSize(NULL, count * sizeof(long long))
        durations = PyBytes_FromStringAndSize(NULL, count * sizeof(double))
        for place in range(count):
            (<int*> PyBytes_AS_STRING(statuses))[place] = self._lines[place].status
            (<long long*> PyBytes_AS_STRING(sizes))[place] = self._lines[place].size
            (<double*> PyBytes_AS_STRING(durations))[place] = self._lines[place].duration
        return self._number_paths(<int*> PyBytes_AS_STRING(ids)), ids, statuses, sizes, durations

    cdef list _number_paths(self, int* ids):
        """The paths, and each record's number among them; in order of appearance."""
        cdef list paths = []
        cdef Py_ssize_t place, size = 16, slot
        cdef int* table  # place of a record with that path, by its hash; -1: none
        cdef Line* line
        cdef Line* other
        cdef int nothing = -1
        while size < 2 * self._count:
            size *= 2
        table = <int*> PyMem_Malloc(size * sizeof(int))
        if table == NULL:
            raise MemoryError
        try:
            memset(table, 0xFF, size * sizeof(int))
            for place in range(self._count):
                line = &self._lines[place]
                if line.flags & BY_PYTHON:
                    ids[place] = <int> len(paths)
                    paths.append(self._rows[place][4])
                    continue
                if line.length[PATH] == NONE:
                    if nothing < 0:
                        nothing = <int> len(paths)
                        paths.append(None)
                    ids[place] = nothing
                    continue
                slot = hash_of(line.body + line.start[PATH], line.length[PATH]) & (size - 1)
                while table[slot] >= 0:
                    other = &self._lines[table[slot]]
                    if other.length[PATH] == line.length[PATH] and not memcmp(
                        other.body + other.start[PATH], line.body + line.start[PATH], line.length[PATH]
                    ):
                        break
                    slot = (slot + 1) & (size - 1)
                if table[slot] >= 0:
                    ids[place] = ids[table[slot]]
                else:
                    table[slot] = <int> place
                    ids[place] = <int> len(paths)
                    paths.append(text_of(line, PATH))
        finally:
            PyMem_Free(table)
        return paths

    def encode(self, services, hosts, times_ms):
        """The JSON of each record as `tomcat_record.encode_many`, and the places that are left to it."""
        cdef Py_ssize_t place, count = self._count
        cdef list values = [None] * count
        cdef list left = []
        cdef _Writer writer = _Writer()
        services, hosts, times_ms = list(services), list(hosts), list(times_ms)
        if not len(services) == len(hosts) == len(times_ms) == count:
            raise ValueError("columns differ in length")
        for place in range(count):
            if self._lines[place].flags & BY_PYTHON or not writer.begin(
                times_ms[place], services[place], hosts[place]
            ):
                left.append(place)
            else:
                values[place] = writer.record(&self._lines[place])
        return values, left


cdef inline text_of(const Line* line, int role):
    return PyUnicode_DecodeASCII(line.body + line.start[role], line.length[role], NULL)


cdef inline uint64_t hash_of(const char* text, Py_ssize_t length) noexcept:
    cdef uint64_t word, value = SECRET ^ <uint64_t> length
    while length >= 8:
        memcpy(&word, text, 8)
        value = (value ^ word) * 0x9E3779B97F4A7C15ULL
        value ^= value >> 32
        text += 8
        length -= 8
    if length:
        word = 0
        memcpy(&word, text, length)
        value = (value ^ word) * 0x9E3779B97F4A7C15ULL
        value ^= value >> 32
    return value
