from collections.abc import Callable, Sequence
from typing import Any

Packed = tuple[list[str | None], bytes, bytes, bytes, bytes]

def bucket_of(value: float) -> int: ...
def count(
    packed: Packed,
    sources: Sequence[Any],
    first: int,
    find_source: Callable[[Any], Any],
    find_path: Callable[[Any], Any],
    most_ms: float,
) -> None: ...
