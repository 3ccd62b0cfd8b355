"""A handle on a real HDFS for tests, by way of the client that Sluice itself uses."""

from __future__ import annotations

import gzip
import json
import posixpath
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard
from hdfs import InsecureClient

from deploy.cluster.hdfs import SUPERUSER, Hdfs


class LiveHdfs:
    """`service` starts, stops and kills the servers; `client` is an InsecureClient as HDFS's superuser."""

    def __init__(self, service: Hdfs) -> None:
        self.service = service
        self.client = InsecureClient(service.url, user=SUPERUSER, timeout=30)

    @property
    def url(self) -> str:
        """Where WebHDFS answers, as HTTP."""
        return self.service.url

    def new_path(self) -> str:
        """A folder that no other test uses; not made yet."""
        return f"/tests/{uuid.uuid4().hex}"

    def history_url(self, path: str, user: str = SUPERUSER) -> str:
        """A folder as a value of SLUICE_HISTORY."""
        return self.service.history_url(path, user)

    def files(self, path: str) -> list[str]:
        """Paths of all files below a folder, sorted; empty where the folder does not exist."""
        if self.client.status(path, strict=False) is None:
            return []
        return sorted(posixpath.join(folder, name) for folder, _, names in self.client.walk(path) for name in names)

    def read(self, path: str) -> bytes:
        """A file's content, inflated by its suffix (`.gz`, `.zst`)."""
        with self.client.read(path) as reader:
            content: bytes = reader.read()
        return inflate(path, content)

    def records(self, path: str) -> list[dict[str, Any]]:
        """All records of the jsonl files in a history's `data/`, in the order of the files' names and lines."""
        return [
            json.loads(line)
            for file in self.files(posixpath.join(path, "data"))
            for line in self.read(file).splitlines()
        ]

    def close(self) -> None:
        """Close its connections; the servers stay as they are."""
        self.client._session.close()


def running(live: LiveHdfs, directory: Path, *data: str) -> Iterator[LiveHdfs]:
    """For a fixture: started, killed at the end. Folders of data go then, logs stay for who looks into a failure."""
    try:
        live.service.start()
        yield live
    finally:
        live.close()
        live.service.kill()
        for each in data:
            shutil.rmtree(directory / each, ignore_errors=True)


def inflate(name: str, content: bytes) -> bytes:
    """A history file's bytes by its suffix; several gzip members or zstd frames are read to the end."""
    if name.endswith(".gz"):
        return gzip.decompress(content)
    if name.endswith(".zst"):
        with zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True) as reader:
            return reader.read()
    return content
