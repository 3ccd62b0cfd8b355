"""`verify`: reads the history and compares it with what Kafka has."""

from __future__ import annotations

import asyncio
from typing import Any

from app.history import open_storage
from app.services import Services
from app.shell import NOT_WELL, WELL, ShellCommand, json_option, table
from app.topics import RAW_LOG
from sinks.errors import SinkError
from sinks.history.commit import CommitLog


def register(app: Any, services: Services) -> None:
    """Add the command."""

    class verify(ShellCommand):
        """Read the history's commit records and compare them with Kafka.

        Exit status: 0 nothing is missing, 1 something is, or the history can't be read, 3 no broker answers.
        """

        options = [json_option]  # noqa: RUF012

        async def answer(self, **_options: Any) -> int:
            positions = await self.services.brokers.positions(f"{self.services.settings.app_id}-history", RAW_LOG)
            storage = open_storage(self.services.settings.history)
            rows: list[list[object]] = []
            lost = 0
            try:
                for partition, at in positions.items():
                    newest = await asyncio.to_thread(CommitLog(storage, RAW_LOG, partition).newest)
                    written = None if newest is None else newest.last + 1
                    gone = max(0, at.begin - (at.begin if written is None else written))
                    lost += gone
                    rows.append([partition, written, at.committed, at.begin, at.end, gone])
            except SinkError as exc:
                self.fail(f"{self.services.settings.history}: {exc}")
                return NOT_WELL
            finally:
                await asyncio.to_thread(storage.close)
            if self.as_json:
                names = ("partition", "written", "committed", "begin", "end", "gone")
                self.show_json([dict(zip(names, row, strict=True)) for row in rows])
            else:
                self.show(table(["PARTITION", "WRITTEN TO", "COMMITTED", "KAFKA FROM", "KAFKA TO", "GONE"], rows))
            return NOT_WELL if lost else WELL

    verify.services = services
