"""`faust -A app routes`: which logs go to real-time monitoring, and what becomes of them."""

from __future__ import annotations

from typing import Any

from app.services import Services
from app.shell import WELL, ShellCommand, escaped, json_option, table
from config.routes import BusinessRoute, Routes


def register(app: Any, services: Services) -> None:
    """Add the command."""

    class routes(ShellCommand):
        """The routes in force: which logs are monitored, how they are read, their topics, windows and figures.

        Exit status: 0. A routes file that is wrong is said before any command runs, and nothing starts.
        """

        options = [json_option]  # noqa: RUF012

        async def answer(self, **_options: Any) -> int:
            if self.as_json:
                self.show_json(as_object(self.services.routes))
            else:
                self.show(as_text(self.services.routes))
            return WELL

    routes.services = services


def as_object(routes: Routes) -> dict[str, Any]:
    """The routes for programs. `table` is the path of the windows under the web address."""
    access_log = None
    if routes.access_log is not None:
        access_log = {
            "type": "access_log",
            "patterns": list(routes.access_log.patterns),
            "tomcat": routes.access_log.tomcat,
            "topic": routes.access_log.topic,
            "table": "/api/access",
        }
    return {
        "file": str(routes.path),
        "access_log": access_log,
        "business": [_business_object(route) for route in routes.business],
    }


def _business_object(route: BusinessRoute) -> dict[str, Any]:
    return {
        "name": route.name,
        "type": "business",
        "logger": route.logger,
        "format": route.format,
        "regex": route.regex,
        "timestamp": route.timestamp,
        "fields": dict(route.fields),
        "keep": route.keep,
        "group_by": list(route.group_by),
        "metrics": {metric.name: {metric.kind: metric.field} for metric in route.metrics},
        "topic": route.topic,
        "table": f"/api/business/{route.name}",
    }


def as_text(routes: Routes) -> str:
    """The routes for people: a line a route, then the file that they are from."""
    rows = []
    if routes.access_log is not None:
        patterns = " or ".join(routes.access_log.patterns)
        parsed = f"{patterns}, Tomcat {routes.access_log.tomcat:g}"
        figures = "requests, bytes, status, latency; by service and host"
        rows.append(("type=access_log", parsed, routes.access_log.topic, "/api/access", figures))
    rows.extend(
        (f"logger={route.logger}", _parsed(route), route.topic, f"/api/business/{route.name}", _figures(route))
        for route in routes.business
    )
    shown = table(["LOG", "READ AS", "TOPIC", "TABLE", "FIGURES"], rows) if rows else "No log is monitored."
    return f"{shown}\n\nfrom {escaped(str(routes.path))}"


def _parsed(route: BusinessRoute) -> str:
    pattern = f" {route.regex}" if route.regex else ""
    fields = ", ".join(f"{name} {field_type}" for name, field_type in route.fields.items())
    others = ", all others" if route.keep == "all" else ""
    time = f", time from {route.timestamp}" if route.timestamp else ""
    return f"{route.format}{pattern}: {fields}{others}{time}"


def _figures(route: BusinessRoute) -> str:
    metrics = [f"{metric.name} = {metric.kind} of {metric.field}" for metric in route.metrics]
    grouped = f"; by {', '.join(route.group_by)}" if route.group_by else ""
    return ", ".join(["count", *metrics]) + grouped
