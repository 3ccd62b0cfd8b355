"""What can be wrong with the configuration; all of it is found at start, and stops the start.

ConfigError             every problem that was found, one a line
├── SettingsError       fatal: a `SLUICE_*` environment variable; operator: mend the variables named
└── RoutesError         fatal: the routes file; operator: mend the lines named
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from config.wording import printable


class ConfigError(Exception):
    """The configuration cannot be used. `problems` are the lines of the message, each complete and printable."""

    retriable: ClassVar[bool] = False
    reason: ClassVar[str] = "config"

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(printable(problem) for problem in problems)
        super().__init__("\n".join(self.problems))


class SettingsError(ConfigError):
    """Environment variables are unknown or have values that are not allowed."""

    reason = "settings"


class RoutesError(ConfigError):
    """The routes file is missing, is not TOML, or says something that cannot be done."""

    reason = "routes"
