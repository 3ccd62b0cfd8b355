"""`faust -A app settings`: every setting, its value and where it comes from."""

from __future__ import annotations

from typing import Any

from app.services import Services
from app.shell import WELL, ShellCommand, json_option, table
from config.settings import DECLARED, Settings


def register(app: Any, services: Services) -> None:
    """Add the command."""

    class settings(ShellCommand):
        """Every setting: its value, where that comes from, and what it means. Secrets are masked.

        Exit status: 0. Settings that are wrong are said before any command runs, and nothing starts.
        """

        options = [json_option]  # noqa: RUF012

        async def answer(self, **_options: Any) -> int:
            if self.as_json:
                self.show_json(as_objects(self.services.settings))
            else:
                self.show(as_text(self.services.settings))
            return WELL

    settings.services = services


def as_objects(settings: Settings) -> list[dict[str, Any]]:
    """Each setting for programs: numbers as numbers, `***` in place of a secret."""
    return [
        {
            "name": declaration.env,
            "value": declaration.exported(getattr(settings, attribute)),
            "source": _source(settings, declaration.env),
            "default": declaration.default_shown,
            "help": declaration.help,
        }
        for attribute, declaration in DECLARED.items()
    ]


def as_text(settings: Settings) -> str:
    """Each setting for people."""
    return table(
        ["NAME", "VALUE", "SOURCE", "MEANING"],
        [
            [
                declaration.env,
                declaration.shown(getattr(settings, attribute)),
                _source(settings, declaration.env),
                declaration.help,
            ]
            for attribute, declaration in DECLARED.items()
        ],
    )


def _source(settings: Settings, env: str) -> str:
    return "environment" if env in settings.given else "default"
