# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Counts access lines as `tables.access` does one by one: what is added is added in machine numbers, then put into slots.

What is stored depends on order: of the records (floats), and of what appears first (statuses, buckets, keys). So sums of
a slot go on from what it has, in the order of the records, and everything else is put in as it first appeared.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.math cimport ceil, log
from libc.string cimport memset

from tables import histogram
from tables.keys import short

cdef enum:
    STATUSES = 16  # distinct ones that are counted at a time
    TABLES = 64  # sources that have a table of latencies, and services that have one of paths

cdef double MIN = histogram.MIN
cdef double MAX = histogram.MAX
cdef double PER_LOG = histogram.PER_LOG
cdef double SHIFT = histogram.SHIFT
cdef int LAST_BUCKET = histogram.LAST_BUCKET


cdef struct BySource:
    long long requests
    long long high, low  # of the bytes' sum: low counts units, high 2**32
    double longest_ms
    bint timed, longer
    int* latencies  # by bucket; NULL: none yet, or counted in the slot at once
    int* buckets  # in order of appearance
    int bucket_count
    int status_count
    int[STATUSES] statuses, per_status


cdef struct ByPath:
    long long requests, client_errors, server_errors, timed
    double total_ms, longest_ms
    bint longer


cdef int bucket(double value) noexcept:
    """The bucket of a number that is not negative, as `histogram.bucket_of`."""
    cdef volatile double scaled  # rounded, as Python rounds it: never multiplied and added in one
    if value > MIN:
        if value >= MAX:
            return LAST_BUCKET
        scaled = log(value) * PER_LOG
        return <int> ceil(scaled + SHIFT)
    return 0


def bucket_of(double value):
    """As `histogram.bucket_of`, of a number that is not negative."""
    return bucket(value)


cdef class _Slots:
    """The slots that records went to, and what is added to each."""

    cdef list sources, paths  # slots
    cdef dict source_numbers, path_numbers  # by slot
    cdef BySource* by_source
    cdef ByPath* by_path
    cdef Py_ssize_t source_room, path_room
    cdef int tables

    def __cinit__(self):
        self.sources, self.paths = [], []
        self.source_numbers, self.path_numbers = {}, {}

    def __dealloc__(self):
        cdef Py_ssize_t number
        for number in range(self.source_room):
            PyMem_Free(self.by_source[number].latencies)
            PyMem_Free(self.by_source[number].buckets)
        PyMem_Free(self.by_source)
        PyMem_Free(self.by_path)

    cdef int number_source(self, slot) except -1:
        """A source's slot as a number; the same for keys that share one."""
        cdef int number
        found = self.source_numbers.get(slot)
        if found is not None:
            return found
        number = <int> len(self.sources)
        if number == self.source_room:
            self.by_source = <BySource*> more(self.by_source, &self.source_room, sizeof(BySource))
        self.by_source[number].timed = slot.longest_ms is not None
        if self.by_source[number].timed:
            self.by_source[number].longest_ms = slot.longest_ms
        self.sources.append(slot)
        self.source_numbers[slot] = number
        return number

    cdef int number_path(self, slot) except -1:
        """A path's slot as a number; the same for keys that share one."""
        cdef int number
        found = self.path_numbers.get(slot)
        if found is not None:
            return found
        number = <int> len(self.paths)
        if number == self.path_room:
            self.by_path = <ByPath*> more(self.by_path, &self.path_room, sizeof(ByPath))
        self.by_path[number].total_ms = slot.total_ms
        self.by_path[number].longest_ms = slot.longest_ms
        self.paths.append(slot)
        self.path_numbers[slot] = number
        return number

    cdef int add_status(self, int number, int status) except -1:
        cdef BySource* added = &self.by_source[number]
        cdef int at
        for at in range(added.status_count):
            if added.statuses[at] == status:
                added.per_status[at] += 1
                return 0
        if added.status_count == STATUSES:
            self.put_statuses(number)
        added.statuses[added.status_count] = status
        added.per_status[added.status_count] = 1
        added.status_count += 1
        return 0

    cdef int put_statuses(self, int number) except -1:
        cdef BySource* added = &self.by_source[number]
        cdef dict statuses = self.sources[number].statuses
        cdef int at
        for at in range(added.status_count):
            status = None if added.statuses[at] < 0 else added.statuses[at]
            statuses[status] = statuses.get(status, 0) + added.per_status[at]
        added.status_count = 0
        return 0

    cdef int add_latency(self, int number, int of) except -1:
        cdef BySource* added = &self.by_source[number]
        cdef dict latencies
        if not 0 <= of <= LAST_BUCKET:
            raise OverflowError(of)
        if added.latencies == NULL:
            if self.tables == TABLES:
                latencies = self.sources[number].latencies
                latencies[of] = latencies.get(of, 0) + 1
                return 0
            added.buckets = <int*> PyMem_Malloc((LAST_BUCKET + 1) * sizeof(int))
            if added.buckets == NULL:
                raise MemoryError
            added.latencies = <int*> PyMem_Calloc(LAST_BUCKET + 1, sizeof(int))
            if added.latencies == NULL:
                raise MemoryError
            self.tables += 1
        if added.latencies[of] == 0:
            added.buckets[added.bucket_count] = of
            added.bucket_count += 1
        added.latencies[of] += 1
        return 0

    cdef int put(self) except -1:
        """Add everything to the slots."""
        cdef BySource* of_source
        cdef ByPath* of_path
        cdef dict latencies
        cdef int number, at, each
        for number, slot in enumerate(self.sources):
            of_source = &self.by_source[number]
            slot.requests += of_source.requests
            slot.size += (<object> of_source.high << 32) + of_source.low
            self.put_statuses(number)
            if of_source.longer:
                slot.longest_ms = of_source.longest_ms
            latencies = slot.latencies
            for at in range(of_source.bucket_count):
                each = of_source.buckets[at]
                latencies[each] = latencies.get(each, 0) + of_source.latencies[each]
        for number, slot in enumerate(self.paths):
            of_path = &self.by_path[number]
            slot.requests += of_path.requests
            if of_path.client_errors:
                slot.client_errors += of_path.client_errors
            if of_path.server_errors:
                slot.server_errors += of_path.server_errors
            if of_path.timed:
                slot.timed += of_path.timed
                slot.total_ms = of_path.total_ms
                if of_path.longer:
                    slot.longest_ms = of_path.longest_ms
        return 0


cdef void* more(void* held, Py_ssize_t* room, size_t size) except NULL:
    """Twice the room for structures of that size, the new ones zero."""
    cdef Py_ssize_t larger = 2 * room[0] if room[0] else 8
    cdef char* found = <char*> PyMem_Realloc(held, larger * size)
    if found == NULL:
        raise MemoryError
    memset(found + room[0] * size, 0, (larger - room[0]) * size)
    room[0] = larger
    return found


def count(packed, sources, Py_ssize_t first, find_source, find_path, double most_ms):
    """Count the records from place `first` on, each of a source (service, host).

    `packed` is what `LineColumns.packed` gives. `find_source` and `find_path` give the slots of a source and of a
    (service, path), asked for in the order in which these appear. Durations above `most_ms` are not counted.

    Raises ValueError where columns differ in length, and whatever the two raise: slots may then have a part of it.
    """
    cdef list paths, names = list(sources)
    cdef bytes packed_ids, packed_statuses, packed_sizes, packed_durations
    paths, packed_ids, packed_statuses, packed_sizes, packed_durations = packed
    cdef Py_ssize_t place, records = len(names)
    if (
        PyBytes_GET_SIZE(packed_ids) != records * <Py_ssize_t> sizeof(int)
        or PyBytes_GET_SIZE(packed_statuses) != records * <Py_ssize_t> sizeof(int)
        or PyBytes_GET_SIZE(packed_sizes) != records * <Py_ssize_t> sizeof(long long)
        or PyBytes_GET_SIZE(packed_durations) != records * <Py_ssize_t> sizeof(double)
    ):
        raise ValueError("columns differ in length")
    cdef const int* ids = <const int*> PyBytes_AS_STRING(packed_ids)
    cdef const int* statuses = <const int*> PyBytes_AS_STRING(packed_statuses)
    cdef const long long* sizes = <const long long*> PyBytes_AS_STRING(packed_sizes)
    cdef const double* durations = <const double*> PyBytes_AS_STRING(packed_durations)
    cdef _Slots slots = _Slots()
    cdef dict known = {}  # by source: (its number, the bytearray of its service)
    cdef dict by_service = {}  # the numbers of paths' slots, by the paths' numbers; -1: not known
    cdef object source, last = known  # nobody's source
    cdef int at = 0, status, path_at
    cdef double ms
    cdef BySource* of_source
    cdef ByPath* of_path
    cdef bytearray path_numbers
    cdef int* by_id = NULL
    for place in range(max(first, 0), records):
        source = names[place]
        if source is not last:
            found = known.get(source)
            if found is None:
                path_numbers = by_service.get(source[0])
                if path_numbers is None:
                    # Hostile services may be one a record: then there is nothing to remember.
                    some = len(paths) * sizeof(int) if len(by_service) < TABLES else 0
                    path_numbers = by_service[source[0]] = bytearray(b"\xff") * some
                found = known[source] = slots.number_source(find_source(source)), path_numbers
            at, path_numbers = found
            by_id = <int*> <char*> path_numbers if len(path_numbers) else NULL
            last = source
        if not 0 <= ids[place] < len(paths):
            raise ValueError("no such path")
        path_at = -1 if by_id == NULL else by_id[ids[place]]
        if path_at < 0:
            path = paths[ids[place]]
            path_at = slots.number_path(find_path((source[0], None if path is None else short(path))))
            if by_id != NULL:
                by_id[ids[place]] = path_at
        of_source, of_path = &slots.by_source[at], &slots.by_path[path_at]
        of_source.requests += 1
        of_source.low += sizes[place] & 0xFFFFFFFF
        of_source.high += sizes[place] >> 32
        of_path.requests += 1
        status = statuses[place]
        if status >= 400:
            if status >= 500:
                of_path.server_errors += 1
            else:
                of_path.client_errors += 1
        ms = durations[place]
        if 0 <= ms <= most_ms:
            of_path.timed += 1
            of_path.total_ms += ms
            if ms > of_path.longest_ms:
                of_path.longest_ms = ms
                of_path.longer = True
            if not of_source.timed or ms > of_source.longest_ms:
                of_source.longest_ms = ms
                of_source.timed = of_source.longer = True
            slots.add_latency(at, bucket(ms))
        slots.add_status(at, status)
    slots.put()
