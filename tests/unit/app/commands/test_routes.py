"""What `routes` prints."""

from __future__ import annotations

import json
from pathlib import Path

from app.commands.routes import as_object, as_text
from config.routes import BusinessRoute, Metric, Routes, load
from config.settings import SHIPPED_ROUTES
from parsers.tomcat import compile_pattern

COMBINED_WITH_LATENCY = '%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i" %D'
SHIPPED = load(SHIPPED_ROUTES, check_pattern=compile_pattern)
HOSTILE = BusinessRoute(
    "pay", "\x1b[2J*", "regex", "(?P<a>\x07.)", None, {"a": "int"}, "all", (), (Metric("m", "max", "a"),)
)


def test_programs_get_every_route_with_its_topic_and_table() -> None:
    shown = as_object(SHIPPED)

    assert json.loads(json.dumps(shown)) == shown
    assert shown["file"] == str(SHIPPED_ROUTES)
    assert shown["access_log"] == {
        "type": "access_log",
        "patterns": ["combined", "common", COMBINED_WITH_LATENCY],
        "tomcat": 10.0,
        "topic": "access-log",
        "table": "/api/access",
    }
    assert shown["business"] == [
        {
            "name": "orders",
            "type": "business",
            "logger": "orders",
            "format": "json",
            "regex": None,
            "timestamp": "ts",
            "fields": {"order_id": "str", "status": "str", "amount": "float"},
            "keep": "listed",
            "group_by": ["status"],
            "metrics": {"revenue": {"sum": "amount"}, "amount": {"percentiles": "amount"}},
            "topic": "business-orders",
            "table": "/api/business/orders",
        }
    ]


def test_people_get_a_line_a_route_and_the_file() -> None:
    header, access_log, orders, blank, file = as_text(SHIPPED).splitlines()

    assert header.split("  ")[0] == "LOG"
    assert access_log.startswith(f"type=access_log  combined or common or {COMBINED_WITH_LATENCY}, Tomcat 10  ")
    assert "  access-log  " in access_log
    assert orders.startswith("logger=orders  ")
    assert "json: order_id str, status str, amount float, time from ts" in orders
    assert orders.endswith("count, revenue = sum of amount, amount = percentiles of amount; by status")
    assert (blank, file) == ("", f"from {SHIPPED_ROUTES}")


def test_an_empty_file_is_said_to_monitor_nothing() -> None:
    nothing = Routes(None, (), (), Path("/etc/routes.toml"))

    assert as_text(nothing) == "No log is monitored.\n\nfrom /etc/routes.toml"
    assert as_object(nothing) == {"file": "/etc/routes.toml", "access_log": None, "business": []}


def test_nothing_printed_moves_the_terminal() -> None:
    text = as_text(Routes(None, (HOSTILE,), (), Path("/\x1b[31m.toml")))

    assert all(line.isprintable() for line in text.splitlines())
    assert "logger=\\x1b[2J*" in text
    assert "regex (?P<a>\\x07.): a int, all others" in text
    assert text.endswith("from /\\x1b[31m.toml")
