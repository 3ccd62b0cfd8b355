"""The topics of a Sluice deployment, as a worker creates them where they are missing."""

from __future__ import annotations

from app.heartbeat import WORKERS_TOPIC_CONFIG, workers_topic
from config.routes import Routes
from config.settings import Settings
from streaming.topics import TopicSpec

RAW_LOG = "raw-log"
ACCESS_LOG = "access-log"
DEAD_LETTER = "dead-letter"
ALERTS = "alerts"

# Each window is rewritten with every batch: small segments let compaction keep up, so that recovery stays short.
CHANGELOG_CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 * 1024 * 1024),
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.2",
}

# A dead letter is a raw record and what was wrong with it: whatever raw-log takes has to fit here.
DEAD_LETTER_CONFIG = {"max.message.bytes": str(4 * 1024 * 1024)}


def changelog_topic(app_id: str) -> str:
    """The compacted topic that the windows are recovered from."""
    return f"{app_id}-monitor-changelog"


def topic_specs(settings: Settings, routes: Routes) -> list[TopicSpec]:
    """Every topic that workers of this deployment write to; monitoring topics have raw-log's partitions."""
    monitored = [ACCESS_LOG, *(route.topic for route in routes.business)]
    many, copies = settings.partitions, settings.replication
    return [
        TopicSpec(RAW_LOG, many, copies),
        *(TopicSpec(name, many, copies, like=RAW_LOG) for name in monitored),
        TopicSpec(DEAD_LETTER, many, copies, like=RAW_LOG, config=DEAD_LETTER_CONFIG),
        TopicSpec(ALERTS, 1, copies),
        TopicSpec(changelog_topic(settings.app_id), many, copies, like=RAW_LOG, config=CHANGELOG_CONFIG),
        TopicSpec(workers_topic(settings.app_id), 1, copies, config=WORKERS_TOPIC_CONFIG),
    ]
