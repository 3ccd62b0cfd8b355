"""One syslog message, RFC 3164 or RFC 5424, to an event with Flume's header names."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Set
from datetime import tzinfo
from typing import Final

from parsers.event import Event
from parsers.syslog_structured import structured_headers
from parsers.syslog_time import StampReader

STATUS: Final = "flume.syslog.status"
INVALID: Final = "Invalid"
INCOMPLETE: Final = "Incomplete"

# What stands before the body and can be kept in it, as in Flume's keepFields; `all` is the message as it came.
KEEP_FIELDS: Final = ("priority", "version", "timestamp", "hostname")
KEEP_ALL: Final = frozenset({"all"})

_PRIORITY: Final = re.compile(rb"<([0-9]{1,3})>")
# A host as Flume takes it, or an IPv6 address: more would take a tag such as `su:` for one.
_HOST: Final = rb"[0-9A-Za-z_][0-9A-Za-z_.@-]*|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*"
_RFC3164: Final = re.compile(
    rb"<([0-9]{1,3})>([0-9])?\s?([A-Z][a-z][a-z]\s{1,2}[0-9]{1,2}\s[0-9]{2}:[0-9]{2}:[0-9]{2})\s(" + _HOST + rb")\s"
)
# Where there is a version there must be a host too, and it may be of any characters.
_RFC5424: Final = re.compile(
    rb"<([0-9]{1,3})>(?:([0-9])\s?|\s?)"
    rb"(?:([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})?|-)\s"
    rb"((?(2)[!-~]+|(?:" + _HOST + rb"|-)))\s"
)


class SyslogParser:
    """Parses messages one by one; nothing of one shows in the next.

    `zone` is that of timestamps without one (None: this machine's). `keep` is a subset of KEEP_FIELDS, or KEEP_ALL.

    As Flume's syslog sources: the headers `Facility` and `Severity` always; `priority`, `version`, `timestamp` (epoch
    ms) and `host` where the message has them; the body is what follows the host, byte for byte. A message without a
    priority is `Invalid`, its body all of it. One with a priority but of neither form has no status, its body all of it
    too. Where nothing follows the host, the body is the whole message. RFC 5424's further words stay in the body, and
    come also as headers (parsers/syslog_structured.py).
    """

    def __init__(
        self,
        *,
        zone: tzinfo | None = None,
        keep: Set[str] = frozenset(),
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._stamps = StampReader(zone, now_s)
        self._keep_all = "all" in keep
        self._keep = frozenset(keep) - KEEP_ALL
        self._priorities: dict[bytes, tuple[str, str, str]] = {}  # at most 1,110: one to three digits

    def parse(self, message: bytes, cut: bool = False) -> Event:
        """The event of a whole message, or with `cut` of the beginning of one, which is marked Incomplete."""
        match = _RFC3164.match(message)
        if match is not None:
            number, version, stamp, host = match.groups()
            timestamp = self._stamps.rfc3164(stamp)
        else:
            match = _RFC5424.match(message)
            if match is None:
                return self._without_form(message, cut)
            number, version, stamp, fraction, offset, host = match.groups()
            timestamp = self._stamps.rfc5424(stamp, fraction, offset) if stamp is not None else None
            if host == b"-":
                host = None
        facility, severity, priority = self._priorities.get(number) or self._priority(number)
        headers = {"Facility": facility, "Severity": severity, "priority": priority}
        if version is not None:
            headers["version"] = version.decode()
        if timestamp is not None:
            headers["timestamp"] = timestamp
        if host is not None:
            headers["host"] = host.decode()
        end = match.end()
        if version is not None and match.re is _RFC5424:
            headers.update(structured_headers(message[end:]))
        if cut:
            headers[STATUS] = INCOMPLETE
        if self._keep_all or end == len(message):
            return Event(headers, message)
        if self._keep:
            return Event(headers, self._kept(match) + message[end:])
        return Event(headers, message[end:])

    def remainder(self, piece: bytes) -> Event:
        """The event of what follows the beginning of a message that was cut: Invalid, as Flume has it."""
        return Event({"Facility": "0", "Severity": "0", STATUS: INVALID}, piece)

    def _without_form(self, message: bytes, cut: bool) -> Event:
        match = _PRIORITY.match(message)
        if match is None:
            return self.remainder(message)
        facility, severity, _ = self._priority(match[1])
        headers = {"Facility": facility, "Severity": severity}
        if cut:
            headers[STATUS] = INCOMPLETE
        return Event(headers, message)

    def _priority(self, number: bytes) -> tuple[str, str, str]:
        facility, severity = divmod(int(number), 8)
        told = self._priorities[number] = (str(facility), str(severity), number.decode())
        return told

    def _kept(self, match: re.Match[bytes]) -> bytes:
        """What of the beginning stays in the body, in its order; `-` for what the message does not tell."""
        number, version, *_, host = match.groups()
        kept = b"<" + number + b">" if "priority" in self._keep else b""
        if version is not None and "version" in self._keep:
            kept += version + b" "
        if "timestamp" in self._keep:
            start, end = match.start(3), match.start(match.re.groups) - 1
            kept += (match.string[start:end] if match[3] is not None else b"-") + b" "
        if "hostname" in self._keep:
            kept += host + b" "
        return kept
