# Where the fields of one line are.

cdef struct Step:
    const char* before
    Py_ssize_t before_length
    int kind
    int role
    int stop  # the character that ends the field; -1: the end of the line
    bint null_is_nothing  # `null` stands for no value, besides '-'


cdef struct Program:
    Step* steps
    Py_ssize_t count
    const char* tail
    Py_ssize_t tail_length
    int tabs  # in the texts between fields: a line with more has some in a field
    bint decides  # whether text behind its last field means that a line is not of the pattern
    double units_per_ms


cdef struct Line:
    const char* body
    long long ts
    long long size
    double duration
    int status  # -1: none
    int flags
    unsigned short start[TEXTS]
    unsigned short length[TEXTS]


cdef bint is_plain(const char* text, Py_ssize_t length, int tabs) noexcept:
    """Whether a line is printable ASCII without a backslash, but for so many tabs."""
    cdef uint64_t eight, odd = 0
    cdef uint64_t ones = 0x0101010101010101ULL
    cdef Py_ssize_t at = 0
    cdef unsigned char byte
    if tabs:
        for at in range(length):
            byte = <unsigned char> text[at]
            if byte == 9:
                tabs -= 1
            elif byte < 0x20 or byte >= 0x7F or byte == 0x5C:
                return False
        return tabs == 0
    while at + 8 <= length:
        memcpy(&eight, text + at, 8)
        odd |= eight | ((eight - 0x20 * ones) & ~eight)  # not ASCII, below a blank
        odd |= ((eight ^ (0x7F * ones)) - ones) & ~(eight ^ (0x7F * ones))  # DEL
        odd |= ((eight ^ (0x5C * ones)) - ones) & ~(eight ^ (0x5C * ones))  # a backslash
        at += 8
    while at < length:
        byte = <unsigned char> text[at]
        if byte < 0x20 or byte >= 0x7F or byte == 0x5C:
            return False
        at += 1
    return not odd & 0x8080808080808080ULL


cdef inline const char* digits(const char* at, const char* end, int most, uint64_t* value) noexcept:
    """Read up to so many digits (18 at most); where they end."""
    cdef uint64_t number = 0
    if end - at > most:
        end = at + most
    while at < end and c'0' <= at[0] <= c'9':
        number = number * 10 + <uint64_t> (at[0] - c'0')
        at += 1
    value[0] = number
    return at


cdef inline const char* find(const char* at, const char* end, int stop) noexcept:
    """The first place of a character; NULL where there is none. `stop` -1 is the end."""
    return end if stop < 0 else <const char*> memchr(at, stop, end - at)


cdef inline void keep(Line* line, int role, const char* start, const char* end) noexcept:
    line.start[role] = <unsigned short> (start - line.body)
    line.length[role] = <unsigned short> (end - start)


cdef const char* read_taken(const char* at, const char* end, double units_per_ms, double* value) noexcept:
    """Read how long a request took, milliseconds as Python's `_duration_ms` has them; NULL where that isn't certain."""
    cdef uint64_t whole, fraction = 0
    cdef const char* start = at
    cdef int places = 0, digits_before
    at = digits(at, end, 18, &whole)
    digits_before = <int> (at - start)
    if digits_before == 0:
        return NULL
    if at < end and at[0] == c'.':
        start = at + 1
        at = digits(start, end, 9, &fraction)
        places = <int> (at - start)
        if places == 0 or digits_before + places > 15:
            return NULL
    if units_per_ms >= 1:
        value[0] = <double> whole
        if places:  # both parts are exact, so the quotient is the number nearest to the text
            value[0] = <double> (whole * power_of_ten(places) + fraction) / <double> power_of_ten(places)
        value[0] = value[0] / units_per_ms
        return at
    # Seconds, rounded to the microsecond: far from where the rounding of floats could move one.
    if whole >= 100_000_000 or places > 6:
        return NULL
    value[0] = <double> (whole * 1_000_000 + fraction * power_of_ten(6 - places)) / 1000.0
    return at


cdef inline uint64_t power_of_ten(int exponent) noexcept:
    cdef uint64_t power = 1
    while exponent > 0:
        power *= 10
        exponent -= 1
    return power


cdef const char* read_request(const char* at, const char* end, int stop, Line* line) noexcept:
    """Read a request line of the usual three parts, or '-'; NULL for any other."""
    cdef const char* start = at
    cdef const char* blank
    cdef const char* mark
    if at < end and at[0] == c'-' != stop:
        at += 1
        return at if (at == end if stop < 0 else at < end and at[0] == stop) else NULL
    while at < end and c'A' <= at[0] <= c'Z':
        at += 1
    if at == start or at == end or at[0] != c' ':
        return NULL
    keep(line, METHOD, start, at)
    start = at + 1
    blank = find(start, end, c' ')
    if blank == NULL or (stop >= 0 and memchr(start, stop, blank - start) != NULL):
        return NULL
    if stop != c'"' and memchr(start, c'"', blank - start) != NULL:
        return NULL
    mark = <const char*> memchr(start, c'?', blank - start)
    if mark != NULL:
        keep(line, QUERY, mark + 1, blank)
        keep_present(line, PATH, start, mark)
    else:
        keep_present(line, PATH, start, blank)
    start = blank + 1
    if end - start < 6 or memcmp(start, b"HTTP/", 5) != 0:
        return NULL
    at = start + 5
    while at < end and (c'0' <= at[0] <= c'9' or at[0] == c'.'):
        at += 1
    if at == start + 5:
        return NULL
    keep(line, PROTOCOL, start, at)
    return at


cdef inline void keep_present(Line* line, int role, const char* start, const char* end) noexcept:
    """Keep a text that says something: neither empty nor '-'."""
    if end > start and not (end - start == 1 and start[0] == c'-'):
        keep(line, role, start, end)


cdef inline int two_digits(const char* at) noexcept:
    """0 to 99, or -1 for anything else."""
    if c'0' <= at[0] <= c'9' and c'0' <= at[1] <= c'9':
        return (at[0] - c'0') * 10 + at[1] - c'0'
    return -1


cdef bint read_stamp(const char* at, long long* ts) noexcept:
    """Read the 28 characters of `[21/Nov/2026:06:12:20 +0100]` as epoch ms; False where there is no such time."""
    cdef int day = two_digits(at + 1), year = two_digits(at + 8) * 100 + two_digits(at + 10), month
    cdef int hour = two_digits(at + 13), minute = two_digits(at + 16), second = two_digits(at + 19)
    cdef int zone_hours = two_digits(at + 23), zone_minutes = two_digits(at + 25), offset_s
    if at[0] != c'[' or at[3] != c'/' or at[7] != c'/' or at[12] != c':' or at[15] != c':' or at[18] != c':':
        return False
    if at[21] != c' ' or at[22] not in (c'+', c'-') or at[27] != c']':
        return False
    for month in range(1, 13):
        if memcmp(at + 4, MONTHS + 3 * (month - 1), 3) == 0:
            break
    else:
        return False
    if two_digits(at + 8) < 0 or two_digits(at + 10) < 0 or year < 1 or day < 1 or day > days_in(month, year):
        return False
    if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 60):  # 60: a leap second counts on
        return False
    if zone_hours < 0 or not 0 <= zone_minutes <= 59 or zone_hours * 60 + zone_minutes > 18 * 60:
        return False
    offset_s = (zone_hours * 60 + zone_minutes) * (-60 if at[22] == c'-' else 60)
    ts[0] = (days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_s) * 1000
    return True


cdef inline int days_in(int month, int year) noexcept:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


cdef inline long long days_since_epoch(int year, int month, int day) noexcept:
    """Days from 1970-01-01 of a date in the Gregorian calendar, counted in years that begin in March."""
    cdef long long of_march = year - (month < 3)
    cdef long long day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return of_march * 365 + of_march // 4 - of_march // 100 + of_march // 400 + day_of_year - 719_468


cdef const char* read_number(const Step* step, const char* at, const char* end, Line* line) noexcept:
    """Read a number or '-'; NULL where there is neither."""
    cdef uint64_t number = 0
    cdef const char* start = at
    if at < end and at[0] == c'-':
        return at + 1
    at = digits(at, end, 9 if step.kind == K_STATUS else 18, &number)
    if at == start:
        return NULL
    if step.role == STATUS:
        line.status = <int> number
    elif step.role == SIZE:
        line.size = <long long> number
    return at


cdef int read_line(const Program* program, const char* at, const char* end, Line* line) noexcept:
    """Split a line, trailing blanks cut off: READ, OTHER where it is certainly not of the pattern, else UNCERTAIN."""
    cdef Py_ssize_t number
    cdef const Step* step
    cdef const char* start
    cdef const char* last
    cdef const char* comma
    cdef double taken
    cdef long long instant
    line.ts = line.size = 0
    line.duration = NAN
    line.status = -1
    line.flags = 0
    memset(line.length, 0xFF, sizeof(line.length))
    memset(line.start, 0, sizeof(line.start))
    for number in range(program.count):
        step = &program.steps[number]
        if end - at < step.before_length or memcmp(at, step.before, step.before_length) != 0:
            return UNCERTAIN
        at += step.before_length
        start = at
        if step.kind <= K_STATUS:
            at = read_number(step, at, end, line)
            if at == NULL:
                return UNCERTAIN
        elif step.kind >= K_PROTOCOL and step.kind <= K_FORWARDED:
            at = find(at, end, step.stop)
            if at == NULL:
                return UNCERTAIN
            last = at
            if step.kind == K_FORWARDED:
                comma = <const char*> memchr(start, c',', at - start)
                if comma != NULL:
                    last = comma
                if memchr(start, c' ', last - start) != NULL:
                    return UNCERTAIN
            elif step.kind != K_TEXT:
                if (at == start and step.stop in (-1, c' ')) or memchr(start, c' ', at - start) != NULL:
                    return UNCERTAIN
                if step.kind == K_PROTOCOL and (at - start < 5 or memcmp(start, b"HTTP/", 5) != 0):
                    return UNCERTAIN
            if step.role < TEXTS:
                if step.stop != c'"' and memchr(start, c'"', last - start) != NULL:
                    return UNCERTAIN  # JSON would have to escape it
                if not (step.null_is_nothing and last - start == 4 and memcmp(start, b"null", 4) == 0):
                    keep_present(line, step.role, start, last)
        elif step.kind == K_STAMP:
            if end - at < STAMP or not read_stamp(at, &instant):
                return UNCERTAIN
            if step.role == TIME:
                line.ts = instant
                line.flags |= HAS_TS
            at += STAMP
        elif step.kind == K_REQUEST:
            at = read_request(at, end, step.stop, line)
            if at == NULL:
                return UNCERTAIN
        elif step.kind == K_TAKEN:
            at = read_taken(at, end, program.units_per_ms, &taken)
            if at == NULL:
                return UNCERTAIN
            if step.role == DURATION:
                line.duration = taken
                line.flags |= HAS_DURATION
        else:
            if at == end:
                return UNCERTAIN
            if step.kind == K_DASH:
                if at[0] != c'-':
                    return UNCERTAIN
            elif at[0] not in (c'X', c'+', c'-', c'?'):
                return UNCERTAIN
            at += 1
    if end - at == program.tail_length and memcmp(at, program.tail, program.tail_length) == 0:
        return READ
    return OTHER if program.decides and at < end and at[0] == c' ' else UNCERTAIN
