"""`faust -A app worker`: Faust's own command, which says at its start what this worker is and talks to."""

from __future__ import annotations

import os
import platform
from typing import Any

from faust.cli.worker import worker as faust_worker

from app import compiled
from app.services import Services
from app.shell import escaped


def register(app: Any, services: Services) -> None:
    """Add the command, in place of Faust's."""

    class worker(faust_worker):
        """Start a worker; what it does is said by SLUICE_ROLES, the rest by `faust -A app settings`."""

        def banner(self, worker: Any) -> str:
            """Who this is, and where everything goes."""
            settings = services.settings
            rows = (
                ("Sluice", f"{services.version}, application {settings.app_id}"),
                ("roles", ", ".join(settings.roles)),
                ("web", str(self.app.web_server_url) if self.app.conf.web_enabled else "off"),
                ("kafka", settings.broker),
                ("history", str(settings.history) if "history" in settings.roles else "not of this worker"),
                ("routes", str(settings.routes)),
                ("state", str(settings.data_dir.absolute())),
                ("compiled", compiled.describe()),
                ("process", f"{os.getpid()}, Python {platform.python_version()}"),
            )
            return "\n".join(f"{name:>8}  {escaped(value)}" for name, value in rows)
