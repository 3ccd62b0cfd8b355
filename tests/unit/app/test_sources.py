"""The sources of a worker, together."""

import logging

import pytest

from app.sources import Sources, new_sources
from config.routes import load
from config.settings import Settings
from sources.errors import CannotListen
from telemetry.flow import Flow
from tests.support.publish import CommandedKafka


class Told:
    """A source that notes what it is told to do."""

    def __init__(self, name, said, *, start_error=None, stop_error=None):
        self.flow = Flow(name, "source")
        self._said = said
        self._start_error = start_error
        self._stop_error = stop_error

    async def start(self):
        self._said.append(f"{self.flow.name} starts")
        if self._start_error:
            raise self._start_error

    async def stop(self):
        self._said.append(f"{self.flow.name} stops")
        if self._stop_error:
            raise self._stop_error


async def test_all_start_and_stop():
    said = []
    sources = Sources([Told("a", said), Told("b", said)])
    await sources.start()
    await sources.stop()
    await sources.stop()
    assert said == ["a starts", "b starts", "a stops", "b stops"]


async def test_an_address_that_cannot_be_had_stops_what_was_started():
    said = []
    refused = CannotListen("udp://127.0.0.1:514", "Permission denied")
    sources = Sources([Told("a", said), Told("b", said, start_error=refused), Told("c", said)])
    with pytest.raises(CannotListen, match=r"^udp://127.0.0.1:514 can't be listened on: Permission denied$"):
        await sources.start()
    await sources.stop()
    assert said == ["a starts", "b starts", "a stops", "b stops"]


async def test_a_source_that_does_not_stop_well_is_told_and_holds_up_nobody(caplog):
    said = []
    sources = Sources([Told("a", said, stop_error=RuntimeError("torn")), Told("b", said)])
    await sources.start()
    with caplog.at_level(logging.ERROR):
        await sources.stop()
    assert said[-1] == "b stops"
    assert [record.getMessage() for record in caplog.records] == [
        "A source did not stop well: source=a RuntimeError('torn')"
    ]


def test_each_source_has_its_level_and_a_file_needs_none(tmp_path):
    file = tmp_path / "routes.toml"
    file.write_text(
        """
[[source]]
name = "told"
kind = "thrift"
listen = ["tcp://127.0.0.1:4141"]
reliability = "best-effort"
[[source]]
name = "default"
kind = "avro"
listen = ["tcp://127.0.0.1:4142"]
[[source]]
name = "file"
kind = "tail"
paths = ["/var/log/x.log"]
""",
        encoding="utf-8",
    )
    configs = load(file, check_pattern=lambda pattern, tomcat: None).sources
    asked = {}

    def publish_at(level, flow):
        asked[flow.name] = level
        return CommandedKafka()

    sources = new_sources(configs, Settings(reliability="store-on-failure", data_dir=tmp_path), publish_at)

    assert asked == {"told": "best-effort", "default": "store-on-failure", "file": "end-to-end"}
    assert [(source.flow.name, source.flow.kind) for source in sources] == [(name, "source") for name in asked]
