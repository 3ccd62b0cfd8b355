"""The commit record: what one roll of a partition consists of. It is written before the commit and never changed."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

_VERSION = 1


class CommittedFile(NamedTuple):
    """One data file of a roll."""

    source: str  # where it was uploaded to
    target: str  # where it is renamed to
    bytes: int
    crc32: int  # of those bytes, compressed as they are
    rows: int
    first: int  # offset of the first row
    last: int


class CommitRecord(NamedTuple):
    """One roll: offsets first..last of a partition, all rows of which are in the files.

    `key` names the record: the offset after the last one of the roll before, 0 when there is none. So rolls follow on
    one another (`key` is `first` for all but the first roll), and two writers that start from the same roll, or both
    from none, want the same name. `rows` may be fewer than offsets: transactions and compaction leave holes.
    `lost` marks a range without files whose loss an operator has accepted, at `accepted_at_ms`, for the reason `why`.
    """

    topic: str
    partition: int
    key: int
    first: int
    last: int
    rows: int
    upload: str  # unique to the roll's upload: tells one's own record from another writer's
    writer: str  # host and process id, for people
    lost: bool
    files: tuple[CommittedFile, ...]
    accepted_at_ms: int = 0
    why: str = ""

    def to_json(self) -> bytes:
        """One line."""
        content: dict[str, Any] = {"version": _VERSION, **self._asdict()}
        content["files"] = [file._asdict() for file in self.files]
        if not self.lost:
            del content["accepted_at_ms"], content["why"]
        return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_json(cls, data: bytes) -> CommitRecord:
        """Reads a record back. Raises: ValueError when it is not one, or one of a later version."""
        try:
            content = orjson.loads(data)
            version = content.pop("version")
            if version != _VERSION:
                raise ValueError(f"commit record of version {version!r}, this Sluice knows {_VERSION}")
            files = tuple(CommittedFile(**file) for file in content.pop("files"))
            return cls(files=files, **content)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a commit record: {error}") from error
