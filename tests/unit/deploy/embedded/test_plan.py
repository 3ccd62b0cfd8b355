"""What the launcher is to start, from the environment."""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings
from deploy.embedded.plan import CHECKOUT, Plan, shown


def plan(tmp_path: Path, **environment: str) -> Plan:
    return Plan(directory=tmp_path, web_port=7000, broker_port=9092, environment={"PATH": "x", **environment})


def test_the_worker_gets_this_broker_and_folders_below_the_directory(tmp_path):
    settings = Settings.from_env(plan(tmp_path).worker_environment(20_000))
    assert settings.broker == "kafka://127.0.0.1:20000"
    assert settings.data_dir == tmp_path / "worker"
    assert settings.history.directory == tmp_path / "history"
    assert plan(tmp_path).local_history == tmp_path / "history"


def test_what_the_environment_says_wins_but_not_for_the_broker(tmp_path):
    mine = plan(
        tmp_path,
        SLUICE_BROKER="kafka://far:9092",
        SLUICE_HISTORY="webhdfs://hdfs@namenode:9870/logs",
        SLUICE_DATA_DIR="/data/worker",
        SLUICE_WINDOW_S="5",
    )
    settings = Settings.from_env(mine.worker_environment(20_000))
    assert settings.broker == "kafka://127.0.0.1:20000"
    assert str(settings.history) == "webhdfs://hdfs@namenode:9870/logs"
    assert settings.data_dir == Path("/data/worker")
    assert settings.window_s == 5
    assert mine.local_history is None


def test_a_relative_history_is_the_checkout_s(tmp_path):
    assert plan(tmp_path, SLUICE_HISTORY="file://./elsewhere").local_history == CHECKOUT / "elsewhere"


def test_addresses_for_people(tmp_path):
    assert plan(tmp_path).web == "http://127.0.0.1:7000"
    assert Plan(tmp_path, 7000, 9092, {}, web_host="0.0.0.0").web == "http://127.0.0.1:7000"
    assert Plan(tmp_path, 7000, 9092, {}, web_host="::1").web == "http://[::1]:7000"


def test_paths_are_shown_as_one_would_type_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "var" / "history") == "var/history"
    assert shown(tmp_path / "two words") == "'two words'"
    assert shown(Path("/elsewhere")) == "/elsewhere"
