"""Every parser that reads what strangers send, by name."""

from __future__ import annotations

from tests.fuzz.lines import LINES
from tests.fuzz.requests import REQUESTS
from tests.fuzz.wire import WIRE

TARGETS = {target.name: target for target in (*REQUESTS, *LINES, *WIRE)}
