"""What sources share."""

from sources.base import with_headers


def test_headers_of_an_event_win_unless_overridden():
    event, source = {"host": "a", "x": "1"}, {"host": "b", "type": "syslog"}
    assert with_headers(event, source, False) == {"host": "a", "x": "1", "type": "syslog"}
    assert with_headers(event, source, True) == {"host": "b", "x": "1", "type": "syslog"}
    assert with_headers(event, {}, True) is event
    assert event == {"host": "a", "x": "1"}
    assert source == {"host": "b", "type": "syslog"}
