"""A real worker: `faust -A app worker` as a child process, with a web port and folders of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import requests

from deploy.cluster.process import LOCALHOST, ServiceProcess, free_port

ROOT = Path(__file__).parents[2]
READY_DEADLINE_S = 180.0
STOP_DEADLINE_S = 30.0  # what the contract grants a worker to drain and commit


class Worker:
    """One worker process that keeps its port and its data folder from `start` to `start`.

    Not started by the constructor. Not safe for concurrent use.
    """

    def __init__(
        self,
        directory: Path,
        *,
        broker: str,
        history: str | None = None,
        roles: str | Iterable[str] | None = None,
        app_id: str | None = None,
        settings: Mapping[str, object] | None = None,
        loglevel: str = "info",
        port: int | None = None,
    ) -> None:
        """`settings` are environment variables and win over all else; None for a value takes the variable away."""
        self.directory = directory
        self.port = port or free_port()
        self.data_dir = directory / "data"
        environment: dict[str, object] = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")},
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "SLUICE_BROKER": broker,
            "SLUICE_DATA_DIR": str(self.data_dir),
            "SLUICE_HISTORY": history if history is not None else f"file://{directory / 'history'}",
        }
        if roles is not None:
            environment["SLUICE_ROLES"] = roles if isinstance(roles, str) else ",".join(roles)
        if app_id is not None:
            environment["SLUICE_APP_ID"] = app_id
        environment.update(settings or {})
        self._process = ServiceProcess(
            directory.name,
            [
                *(sys.executable, "-m", "faust", "-A", "app", "worker", "-l", loglevel),
                *("--web-host", LOCALHOST, "--web-port", str(self.port)),
            ],
            directory / "worker.log",
            cwd=directory,
            environment={name: str(value) for name, value in environment.items() if value is not None},
        )

    @property
    def url(self) -> str:
        return f"http://{LOCALHOST}:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    @property
    def log(self) -> str:
        """All that it has logged, over all its starts."""
        path = self._process.log
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def start(self, *, ready: bool = True, deadline_s: float = READY_DEADLINE_S) -> Worker:
        """Start it and wait for `/ready`; with `ready=False`, only until the process exists.

        Raises: StartFailed with the end of its log when it ends or the deadline passes; it does not run then.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process.start()
        if ready:
            self.wait_ready(deadline_s)
        return self

    def wait_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Wait until `/ready` answers 200. Raises: StartFailed as `start` does."""
        self._process.wait_ready(self._why_not_ready, deadline_s)

    def wait_ended(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """Wait for it to end by itself and return its exit status. Raises: subprocess.TimeoutExpired."""
        return self._process.wait_ended(deadline_s)

    def get(self, path: str, **arguments: Any) -> requests.Response:
        """GET from its web server, redirects not followed."""
        return self.request("GET", path, **arguments)

    def get_json(self, path: str, **arguments: Any) -> Any:
        """GET that must answer 200, as JSON."""
        answer = self.get(path, **arguments)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def post(self, path: str, body: bytes | str, content_type: str, **headers: str) -> requests.Response:
        """POST a body; header names with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, data=body, headers={"Content-Type": content_type, **named})

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Any request; 30 s unless `timeout` is given."""
        with requests.Session() as session:
            session.trust_env = False  # a proxy has no way to 127.0.0.1
            return session.request(method, self.url + path, **{"timeout": 30, "allow_redirects": False, **arguments})

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """SIGTERM; asserts that it ends with exit status 0 within the deadline."""
        status = self._process.stop(deadline_s)
        assert status == 0, f"{self._process.name} ended with {status} on SIGTERM:\n{self.log_tail()}"

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and its place in the groups until the brokers give up on it."""
        self._process.pause()

    def cont(self) -> None:
        """SIGCONT after `pause`."""
        self._process.cont()

    def log_tail(self, lines: int = 60) -> str:
        """The end of its log."""
        return self._process.log_tail(lines)

    def _why_not_ready(self) -> str | None:
        try:
            answer = self.get("/ready", timeout=10)
        except requests.RequestException as error:
            return repr(error)
        return None if answer.status_code == 200 else f"{answer.status_code} {answer.text[:500]}"


class Workers:
    """Makes the workers of one test, and ends what is left of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.made: list[Worker] = []

    def __call__(self, *, start: bool = True, ready: bool = True, **arguments: Any) -> Worker:
        """A started and ready worker, unless told otherwise; the other arguments are Worker's."""
        worker = Worker(self._directory / f"worker-{len(self.made)}", **arguments)
        self.made.append(worker)
        return worker.start(ready=ready) if start else worker

    def kill(self) -> None:
        """SIGKILL to every one that still runs."""
        for worker in self.made:
            worker.kill()
