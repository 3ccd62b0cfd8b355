"""`/api/...`: windows of access and business logs, lag, flows and dead letters, as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from faust.web import Request

from app.answers import Answer, Query, json_answer, page
from app.cluster import merged_flows
from app.dead_letter import newest_dead_letters
from app.errors import TopicMissing
from app.fresh import Fresh
from app.lag import lag_json
from app.services import Services
from tables.access_query import TOP_BY, access_top, access_windows
from tables.business_query import business_windows

T = TypeVar("T")

DEAD_LETTERS_DEFAULT = 20
DEAD_LETTERS_MAX = 1000
ACCESS_BY = ("service", "none")
TOP_DEFAULT = 20
TOP_MAX = 1000
DEAD_LETTERS_MAX_AGE_S = 2.0


def register(app: Any, services: Services) -> None:
    """Add every view of the API."""
    _register_windows(app, services)
    _register_cluster(app, services)


def _register_windows(app: Any, services: Services) -> None:
    window_s, retention_s = services.settings.window_s, services.settings.retention_s
    business = {route.name: route for route in services.routes.business}

    @page(app, "/api/access", "access")
    async def access(request: Request) -> Answer:
        """Requests, bytes, statuses and latencies by window and service (`by=none`: of all together)."""
        query = Query(request)
        start_s, end_s = query.span()
        step_s = query.step(window_s)
        service, host = query.text("service"), query.text("host")
        by_service = query.choice("by", ACCESS_BY, ACCESS_BY[0]) == "service"
        windows = await _in_thread(
            lambda: access_windows(
                services.readers(),
                window_s=window_s,
                retention_s=retention_s,
                service=service,
                host=host,
                start_s=start_s,
                end_s=end_s,
                step_s=step_s,
                by_service=by_service,
            )
        )
        return json_answer({"window_s": window_s, "step_s": step_s, "windows": windows})

    @page(app, "/api/access/top", "access_top")
    async def top(request: Request) -> Answer:
        """The most requested, the slowest and the most failing paths of a span."""
        query = Query(request)
        start_s, end_s = query.span()
        by = query.choice("by", TOP_BY, TOP_BY[0])
        n = query.integer("n", TOP_DEFAULT, 1, TOP_MAX)
        service = query.text("service")
        found = await _in_thread(
            lambda: access_top(
                services.readers(),
                window_s=window_s,
                retention_s=retention_s,
                by=by,
                n=n,
                service=service,
                start_s=start_s,
                end_s=end_s,
            )
        )
        return json_answer(found)

    @page(app, "/api/business/{route}", "business")
    async def business_log(request: Request) -> Answer:
        """A business route's counts and metrics by window and group."""
        route = business.get(request.match_info["route"])
        if route is None:
            known = ", ".join(business) or "none"
            return json_answer({"error": f"there is no business route of this name; routes: {known}"}, 404)
        query = Query(request)
        start_s, end_s = query.span()
        step_s = query.step(window_s)
        windows = await _in_thread(
            lambda: business_windows(
                services.readers(),
                route,
                window_s=window_s,
                retention_s=retention_s,
                start_s=start_s,
                end_s=end_s,
                step_s=step_s,
            )
        )
        return json_answer({"window_s": window_s, "step_s": step_s, "windows": windows})


def _register_cluster(app: Any, services: Services) -> None:
    @page(app, "/api/lag", "lag")
    async def lag(_request: Request) -> Answer:
        """Where each group is and how far it is behind, asked of the brokers; 503 while they are away."""
        return json_answer(lag_json(await services.lag.get()))

    @page(app, "/api/flows", "flows")
    async def flows(_request: Request) -> Answer:
        """Sources, routes and destinations of all workers that are alive, and the workers."""
        workers = services.workers()
        return json_answer({**merged_flows(workers), "workers": [worker.json() for worker in workers]})

    letters: dict[int, Fresh[list[dict[str, Any]]]] = {}

    def asked(n: int) -> Fresh[list[dict[str, Any]]]:
        async def ask() -> list[dict[str, Any]]:
            try:
                return [letter.json() for letter in await newest_dead_letters(services.brokers, n)]
            except TopicMissing:
                return []  # nothing was ever refused

        if n not in letters:
            letters.clear()  # one size is asked for again and again, by the dashboard; others come and go
            letters[n] = Fresh(ask, DEAD_LETTERS_MAX_AGE_S)
        return letters[n]

    @page(app, "/api/dead-letters", "dead_letters")
    async def dead_letters(request: Request) -> Answer:
        """The newest records that should have been parsed and could not be, newest first."""
        n = Query(request).integer("n", DEAD_LETTERS_DEFAULT, 1, DEAD_LETTERS_MAX)
        return json_answer(await asked(n).get())


async def _in_thread(query: Callable[[], T]) -> T:
    """Windows of an hour over all partitions may be many: adding them up must not hold up what feeds them."""
    return await asyncio.get_running_loop().run_in_executor(None, query)
