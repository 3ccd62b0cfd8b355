"""`dead-letters`: the newest records that should have been parsed and could not be."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from faust.cli import option

from app.dead_letter import DeadLetter, newest_dead_letters
from app.errors import TopicMissing
from app.services import Services
from app.shell import USAGE, WELL, ShellCommand, escaped, json_option

N_MAX = 1000
BODY_SHOWN_CHARACTERS = 500


def register(app: Any, services: Services) -> None:
    """Add the command."""

    class dead_letters(ShellCommand):
        """The newest dead letters, newest first: why each could not be parsed, and its line.

        Exit status: 0 they were listed (none is well, too), 3 no broker answers.
        """

        options = [  # noqa: RUF012
            option("-n", "n", type=int, default=20, show_default=True, help=f"How many, at most {N_MAX}."),
            json_option,
        ]

        async def answer(self, **options: Any) -> int:
            n: int = options["n"]
            if not 1 <= n <= N_MAX:
                self.fail(f"-n {n}: must be from 1 to {N_MAX}")
                return USAGE
            try:
                letters = await newest_dead_letters(self.services.brokers, n)
            except TopicMissing:
                letters = []
            if self.as_json:
                self.show_json([letter.json() for letter in letters])
            else:
                for letter in letters:
                    self.show(_text(letter))
                self.show(f"{len(letters)} dead letters" if letters else "No dead letters.")
            return WELL

    dead_letters.services = services


def _text(letter: DeadLetter) -> str:
    at = datetime.fromtimestamp(letter.ts_ms / 1000, timezone.utc).isoformat(timespec="milliseconds")
    headers = " ".join(f"{escaped(name)}={escaped(value, 80)}" for name, value in letter.headers.items())
    body = escaped(letter.body.decode("utf-8", "replace"), BODY_SHOWN_CHARACTERS)
    return "\n".join(
        [
            f"{at.replace('+00:00', 'Z')}  raw-log {escaped(letter.raw)}  {escaped(letter.reason)}",
            f"    {escaped(letter.error, 300)}",
            *([f"    {headers}"] if headers else []),
            f"    {body}",
            "",
        ]
    )
