"""Whether a worker is well and whether it is ready: named checks, each with what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so. `vital`: without it the worker is not well, and no waiting will help."""

    name: str
    ok: bool
    detail: str = ""  # one line: what is missing, or what there is
    vital: bool = False


@dataclass(frozen=True, slots=True)
class HealthReport:
    """All checks of a worker. Ready is every one; well is every vital one."""

    checks: Sequence[Check]

    @property
    def well(self) -> bool:
        """Whether the process works as far as it can: a supervisor should leave it alone."""
        return all(check.ok for check in self.checks if check.vital)

    @property
    def ready(self) -> bool:
        """Whether work may be sent here."""
        return all(check.ok for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        """One line for each check that fails."""
        return [
            f"{check.name}: {check.detail}" if check.detail else check.name for check in self.checks if not check.ok
        ]

    def json(self, *, ok: bool) -> dict[str, Any]:
        """For /health and /ready; `ok` is what the answer's status says."""
        return {
            "status": "ok" if ok else "unavailable",
            "reasons": self.reasons,
            "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in self.checks},
        }
