"""History on HDFS over WebHDFS, by way of the `hdfs` package and several NameNodes."""

from __future__ import annotations

import getpass
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from hdfs import HdfsError, InsecureClient

from sinks.history.errors import SinkError, StorageDenied, StorageFull, StorageRefused, StorageUnavailable
from sinks.history.storage import Body, Entry
from sinks.history.webhdfs_session import PASSED_OVER, NameNodeSession

# Connecting, and also sending a block of a body: a DataNode's disk may stall for some seconds. Then the time to the
# answer: a DataNode answers an upload when its pipeline has it all, a NameNode at once unless it collects garbage.
_CONNECT_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 60.0
_CHUNK_BYTES = 1 << 20

_MISSING = {"FileNotFoundException"}
_DENIED = {
    "AccessControlException",
    "AuthenticationException",
    "AuthorizationException",
    "InvalidToken",
    "SecurityException",
}
_FULL = {
    "DSQuotaExceededException",
    "DiskOutOfSpaceException",
    "NSQuotaExceededException",
    "QuotaByStorageTypeExceededException",
    "QuotaExceededException",
}
_REFUSED = {
    "FileAlreadyExistsException",
    "IllegalArgumentException",
    "InvalidPathException",
    "MaxDirectoryItemsExceededException",
    "ParentNotDirectoryException",
    "PathComponentTooLongException",
    "PathIsNotDirectoryException",
    "UnsupportedOperationException",
}


class WebHdfsStorage:
    """Files under a directory of HDFS.

    A NameNode that is standby, starting, or does not answer as one is passed over for the next one, in each call; the
    one that took a call is asked first the next time, by every thread. An error tells what each of them said. Every
    request has a timeout. Each thread has a connection of its own. Round trips a call: `write` 2, all others 1
    (`entries` 2 where there is exactly one entry).

    `name_nodes` are URLs such as http://nn1:9870. The user is the one that HDFS checks rights of; without one it is
    HADOOP_USER_NAME, or whoever runs the process.
    """

    def __init__(
        self,
        name_nodes: list[str],
        root: str,
        user: str | None = None,
        timeout_s: tuple[float, float] = (_CONNECT_TIMEOUT_S, _ANSWER_TIMEOUT_S),
    ) -> None:
        if "#LATEST" in root:
            raise ValueError(f"the history's path {root!r} contains #LATEST, which the client would replace")
        # Each once: with one of them twice the client would look for ever for one that it has not tried.
        self._name_nodes = list(dict.fromkeys(url.rstrip("/") for url in name_nodes))
        self._root = root.rstrip("/")
        self._user = user or os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
        # It has a line at INFO for each request, and one at WARNING for what our errors tell.
        logging.getLogger("hdfs.client").setLevel(logging.ERROR)
        self._session = NameNodeSession(self._name_nodes)
        self._client = InsecureClient(
            ";".join(self._name_nodes), user=self._user, timeout=timeout_s, session=self._session
        )

    def __repr__(self) -> str:
        return f"WebHdfsStorage({';'.join(self._name_nodes)}{self._root}, user={self._user})"

    def write(self, path: str, body: Body) -> None:
        """Creates a file; when this returns, all DataNodes of its pipeline have it."""
        with self._translated(path) as client:
            client.write(self._path(path), data=body if len(body) else b"", overwrite=False)

    def rename(self, source: str, target: str) -> None:
        """Moves a file. HDFS says false to a refused rename, which the client raises."""
        with self._translated(target) as client:
            client.rename(self._path(source), self._path(target))

    def make_directory(self, path: str) -> None:
        """Makes a directory and those above it."""
        with self._translated(path) as client:
            client.makedirs(self._path(path))

    def entries(self, path: str) -> list[Entry]:
        """What is in a directory."""
        with self._translated(path) as client:
            try:
                listing = client.list(self._path(path), status=True)
            except HdfsError as error:
                if error.exception in _MISSING:
                    return []
                raise
        return [Entry(name, status["length"], status["type"] == "DIRECTORY") for name, status in listing]

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory of that path."""
        with self._translated(path) as client:
            try:
                client.status(self._path(path))  # its strict=False takes every error for a missing file
            except HdfsError as error:
                if error.exception in _MISSING:
                    return False
                raise
        return True

    def read(self, path: str) -> bytes | None:
        """The content of a file, None where it does not exist."""
        with self._translated(path) as client:
            try:
                with client.read(self._path(path), chunk_size=_CHUNK_BYTES) as chunks:
                    return b"".join(chunks)
            except HdfsError as error:
                if error.exception in _MISSING:
                    return None
                raise

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of a file in chunks of 1 MiB."""
        with (
            self._translated(path) as client,
            client.read(self._path(path), chunk_size=_CHUNK_BYTES) as chunks,
        ):
            yield from chunks

    def delete(self, path: str) -> None:
        """Removes a file or a tree, without the trash."""
        with self._translated(path) as client:
            client.delete(self._path(path), recursive=True)  # False says that there was nothing: fine

    def close(self) -> None:
        """Closes the connections of all threads."""
        self._session.close()

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _translated(self, path: str) -> Iterator[Any]:
        self._session.begin_call()
        try:
            yield self._client
        except SinkError:
            raise
        except HdfsError as error:
            raise self._sink_error(path, error) from error
        except (requests.RequestException, OSError) as error:
            raise StorageUnavailable(f"{self!r} {path}: {self._session.passed_over() or error}") from error
        except (LookupError, TypeError) as error:  # the client looks for something that WebHDFS always answers
            raise StorageUnavailable(f"{self!r} {path}: the answer is not WebHDFS's ({error!r} is missing)") from error

    def _sink_error(self, path: str, error: HdfsError) -> SinkError:
        first_line = str(error).partition("\n")[0]  # the rest is a Java stack trace
        if error.exception in PASSED_OVER:
            return StorageUnavailable(f"{self!r} {path}: {self._session.passed_over()}")
        message = f"{self!r} {path}: {error.exception or 'refused'}: {first_line}"
        if error.exception in _DENIED:
            return StorageDenied(message)
        if error.exception in _FULL:
            return StorageFull(message)
        if error.exception in _REFUSED or error.exception in _MISSING or first_line.startswith("Unable to rename"):
            return StorageRefused(message)
        return StorageUnavailable(message)
