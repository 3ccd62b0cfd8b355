"""The end of a worker that cannot start, for a reason that is said in one line."""

from __future__ import annotations

from mode import Service

from streaming.errors import CannotStart


def end_worker(service: Service, why: Exception) -> None:
    """Stop the worker that `service` runs in, with exit status 1; its services are stopped in their order.

    `why` is the last line that is said (`streaming.worker`); mode's own way prints its stack twice.
    """
    root = service.beacon.root
    top = root.data if root is not None and isinstance(root.data, Service) else service
    top._crash(CannotStart(str(why)))
