from collections.abc import Callable

def scan(
    document: bytes, headers_of: Callable[[bytes], dict[str, str] | None]
) -> tuple[bytes, bytes, list[tuple[dict[str, str], int]]] | None: ...
