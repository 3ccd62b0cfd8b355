"""The end of a worker that cannot start, for a reason that is said in one line."""

from __future__ import annotations

from mode import Service


def end_worker(service: Service) -> None:
    """Stop the worker that `service` runs in, with exit status 1; its services are stopped in their order.

    What went wrong is to be logged before: mode's own way prints the stack of it twice.
    """
    root = service.beacon.root
    top = root.data if root is not None and isinstance(root.data, Service) else service
    top._crash(SystemExit(1))
