"""`/`: the first page, and the files that it is made of."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import orjson
from faust.web import Request

from app.answers import Answer, page
from app.services import Services

STATIC = Path(__file__).with_name("static")
CONTENT_TYPES = {
    "dashboard.js": "text/javascript; charset=utf-8",
    "dashboard.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
# Nothing inline and nothing from elsewhere: what a log line brings into the page can't run, whatever it is.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}


def register(app: Any, services: Services) -> None:
    """Add the page and its files, read once here; the page gets its numbers from the API every second."""
    shell = (STATIC / "dashboard.html").read_text("utf-8")
    first_page = shell.replace("{{settings}}", html.escape(_settings(services), quote=True)).encode()

    @page(app, "/", "dashboard")
    async def dashboard(_request: Request) -> Answer:
        """The dashboard."""
        return Answer(first_page, "text/html; charset=utf-8", headers=PAGE_HEADERS)

    for file in CONTENT_TYPES:
        _register_file(app, file)


def _register_file(app: Any, file: str) -> None:
    answer = Answer((STATIC / file).read_bytes(), CONTENT_TYPES[file], headers={"Cache-Control": "no-cache"})

    @page(app, f"/static/{file}", f"static-{file}")
    async def static(_request: Request) -> Answer:
        """A file of the dashboard."""
        return answer


def _settings(services: Services) -> str:
    """What the page must know to ask and to label: JSON."""
    return orjson.dumps(
        {
            "window_s": services.settings.window_s,
            "retention_s": services.settings.retention_s,
            "app_id": services.settings.app_id,
            "version": services.version,
            "business": [
                {
                    "name": route.name,
                    "group_by": list(route.group_by),
                    "metrics": [{"name": metric.name, "kind": metric.kind} for metric in route.metrics],
                }
                for route in services.routes.business
            ],
        }
    ).decode()
