"""`replay`: rebuild the windows from an earlier point, or write the history again into another root."""

from __future__ import annotations

from typing import Any

from faust.cli import option

from app import replay_history, replay_monitor
from app.errors import BadRequest
from app.replay_from import parse
from app.services import Services
from app.shell import USAGE, ShellCommand, json_option


def register(app: Any, services: Services) -> None:
    """Add the command."""

    class replay(ShellCommand):
        """Read raw-log again from an earlier point.

        \b
        --group monitor   sets back the offsets of the stopped group: at its next start the windows are rebuilt, to
                          the same numbers; monitoring topics are written again only with --forward.
        --group history   writes the records into another root, in the foreground; the history itself is untouched.
                          Interrupted, the same command goes on where it was.

        \b
        --from takes: earliest | an offset | partition:offset,partition:offset | 2026-01-31T12:00:00Z | @1769860800

        Exit status: 0 done, 1 refused (the group is running, or the other root is in use), 2 wrong usage, 3 no broker
        answers.
        """

        options = [  # noqa: RUF012
            option("--group", "group", required=True, help="monitor or history."),
            option("--from", "start", default="earliest", show_default=True, help="Where to start."),
            option("--to", "end", default=None, help="history: where to end, as --from; now if not given."),
            option("--partition", "partitions", type=int, multiple=True, help="Only this partition; may be repeated."),
            option("--forward", is_flag=True, help="monitor: write the monitoring topics again, too."),
            option("--into", default=None, help="history: the other root, file://... or webhdfs://..."),
            option("--dry-run", "dry_run", is_flag=True, help="Say what would be done, and do nothing."),
            json_option,
        ]

        async def answer(self, **options: Any) -> int:
            group: str = options["group"]
            prefix = f"{self.services.settings.app_id}-"
            try:
                where = parse(options["start"])
                name = group.removeprefix(prefix)
                if name == "monitor":
                    _refuse(options, "history", "into", "end")
                    return await replay_monitor.run(self, where, options)
                if name == "history":
                    _refuse(options, "monitor", "forward")
                    return await replay_history.run(self, where, options)
                raise BadRequest(f"--group {group[:80]!r}: must be monitor or history")
            except BadRequest as exc:
                self.fail(str(exc))
                return USAGE

    replay.services = services


def _refuse(options: dict[str, Any], for_group: str, *names: str) -> None:
    for name in names:
        if options[name]:
            raise BadRequest(f"--{'to' if name == 'end' else name} is for --group {for_group} only")
