"""The embedded broker's command, and whether one runs already."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess

import pytest

from deploy.embedded.broker import broker_command, process_on, size_of
from deploy.embedded.errors import BrokerMissing
from tests.support.polling import wait_until


def test_the_binary_itself_is_run_with_nothing_but_kafka(tmp_path):
    command = broker_command(tmp_path / "data", 20_000)
    assert os.access(command[0], os.X_OK)
    assert command[1:] == ["start", "--data-dir", str(tmp_path / "data"), "--only", "kafka", "--kafka-port", "20000"]


def test_a_missing_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BrokerMissing, match="make run"):
        broker_command(tmp_path, 1)


def test_what_the_control_file_names_counts_only_if_it_is_a_broker(tmp_path):
    assert process_on(tmp_path) is None
    control = tmp_path / "noida.control.json"
    for content in ("", "[]", '{"pid": "x"}', json.dumps({"pid": os.getpid()}), json.dumps({"pid": 2**22 + 1})):
        control.write_text(content)
        assert process_on(tmp_path) is None, content
    # A process of that name: what comm says is the file's name.
    binary = tmp_path / "noida-db"
    binary.symlink_to(os.path.realpath("/bin/sleep"))
    process = subprocess.Popen([str(binary), "60"])
    try:
        control.write_text(json.dumps({"pid": process.pid}))
        # Popen returns when exec can't fail any more; the name comes a moment later.
        assert wait_until(lambda: process_on(tmp_path), 10, "the process to have its name") == process.pid
    finally:
        process.kill()
        process.wait()
    assert process_on(tmp_path) is None


def test_the_size_of_the_copy_on_disk(tmp_path):
    assert size_of(tmp_path) == 0
    (tmp_path / "kafka.json").write_bytes(b"x" * 10)
    assert size_of(tmp_path) == 10
