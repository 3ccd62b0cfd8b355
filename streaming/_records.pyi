from collections.abc import Sequence

def unpack(
    payload: bytes,
    count: int,
    base_offset: int,
    first_ms: int,
    append_ms: int,
    from_offset: int,
    known: dict[bytes, int],
    headers: list[tuple[tuple[str, bytes | None], ...]],
) -> tuple[Sequence[int], list[int], list[bytes | None], list[bytes | None], list[int]]: ...
def pack(
    keys: list[bytes | None],
    values: list[bytes | None],
    timestamps_ms: list[int],
    offsets: Sequence[int],
    name: bytes,
    prefix: bytes,
    at: int,
    room: int,
    max_bytes: int,
) -> tuple[bytearray, int, int, int]: ...
