"""`/health`: is this worker well. `/ready`: may work be sent to it."""

from __future__ import annotations

import asyncio
from typing import Any

from faust.web import Request

from app.answers import Answer, json_answer, page
from app.errors import BrokersUnavailable
from app.fresh import Fresh
from app.health import Check, HealthReport
from app.services import Services

BROKERS_TIMEOUT_S = 2.5  # a probe that waits longer is answered for by whoever probes


def register(app: Any, services: Services) -> None:
    """Add both views. They answer at once, whatever the worker is doing; /ready waits for the brokers a moment."""
    brokers = Fresh(lambda: _brokers(services))

    @page(app, "/health", "health")
    async def health(_request: Request) -> Answer:
        """200 while the process works as far as it can; 503 when only a restart will help."""
        report = services.health()
        return json_answer(report.json(ok=report.well), 200 if report.well else 503)

    @page(app, "/ready", "ready")
    async def ready(_request: Request) -> Answer:
        """200 when brokers are reachable, partitions assigned and tables recovered; else 503 and what is missing."""
        report = HealthReport([await brokers.get(), *services.health().checks])
        return json_answer(report.json(ok=report.ready), 200 if report.ready else 503)


async def _brokers(services: Services) -> Check:
    try:
        await asyncio.wait_for(services.brokers.topics(), BROKERS_TIMEOUT_S)
    except BrokersUnavailable as exc:
        return Check("brokers", False, str(exc))
    except asyncio.TimeoutError:
        return Check("brokers", False, f"no answer in {BROKERS_TIMEOUT_S:g} s")
    return Check("brokers", True, f"reachable: {';'.join(services.brokers.servers)}")
