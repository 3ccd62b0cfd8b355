"""What other ports and files give: syslog, Flume's Thrift and Avro requests, tailed files."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable

from parsers.avro_reader import AvroReader
from parsers.event import Event
from parsers.flume_avro import KnownClients, read_call, read_handshake
from parsers.flume_rpc import Call, ProtocolError
from parsers.flume_thrift import CODECS
from parsers.syslog import SyslogParser
from parsers.syslog_frames import Framer
from sources.tail.records import CATALINA, Records
from tests.fuzz.engine import Target, outcome_of, require
from tests.fuzz.requests import check_events
from tests.support.rpc import avro_handshake, avro_request, thrift_request

# -- syslog

_PARSERS = (SyslogParser(now_s=lambda: 1795254633.0), SyslogParser(now_s=lambda: 1767225599.0, keep=frozenset({"all"})))
_MESSAGES = (
    b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
    b"<13>Feb 29 23:59:60 host app[12]: text\r",
    b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
    b'[exampleSDID@32473 iut="3" eventSource="Appl\\"ication" eventID="10\\]11"][x@1 a=""] \xef\xbb\xbfAn application',
    b"<0>1 2026-11-21T10:00:00+01:00 - - - - -",
    b"<191>2026-11-21T10:00:00.123456789Z host rest",
    b"no priority at all",
)


def _syslog(data: bytes) -> Hashable:
    """One datagram: it always gives an event, and with keep = "all" its body is the whole message."""
    results = []
    for parser in _PARSERS:
        event = parser.parse(data)
        check_events([event])
        require(len(event.body) <= len(data))
        results.append(tuple(sorted(name for name in event.headers if not name.startswith("sd."))))
    require(parser.parse(data).body == data)
    return tuple(results)


def _frames(data: bytes) -> Hashable:
    """One connection's stream, fed in pieces whose length the first byte says, gives the same frames as in one."""
    piece = data[0] % 64 + 1 if data else 1
    if len(data) > 65_536:
        piece *= 100
    whole, in_pieces = _framed(data, len(data) or 1), _framed(data, piece)
    require(whole == in_pieces)
    require(all(len(frame) <= _MAX_FRAME for frame in whole))
    require(sum(map(len, whole)) <= len(data))
    return piece, min(len(whole), 10)


_MAX_FRAME = 1_000


def _framed(data: bytes, piece: int) -> list[bytes]:
    framer = Framer(_MAX_FRAME)
    frames = []
    for start in range(0, len(data), piece):
        framer.feed(data[start : start + piece])
        while taken := framer.take(100):
            frames += taken
    return [frame.data for frame in (*frames, *framer.finish(clean=True))]


# -- Flume's RPC

_EVENTS = (
    [Event({"type": "access_log", "host": "w"}, b"GET /")],
    [Event({}, b""), Event({"\u00e4": "\U0001f600"}, b"\xff")],
)


def _call(parse: Callable[[bytes], Call | None], data: bytes) -> Hashable:
    try:
        call = parse(data)
    except ProtocolError as refused:
        require("\n" not in str(refused))
        require(len(str(refused)) < 300)
        return outcome_of(refused)
    if call is None or call.events is None:
        return call is None
    check_events(call.events)
    require(sum(len(event.body) for event in call.events) <= len(data))
    return call.method, min(len(call.events), 5), sum(len(event.headers) for event in call.events[:3])


def _avro_session(data: bytes) -> Call | None:
    reader = AvroReader(data)
    greeting = KnownClients().greet(read_handshake(reader))
    return read_call(reader, 1) if greeting.refusal is None and greeting.match != 2 else None


_RPC: dict[str, Callable[[bytes], Call | None]] = {
    "thrift-compact": CODECS["compact"].parse,
    "thrift-binary": CODECS["binary"].parse,
    "avro": lambda data: read_call(AvroReader(data), 1),
    "avro-handshake": _avro_session,
}


def _requests(codec: str) -> list[bytes]:
    samples = []
    for method in ("append", "appendBatch"):
        for events in _EVENTS:
            if codec.startswith("thrift"):
                samples.append(thrift_request(codec.removeprefix("thrift-"), method, events))
            else:
                samples.append((avro_handshake() if codec == "avro-handshake" else b"") + avro_request(method, events))
    return samples


# -- tailed files

_RECORDS = (Records(500), Records(500, re.compile(CATALINA)))
_CATALINA_OUT = (
    b"21-Nov-2026 09:50:33.123 INFO [main] org.apache.catalina.startup.Catalina.start Server startup\n"
    b"21-Nov-2026 09:50:34.001 SEVERE [http-nio-1] a.B.c failed\njava.lang.IllegalStateException: x\r\n"
    b"\tat a.B.c(B.java:1)\nCaused by: java.io.IOException\n\t... 3 more\n\n"
    b"2026-11-21 09:50:35\nFull thread dump OpenJDK\n[0.123s][info][gc] x\nNov 21, 2026 9:50:33 AM a.B c\nINFO: y\n",
    b"one\ntwo\r\n\n\r\nthree",
)


def _tail(data: bytes) -> Hashable:
    """A file that is finished: its records lie one after the other; read in two steps they are the same."""
    results = []
    for records in _RECORDS:
        cut = records.cut(data, 0, 0, finished=True)
        at = 0
        for piece in cut.pieces:
            require(at <= piece.start <= piece.end <= len(data))
            require(len(piece.body) <= records.max_bytes + 2)  # a line end in the middle of a record that is cut there
            at = piece.end
        require(cut.end == len(data))
        if not records.multiline or max(map(len, data.split(b"\n"))) <= records.max_bytes:
            # Whether a longer line starts a record may depend on what of it has not been read yet.
            first = records.cut(data[: len(data) // 2], 0, 0)
            rest = records.cut(data[first.end :], first.end, first.number, finished=True)
            require([each.body for each in (*first.pieces, *rest.pieces)] == [each.body for each in cut.pieces])
        results.append(min(len(cut.pieces), 10))
    return tuple(results)


WIRE = (
    Target(
        "syslog",
        _MESSAGES,
        _syslog,
        (b"<13>", b"<999>", b"1 ", b"[a b=", b'"]', b"\\]", b"Feb 29 ", b"T24:60:61Z", b" - "),
    ),
    Target(
        "syslog-frames",
        (*_MESSAGES, b"".join(b"%d %s" % (len(message), message) for message in _MESSAGES), b"\n".join(_MESSAGES)),
        _frames,
        (b"12 <", b"99999 <", b"0 <", b"<", b"\n", b"1000000000 "),
        max_bytes=262_144,
    ),
    *(
        Target(name, _requests(name), lambda data, parse=parse: _call(parse, data), (b"append", b"appendBatch"))
        for name, parse in _RPC.items()
    ),
    Target(
        "tail",
        _CATALINA_OUT,
        _tail,
        (b"\n\n", b"21-Nov-2026 09:50:33.123 X [", b"Caused by: ", b"\n\tat "),
        max_bytes=262_144,
    ),
)
