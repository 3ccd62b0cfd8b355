"""What can be wrong with a question to the brokers, a request to the web, or a command.

AppError
├── BrokersUnavailable   retriable: no answer in time; operator: is SLUICE_BROKER right, is Kafka up?
├── TopicMissing         fatal: the topic does not exist yet; operator: start a worker, it creates its topics
├── GroupRunning         fatal: offsets of a group that has members can't be set; operator: stop its workers
├── RootInUse            fatal: a replay's root holds something else already; operator: give it another root
├── OffsetsAhead         fatal: a group is further than Kafka; operator: another topic or root than it was?
├── RecordsGone          fatal: Kafka no longer has what a replay would read next; operator: begin another one
└── BadRequest           fatal: a parameter of a request or a command is not what it must be
"""

from __future__ import annotations


class AppError(Exception):
    """Base of this package's errors; `str()` of each is one line for a person."""

    retriable = False
    reason = "app"


class BrokersUnavailable(AppError):
    """Kafka gave no answer in time, or an answer that says that it can't answer now."""

    retriable = True
    reason = "brokers_unavailable"


class TopicMissing(AppError):
    """The topic that was asked about does not exist."""

    reason = "topic_missing"


class GroupRunning(AppError):
    """The consumer group has members, so that its offsets are theirs to set."""

    reason = "group_running"


class RootInUse(AppError):
    """The root that a replay should write into is the history, or holds one, or holds another replay."""

    reason = "root_in_use"


class OffsetsAhead(AppError):
    """A group would go on behind Kafka's end: the topic was created anew, or another cluster's history is written."""

    reason = "offsets_ahead"


class RecordsGone(AppError):
    """Retention took records that a replay, begun earlier, had still to read. What it has written is right."""

    reason = "records_gone"


class BadRequest(AppError):
    """A parameter is not what it must be; the message names the parameter and shows the value."""

    reason = "bad_request"
