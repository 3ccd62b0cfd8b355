"""Why `make demo` does not start, or gives up.

DemoError
├── NothingListens   nobody answers at the address; operator: `make run` in another terminal
└── NotSluice        somebody answers, but not as Sluice does; operator: another address
"""

from __future__ import annotations


class DemoError(Exception):
    """What ends the demo; the message is for the person at the terminal."""


class NothingListens(DemoError):
    """No connection; nothing was sent."""


class NotSluice(DemoError):
    """An answer that Sluice does not give; nothing was sent."""
