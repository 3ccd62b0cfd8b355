"""Why `make run` does not start, or ends early.

LauncherError
├── AlreadyRunning    another launcher owns this directory; operator: stop that one, the message has its pid
├── PortTaken         somebody else listens where the web is to be; operator: `make run WEB_PORT=<another>`
├── BrokerMissing     the embedded broker is not installed; operator: `make run` installs it
└── ChildEnded        broker or worker ended by itself, or did not come up; the message quotes the end of its log
"""

from __future__ import annotations


class LauncherError(Exception):
    """What stops the launcher; the message is for the person at the terminal."""


class AlreadyRunning(LauncherError):
    """Another launcher runs on the same directory; nothing was started."""


class PortTaken(LauncherError):
    """The web's port is in use; nothing was started."""


class BrokerMissing(LauncherError):
    """The package with the broker's binary is not installed; nothing was started."""


class ChildEnded(LauncherError):
    """Broker or worker is not running any more, though nobody asked it to stop."""
