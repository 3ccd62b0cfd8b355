"""`accept-gap`: a group whose next offsets Kafka no longer has goes on without them, and that is put on record."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from faust.cli import option

from app.brokers import Position
from app.errors import BadRequest, BrokersUnavailable, GroupRunning
from app.gaps import (
    Gap,
    accept_in_history,
    gaps_of,
    history_positions,
    monitor_positions,
    require_not_ahead,
    require_stopped,
)
from app.history import open_storage
from app.services import Services
from app.shell import NOT_WELL, USAGE, WELL, ShellCommand, json_option, table
from app.topics import RAW_LOG
from sinks.errors import SinkError

GROUPS = ("history", "monitor")
LONGEST_WHY = 1000


def register(app: Any, services: Services) -> None:
    """Add the command."""

    class accept_gap(ShellCommand):
        """Go on without records of raw-log that Kafka dropped before a group had read them.

        Such a partition stands still, and `status` says which offsets are gone. This names them, and for good:

        \b
        --group history   a commit record says that these offsets will never be in the history, since when and why;
                          `verify` reports them as an accepted gap.
        --group monitor   sets the stopped group's offset to the oldest record there is; the windows lack what is gone,
                          and `status` and `verify` list it.

        The group's workers have to be stopped. At a terminal it asks first, unless --yes is given.

        Exit status: 0 accepted, or nothing to accept, 1 refused (the group is running, or somebody said no) or the
        history can't be reached, 2 wrong usage, 3 no broker answers.
        """

        options = [  # noqa: RUF012
            option("--group", "group", required=True, help="monitor or history."),
            option("--partition", "partitions", type=int, multiple=True, help="Only this partition; may be repeated."),
            option("--why", default="", help="history: a few words for the record."),
            option("--yes", is_flag=True, help="Do not ask."),
            option("--dry-run", "dry_run", is_flag=True, help="Say what would be accepted, and do nothing."),
            json_option,
        ]

        async def answer(self, **options: Any) -> int:
            settings, brokers = self.services.settings, self.services.brokers
            try:
                name = _group(options, f"{settings.app_id}-")
                group = f"{settings.app_id}-{name}"
                await require_stopped(brokers, group)
                positions = _chosen(await brokers.positions(group, RAW_LOG), options["partitions"])
            except BadRequest as exc:
                self.fail(str(exc))
                return USAGE
            if name == "monitor":
                following = await monitor_positions(brokers, settings.app_id, positions)
                require_not_ahead(group, following, positions)
                return await self._settle(group, gaps_of(following, positions), self._accept_in_monitor, options)
            storage = open_storage(settings.history)
            try:
                following = await history_positions(storage, positions)
                require_not_ahead(group, following, positions)

                async def accept(gap: Gap) -> None:
                    await accept_in_history(storage, settings, gap, _why(options["why"]))
                    await self._follow_in_kafka(group, gap)

                return await self._settle(group, gaps_of(following, positions), accept, options)
            except SinkError as exc:
                self.fail(f"{settings.history}: {exc} (run the same command again to go on)")
                return NOT_WELL
            finally:
                await asyncio.to_thread(storage.close)

        async def _settle(self, group: str, gaps: Sequence[Gap], accept: Any, options: Mapping[str, Any]) -> int:
            """Show the gaps, and accept one after the other unless somebody minds."""
            accepted = bool(gaps) and not options["dry_run"]
            if accepted and not options["yes"] and sys.stdin.isatty() and not self._agreed(gaps):
                self.fail("nothing was accepted")
                return NOT_WELL
            if accepted:
                await require_stopped(self.services.brokers, group)  # while somebody thought it over
                for gap in gaps:
                    await accept(gap)
            if self.as_json:
                self.show_json(_json(group, gaps, accepted=accepted, dry_run=options["dry_run"]))
            else:
                self.show(_text(group, gaps, accepted=accepted))
            return WELL

        def _agreed(self, gaps: Sequence[Gap]) -> bool:
            for line in _table(gaps).splitlines():
                self.fail(line)
            offsets = sum(gap.begin - gap.next_offset for gap in gaps)
            self.fail(f"Go on without these {offsets:,} offsets, for good? [y/N]")
            return sys.stdin.readline().strip().lower() in ("y", "yes")

        async def _accept_in_monitor(self, gap: Gap) -> None:
            group = f"{self.services.settings.app_id}-monitor"
            await self.services.brokers.set_offsets(group, RAW_LOG, {gap.partition: gap.begin}, gap.metadata)

        async def _follow_in_kafka(self, group: str, gap: Gap) -> None:
            """Set the group's offset, which decides nothing for the history, but is what `lag` shows."""
            try:
                await self.services.brokers.set_offsets(group, RAW_LOG, {gap.partition: gap.begin}, gap.metadata)
            except (GroupRunning, BrokersUnavailable) as exc:
                self.fail(f"partition {gap.partition}: accepted, and left for the worker to tell Kafka: {exc}")

    accept_gap.services = services


def _group(options: Mapping[str, Any], prefix: str) -> str:
    name = str(options["group"]).removeprefix(prefix)
    if name not in GROUPS:
        raise BadRequest(f"--group {options['group'][:80]!r}: must be monitor or history")
    if options["why"] and name != "history":
        raise BadRequest("--why is for --group history only: Kafka keeps no words for it")
    return name


def _why(said: str) -> str:
    return said.encode("utf-8", "replace").decode()[:LONGEST_WHY] or "Kafka no longer has them"


def _chosen(positions: Mapping[int, Position], wanted: Sequence[int]) -> dict[int, Position]:
    unknown = sorted(set(wanted) - set(positions))
    if unknown:
        raise BadRequest(f"partition {unknown[0]}: {RAW_LOG} has partitions 0 to {max(positions)}")
    return {partition: at for partition, at in positions.items() if not wanted or partition in wanted}


def _table(gaps: Sequence[Gap]) -> str:
    rows = [[gap.partition, gap.next_offset, gap.last, gap.begin - gap.next_offset, gap.begin] for gap in gaps]
    return table(["PARTITION", "GONE FROM", "GONE TO", "OFFSETS", "GOES ON AT"], rows)


def _text(group: str, gaps: Sequence[Gap], *, accepted: bool) -> str:
    if not gaps:
        return f"Nothing to accept: Kafka has all that {group} reads next."
    said = (
        f"Accepted: at its next start {group} goes on behind them." if accepted else "A dry run, nothing was changed."
    )
    return f"{_table(gaps)}\n\n{said}"


def _json(group: str, gaps: Sequence[Gap], *, accepted: bool, dry_run: bool) -> dict[str, Any]:
    return {
        "group": group,
        "topic": RAW_LOG,
        "dry_run": dry_run,
        "accepted": accepted,
        "partitions": {
            str(gap.partition): {
                "first": gap.next_offset,
                "last": gap.last,
                "offsets": gap.begin - gap.next_offset,
                "goes_on_at": gap.begin,
            }
            for gap in gaps
        },
    }
