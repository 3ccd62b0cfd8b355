"""Clients that post numbered events one after the other, each as a host of its own, and note every answer."""

from __future__ import annotations

import json
import threading
import time
from typing import NamedTuple

import requests
from aiokafka import ConsumerRecord

_PAUSE_S = 0.02
_TIMEOUT_S = 45.0


class Answer(NamedTuple):
    """One answer, or none: status 0."""

    host: str
    number: int
    status: int
    took_s: float
    at_s: float  # monotonic, when it came

    @property
    def began_s(self) -> float:
        """When it was asked for, monotonic."""
        return self.at_s - self.took_s


class NumberedClients:
    """So many clients of one worker, each a host that sends 0, 1, 2 ... and waits for every answer.

    What is not answered 200 is sent again until it is, or until `stop`; with `insist=False` never again.
    """

    def __init__(self, url: str, name: str, *, clients: int = 2, insist: bool = True) -> None:
        self.url = url
        self.hosts = [f"{name}-{number}" for number in range(clients)]
        self._insist = insist
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._threads = [threading.Thread(target=self._run, args=(host,), daemon=True) for host in self.hosts]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send nothing more; returns when every client has ended."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_S + 15)
            assert not thread.is_alive(), "a client did not end"

    @property
    def answers(self) -> list[Answer]:
        """All so far, as they came."""
        with self._lock:
            return list(self._answers)

    def acknowledged(self, host: str) -> list[int]:
        """The host's numbers that were answered 200."""
        return [each.number for each in self.answers if each.host == host and each.status == 200]

    def since(self, at_s: float) -> list[Answer]:
        """The answers that came later than that."""
        return [each for each in self.answers if each.at_s > at_s]

    def _run(self, host: str) -> None:
        number = 0
        with requests.Session() as session:
            session.trust_env = False
            while not self._stop.is_set():
                began_s = time.monotonic()
                status = self._post(session, host, number)
                now_s = time.monotonic()
                with self._lock:
                    self._answers.append(Answer(host, number, status, now_s - began_s, now_s))
                if status == 200 or not self._insist:
                    number += 1
                self._stop.wait(_PAUSE_S if status == 200 else 10 * _PAUSE_S)

    def _post(self, session: requests.Session, host: str, number: int) -> int:
        events = [{"headers": {"host": host, "type": "numbered"}, "body": str(number)}]
        try:
            return session.post(f"{self.url}/logCollect2", data=json.dumps(events), timeout=_TIMEOUT_S).status_code
        except requests.RequestException:
            return 0


def arrived(records: list[ConsumerRecord], host: str) -> list[int]:
    """The host's numbers in the order in which each came first."""
    return list(dict.fromkeys(int(record.value) for record in records if record.key == host.encode()))
