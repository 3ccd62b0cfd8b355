"""What is posted is what Sluice reads."""

from __future__ import annotations

import random
import time

from deploy.demo.event import ACCESS_LOG, BUSINESS, CATALINA, LogEvent
from deploy.demo.posts import posts_for
from deploy.demo.tomcat import Tomcat
from deploy.demo.weather import INCIDENTS
from sources.http import Limits, decode

LIMITS = Limits(body_bytes=16_000_000, events=10_000)


def test_every_event_arrives_with_its_headers_and_its_text_unchanged():
    tomcat = Tomcat("shop", "web-2", random.Random(3))
    sent = [event for _ in range(1000) for event in tomcat.request(time.time(), INCIDENTS[0])]
    posts = list(posts_for(sent, "shop", "web-2"))
    received = []
    for post in posts:
        events = decode(post.content_type, None, post.query, post.body, LIMITS)
        assert len(events) == post.n_events
        received += events
    for kind in (ACCESS_LOG, CATALINA, BUSINESS):
        arrived = [event for event in received if event.headers["type"] == kind]
        assert [event.body.decode() for event in arrived] == [event.text for event in sent if event.type == kind]
        assert all((event.headers["service"], event.headers["host"]) == ("shop", "web-2") for event in arrived)
    assert any("\n" in event.body.decode() for event in received)
    assert {event.headers.get("logger") for event in received if event.headers["type"] == BUSINESS} == {"orders"}


def test_nothing_to_send_is_no_post():
    assert list(posts_for([], "shop", "web-1")) == []


def test_one_kind_alone_is_one_post():
    (post,) = posts_for([LogEvent(CATALINA, "x", 1.5)], "a b", "h&i")
    (event,) = decode(post.content_type, None, post.query, post.body, LIMITS)
    assert event.headers == {"type": "catalina", "service": "a b", "host": "h&i", "timestamp": "1500"}
    (post,) = posts_for([LogEvent(ACCESS_LOG, "x", 1.5)], "a b", "h&i")
    (event,) = decode(post.content_type, None, post.query, post.body, LIMITS)
    assert event.headers == {"type": "access_log", "service": "a b", "host": "h&i"}
