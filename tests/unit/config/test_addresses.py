"""Addresses of Kafka and of the history."""

from pathlib import Path

import pytest

from config.addresses import HistoryLocation, broker_list, history_location


@pytest.mark.parametrize(
    ("text", "brokers"),
    [
        ("kafka://h:1", "kafka://h:1"),
        ("kafka://h:1;kafka://h2:2", "kafka://h:1;kafka://h2:2"),
        ("h:1; h2:2 ", "kafka://h:1;kafka://h2:2"),
        ("kafka://h", "kafka://h:9092"),
        ("kafka://h:1/", "kafka://h:1"),
        ("kafka-1.my_net.local.:65535", "kafka://kafka-1.my_net.local.:65535"),
        ("kafka://[::1]:9092", "kafka://[::1]:9092"),
    ],
)
def test_brokers(text, brokers):
    assert broker_list(text) == brokers


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kafka://", "not host:port"),
        ("h:1;", "not host:port"),
        ("h:0", "port 0"),
        ("h:65536", "port 65536"),
        ("h:port", "not host:port"),
        ("h:1,h2:2", "separated by ';'"),
        ("http://h:1", "the scheme is none for brokers"),
        ("kafka://h:1/topic", "not host:port"),
        ("kafka://u:p@h:1", "user and password do not belong here"),
        ("-h:1", "not host:port"),
        ("h h:1", "not host:port"),
        ("hôte:1", "not host:port"),
        ("h:١", "not host:port"),
        ("::1", "not host:port"),
    ],
)
def test_what_is_no_broker(text, reason):
    with pytest.raises(ValueError, match=reason):
        broker_list(text)


def test_a_local_history_keeps_its_path_as_given():
    relative = history_location("file://./var/history")
    assert relative == HistoryLocation("file", "./var/history")
    assert relative.is_local
    assert relative.directory == Path("var/history")
    assert relative.urls == ()
    assert history_location("file:///srv/a%20b").directory == Path("/srv/a%20b")
    assert history_location("file://../x").directory == Path("../x")


def test_an_hdfs_history_names_every_namenode():
    location = history_location("webhdfs://sluice@nn1:9870;nn2:50070/logs/tomcat/")
    assert location == HistoryLocation("webhdfs", "/logs/tomcat", ("nn1:9870", "nn2:50070"), "sluice")
    assert not location.is_local
    assert location.urls == ("http://nn1:9870", "http://nn2:50070")
    assert str(location) == "webhdfs://sluice@nn1:9870;nn2:50070/logs/tomcat"


def test_what_an_hdfs_address_may_leave_out():
    assert history_location("webhdfs://nn/x") == HistoryLocation("webhdfs", "/x", ("nn:9870",))
    secure = history_location("webhdfss://nn/")
    assert secure == HistoryLocation("webhdfss", "/", ("nn:9871",))
    assert secure.urls == ("https://nn:9871",)


def test_escapes_of_an_hdfs_address():
    location = history_location("webhdfs://me%40realm@nn:1/a%20b%25")
    assert (location.user, location.path) == ("me@realm", "/a b%")
    assert history_location(str(location)) == location


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("var/history", "no scheme"),
        ("hdfs://nn/x", "the scheme is none for the history"),
        ("file://var/history", "a local path starts with"),
        ("file://", "a local path starts with"),
        ("webhdfs://nn:9870", "no path"),
        ("webhdfs:///logs", "not host:port"),
        ("webhdfs://nn1:9870;/logs", "not host:port"),
        ("webhdfs://@nn/logs", "user name before '@' is empty"),
        ("webhdfs://nn:99999/logs", "port 99999"),
        ("webhdfs://me:hunter2@nn/logs", "no password"),
        ("webhdfs://me:hun/ter2@nn/logs", "no password"),
        ("webhdfs://nn/logs@home", "written %40"),
        ("webhdfs://nn/logs?user.name=x", "'\\?' and '#'"),
        ("webhdfs://nn/logs#x", "'\\?' and '#'"),
        ("webhdfs://nn/../etc", "'..'"),
        ("webhdfs://nn/%2e%2e/etc", "'..'"),
        ("webhdfs://nn/a%00b", "control characters"),
        ("webhdfs://nn/%ff", "utf-8"),
    ],
)
def test_what_is_no_history(text, reason):
    with pytest.raises(ValueError, match=reason) as raised:
        history_location(text)
    assert "hunter2" not in str(raised.value)
    assert "ter2" not in str(raised.value)
