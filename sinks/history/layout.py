"""Where everything of a history lies: paths, the escaping of types, and whose time decides.

<root>/data/type=<type>/dt=YYYY-MM-DD/hour=HH/<topic>+<partition>+<first>+<last>.<format>[.gz|.zst]
<root>/_sluice/tmp/<topic>+<partition>/<key>+<upload id>/        files and commit record of one roll, before the commit
<root>/_sluice/commits/<topic>+<partition>/<key>.json            commit records, newest some
<root>/_sluice/archive/<topic>+<partition>/<key>+<key>.jsonl     commit records, all older ones, many in a file

Paths are relative to the root, POSIX. Offsets and keys have 20 digits, so that names sort as numbers do.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from sinks.history.codec import Compression

DATA = "data"
UPLOADS = "_sluice/tmp"
COMMITS = "_sluice/commits"
ARCHIVE = "_sluice/archive"

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
YEAR_2000_MS = 946_684_800_000
LAST_MS = 253_402_300_799_999  # the end of year 9999: a date has four digits for the year

NO_TYPE = "unknown"
# A path component holds 255 bytes at most, on HDFS as on ext4. An escaped type longer than this is cut and a hash of
# all of it appended, which makes it longer than this in turn: no cut type can meet one that was not cut.
_LONGEST_TYPE = 200
_SAFE = re.compile(rb"[A-Za-z0-9._-]+")
_UNSAFE = re.compile(rb"[^A-Za-z0-9._-]")

_SUFFIXES: dict[Compression, str] = {"gzip": ".gz", "zstd": ".zst", "none": ""}
_COMPRESSIONS = {suffix: name for name, suffix in _SUFFIXES.items()}
_DATA_FILE = re.compile(
    r"data/type=(?P<type>[A-Za-z0-9._%-]+)/dt=(?P<date>\d{4}-\d\d-\d\d)/hour=(?P<hour>[01]\d|2[0-3])/"
    r"(?P<topic>[A-Za-z0-9._-]+)\+(?P<partition>\d+)\+(?P<first>\d{20})\+(?P<last>\d{20})"
    r"\.(?P<format>[a-z]+)(?P<suffix>\.gz|\.zst|)"
)
_COMMIT_NAME = re.compile(r"(\d{20})\.json")
_UPLOAD_NAME = re.compile(r"(\d{20})\+[0-9a-f]+")
_ARCHIVE_NAME = re.compile(r"(\d{20})\+(\d{20})\.jsonl")
_PARTITION_NAME = re.compile(r"([A-Za-z0-9._-]+)\+(\d+)")


class Bucket(NamedTuple):
    """The directory of a record: its escaped type and the hour of its time, counted from the epoch."""

    type: str
    hour: int


class DataFile(NamedTuple):
    """What the path of a file under `data/` says."""

    path: str
    bucket: Bucket
    topic: str
    partition: int
    first: int
    last: int
    format: str
    compression: Compression


def escape_type(value: bytes | None) -> str:
    """The type header's bytes as a safe part of a directory name; absent or empty is `unknown`."""
    if not value:
        return NO_TYPE
    if len(value) <= _LONGEST_TYPE and _SAFE.fullmatch(value):
        return value.decode("ascii")
    escaped = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], value).decode("ascii")
    if len(escaped) <= _LONGEST_TYPE:
        return escaped
    cut = re.sub(r"%[0-9A-F]?\Z", "", escaped[:_LONGEST_TYPE])  # never in the middle of an escape
    digest = hashlib.sha256(value).hexdigest()[:32]
    return f"{cut}-{digest}"


def unescape_type(escaped: str) -> bytes:
    """The bytes of the type header; those of a type that was cut come without their end."""
    return unquote_to_bytes(escaped)


def record_time_ms(stamp: bytes | None, arrival_ms: int) -> int:
    """A record's time: its `timestamp` header where that is believable, else its arrival.

    Believable are 13 digits or fewer, between 2000 and one day after the arrival. Always within the years 1970 to 9999.
    """
    arrival_ms = min(max(arrival_ms, 0), LAST_MS)
    if stamp is not None and len(stamp) <= 13 and stamp.isdigit():
        stated_ms = int(stamp)
        if YEAR_2000_MS <= stated_ms <= min(arrival_ms + DAY_MS, LAST_MS):
            return stated_ms
    return arrival_ms


@lru_cache(maxsize=4096)
def directory(bucket: Bucket) -> str:
    """The directory of a bucket under the root."""
    at = datetime.fromtimestamp(bucket.hour * 3600, tz=timezone.utc)
    return f"{DATA}/type={bucket.type}/dt={at:%Y-%m-%d}/hour={at:%H}"


def data_path(
    bucket: Bucket, topic: str, partition: int, first: int, last: int, format_: str, compression: Compression
) -> str:
    """The final path of a bucket's file of the roll first..last."""
    name = f"{topic}+{partition}+{first:020d}+{last:020d}.{format_}{_SUFFIXES[compression]}"
    return f"{directory(bucket)}/{name}"


def parse_data_path(path: str) -> DataFile | None:
    """What a path under the root says, None if it is not one of ours."""
    found = _DATA_FILE.fullmatch(path)
    if found is None:
        return None
    try:
        day = datetime.strptime(found["date"], "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    bucket = Bucket(found["type"], int(day.timestamp()) // 3600 + int(found["hour"]))
    return DataFile(
        path,
        bucket,
        found["topic"],
        int(found["partition"]),
        int(found["first"]),
        int(found["last"]),
        found["format"],
        _COMPRESSIONS[found["suffix"]],
    )


def commits_directory(topic: str, partition: int) -> str:
    return f"{COMMITS}/{topic}+{partition}"


def commit_path(topic: str, partition: int, key: int) -> str:
    return f"{commits_directory(topic, partition)}/{key:020d}.json"


def parse_commit_name(name: str) -> int | None:
    """The key that a commit record is named by."""
    found = _COMMIT_NAME.fullmatch(name)
    return int(found[1]) if found else None


def uploads_directory(topic: str, partition: int) -> str:
    return f"{UPLOADS}/{topic}+{partition}"


def upload_name(key: int, upload: str) -> str:
    return f"{key:020d}+{upload}"


def parse_upload_name(name: str) -> int | None:
    """The key that an upload would be committed under."""
    found = _UPLOAD_NAME.fullmatch(name)
    return int(found[1]) if found else None


def archive_directory(topic: str, partition: int) -> str:
    return f"{ARCHIVE}/{topic}+{partition}"


def archive_name(first_key: int, last_key: int) -> str:
    return f"{first_key:020d}+{last_key:020d}.jsonl"


def parse_archive_name(name: str) -> tuple[int, int] | None:
    """The first and last key of the commit records in an archive file."""
    found = _ARCHIVE_NAME.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def parse_partition_name(name: str) -> tuple[str, int] | None:
    """Topic and partition of a directory under uploads, commits or archive."""
    found = _PARTITION_NAME.fullmatch(name)
    return (found[1], int(found[2])) if found else None
