"""Log files as a Tomcat has them."""

from __future__ import annotations

from deploy.demo.clock_text import file_date
from deploy.demo.event import ACCESS_LOG, BUSINESS, CATALINA, LogEvent
from deploy.demo.files import LogFiles

DAY_S = 86_400.0


def test_each_kind_has_its_file_and_the_access_log_one_a_day(tmp_path):
    files = LogFiles(tmp_path, "web-1")
    first_s = 1_795_262_400.0
    files.append([LogEvent(ACCESS_LOG, "a", first_s), LogEvent(CATALINA, "c\n\tat x", first_s)])
    files.append(
        [
            LogEvent(ACCESS_LOG, "b", first_s),
            LogEvent(ACCESS_LOG, "next day", first_s + DAY_S),
            LogEvent(BUSINESS, "{}", first_s, "orders"),
            LogEvent(CATALINA, "d", first_s),
        ]
    )
    logs = tmp_path / "web-1" / "logs"
    assert {file.name: file.read_text() for file in logs.iterdir()} == {
        f"localhost_access_log.{file_date(first_s)}.txt": "a\nb\n",
        f"localhost_access_log.{file_date(first_s + DAY_S)}.txt": "next day\n",
        "catalina.out": "c\n\tat x\nd\n",
        "orders.log": "{}\n",
    }
