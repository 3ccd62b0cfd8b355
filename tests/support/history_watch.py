"""Looks at a history in HDFS again and again while a test breaks things: no committed file ever changes."""

from __future__ import annotations

import posixpath
import threading
from typing import NamedTuple

import requests
from hdfs import HdfsError, InsecureClient

from deploy.cluster.hdfs import SUPERUSER
from tests.support.hdfs import LiveHdfs

_EVERY_S = 0.5


class Identity(NamedTuple):
    """What HDFS changes when a file does: a file that was deleted and written again has another id."""

    file_id: int
    length: int
    modified_ms: int


class HistoryWatch:
    """Notes every file under a root's `data/` twice a second, from its own thread, as far as HDFS answers."""

    def __init__(self, hdfs: LiveHdfs, root: str) -> None:
        self._client = InsecureClient(hdfs.url, user=SUPERUSER, timeout=5)
        self._data = posixpath.join(root, "data")
        self._stop = threading.Event()
        self._looking = threading.Lock()  # one look at a time: of two, the older may end last, and miss what is new
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._seen: dict[str, Identity] = {}
        self._problems: list[str] = []
        self.looks = 0

    def __enter__(self) -> HistoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the watch did not end"
        self._client._session.close()

    def judge(self) -> None:
        """Look once more, and assert that every file that was ever seen is as it was. HDFS must be there."""
        self._look()
        assert not self._problems, f"{len(self._problems)} files under data/ changed, such as {self._problems[:3]}"
        assert self._seen, "no file was ever seen"

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                self._look()
            except (HdfsError, requests.RequestException):
                continue  # away, or nothing committed yet

    def _look(self) -> None:
        with self._looking:
            files = self._files()
            for path, was in self._seen.items():
                if files.get(path) != was:
                    self._problems.append(f"{path}: was {was}, is {files.get(path)}")
            self._seen.update(files)
            self.looks += 1

    def _files(self) -> dict[str, Identity]:
        return {
            posixpath.join(folder, name): Identity(status["fileId"], status["length"], status["modificationTime"])
            for (folder, _), _, files in self._client.walk(self._data, status=True)
            for name, status in files
        }
