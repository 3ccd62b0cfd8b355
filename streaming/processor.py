"""What the exactly-once layer asks of the work that it commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from streaming.store import Reader


class Outcome(Protocol):
    """What processing a batch asks to be committed: rows for other topics, and changes of the state (None deletes)."""

    @property
    def forwards(self) -> Sequence[Any]: ...
    @property
    def changes(self) -> dict[bytes, bytes | None]: ...


class Rewind(Protocol):
    """Where a rebuild has to start, and what of the state goes first."""

    @property
    def start_offset(self) -> int: ...
    @property
    def changes(self) -> dict[bytes, bytes | None]: ...


O_co = TypeVar("O_co", bound=Any, covariant=True)


class Processor(Protocol[O_co]):
    """The work itself, for one partition: pure but for reading the state that was handed in. Called from one thread."""

    def process(self, records: Sequence[Any], forward_from: int) -> O_co:
        """Work on records in offset order; outputs only for offsets >= forward_from."""

    def discard(self) -> None:
        """Forget everything that the reader does not have."""

    def rewind(self, offset: int, log_start: int) -> Rewind:
        """Prepare to work again from `offset` with the same result as the first time."""


ProcessorFactory = Callable[[int, Reader], Processor[Any]]
