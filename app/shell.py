"""What the shell commands have in common: options, exit statuses, text that is safe to print, aligned tables."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

import orjson
from faust.cli import AppCommand, option

from app.errors import AppError, BrokersUnavailable
from app.services import Services
from config.wording import printable

WELL = 0
NOT_WELL = 1
USAGE = 2
NO_BROKERS = 3
INTERRUPTED = 130

json_option = option("--json", "as_json", is_flag=True, default=False, help="Machine-readable output, one JSON value.")


class ShellCommand(AppCommand):
    """A one-shot command that asks Kafka and the history, never a worker's web.

    `answer` prints and returns the exit status. Brokers that can't be reached are one line on stderr and status 3.
    """

    abstract: ClassVar[bool] = True
    services: ClassVar[Services]
    as_json: bool = False  # whether --json was given, before or after the command's name

    async def answer(self, **options: Any) -> int:
        """What the command does."""
        raise NotImplementedError

    def __call__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Run it in an event loop of its own; Faust's worker around commands would hide the exit status."""
        if not self.debug:
            logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says, our one line says better
        options = dict(self.kwargs)
        self.as_json = bool(options.pop("as_json", False)) or self.json
        try:
            sys.exit(asyncio.run(self._run(options)))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    async def _run(self, options: dict[str, Any]) -> int:
        try:
            return await self.answer(**options)
        except BrokersUnavailable as exc:
            self.fail(str(exc))
            return NO_BROKERS
        except AppError as exc:
            self.fail(str(exc))
            return NOT_WELL
        finally:
            await self.services.brokers.close()

    def show(self, text: str = "") -> None:
        """Print to stdout, whatever characters the terminal knows."""
        _write(sys.stdout, text)

    def fail(self, text: str) -> None:
        """Say on stderr, in one line, why it is not well."""
        _write(sys.stderr, escaped(text))

    def show_json(self, value: Any) -> None:
        """Print one JSON value."""
        self.show(orjson.dumps(plain(value), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def _write(stream: Any, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def escaped(text: str, at_most: int | None = None) -> str:
    """Text so that it can do nothing to a terminal: control, bidi and unknown characters as \\xNN, \\uNNNN."""
    if at_most is not None and len(text) > at_most:
        text = text[: at_most - 1] + "…"
    return printable(text)


def plain(value: Any) -> Any:
    """A JSON value without text that UTF-8 has no place for: lone surrogates become `?`."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {plain(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns, numbers to the right; cells are escaped."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(len(header), *(len(row[i]) for row in cells), 0) for i, header in enumerate(headers)]
    right = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(headers))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip()

    return "\n".join([line(headers), *(line(row) for row in cells)])


def _is_number(cell: object) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))


def _cell(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.1f}"
    return escaped(str(cell))
