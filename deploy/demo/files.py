"""The log files of an instance, laid out as a Tomcat's `logs` directory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deploy.demo.clock_text import file_date
from deploy.demo.event import ACCESS_LOG, CATALINA, LogEvent


class LogFiles:
    """Appends to `<root>/<host>/logs/`: access log by date, catalina.out, a file for each business log."""

    def __init__(self, root: Path, host: str) -> None:
        self.directory = root / host / "logs"

    def append(self, events: Iterable[LogEvent]) -> None:
        """Write the events, in order, to the files they belong to. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        texts: dict[str, list[str]] = {}
        for event in events:
            texts.setdefault(_file_name(event), []).append(event.text)
        for name, lines in texts.items():
            with (self.directory / name).open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")


def _file_name(event: LogEvent) -> str:
    if event.type == ACCESS_LOG:
        return f"localhost_access_log.{file_date(event.at_s)}.txt"
    if event.type == CATALINA:
        return "catalina.out"
    return f"{event.logger}.log"
