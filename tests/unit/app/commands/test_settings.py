"""What `settings` prints."""

from __future__ import annotations

import json

from app.commands.settings import as_objects, as_text
from config.settings import DECLARED, Settings


def test_every_setting_is_listed_with_where_it_comes_from() -> None:
    settings = Settings.from_env({"SLUICE_WINDOW_S": "20", "SLUICE_ROLES": "history,ingest"})
    rows = {row["name"]: row for row in as_objects(settings)}

    assert list(rows) == [declaration.env for declaration in DECLARED.values()]
    assert rows["SLUICE_WINDOW_S"]["value"] == 20
    assert rows["SLUICE_WINDOW_S"]["source"] == "environment"
    assert rows["SLUICE_WINDOW_S"]["default"] == "10"
    assert rows["SLUICE_ROLES"]["value"] == ["ingest", "history"]
    assert rows["SLUICE_HISTORY"]["value"] == "file://./var/history"
    assert rows["SLUICE_HISTORY"]["source"] == "default"
    assert all(row["help"] for row in rows.values())
    assert json.loads(json.dumps(list(rows.values()))) == list(rows.values())


def test_people_get_a_line_a_setting() -> None:
    header, *lines = as_text(Settings.from_env({"SLUICE_APP_ID": "shop"})).splitlines()

    assert header.split() == ["NAME", "VALUE", "SOURCE", "MEANING"]
    assert [line.split()[0] for line in lines] == [declaration.env for declaration in DECLARED.values()]
    assert next(line for line in lines if line.startswith("SLUICE_APP_ID")).split()[1:3] == ["shop", "environment"]
    assert next(line for line in lines if line.startswith("SLUICE_ROLES")).split()[1] == "ingest,monitor,history"
