"""Access logs: records of type `access_log` go parsed to the topic `access-log` and into the access windows."""

from __future__ import annotations

from agents.origin import Origin
from config.routes import AccessLogRoute
from parsers.tomcat import compile_patterns, encode_many
from tables.access import AccessTable
from tables.reader import Reader

TYPE = "access_log"


class AccessLog:
    """The route of access logs. Has no state of its own: one for all partitions of a worker."""

    def __init__(self, route: AccessLogRoute) -> None:
        """Compile the route's patterns. Raises ValueError for one that is not a pattern of Tomcat's."""
        self.name = self.topic = route.topic
        self.parse_many = compile_patterns(route.patterns, route.tomcat).parse_many
        self.encode_many = encode_many

    def takes(self, origin: Origin) -> bool:
        """Whether records of this origin are access logs."""
        return origin.type == TYPE

    def table(self, reader: Reader, max_keys: int) -> AccessTable:
        """The windows of one partition."""
        return AccessTable(reader, max_keys)
