"""Business logs: records of type `business` whose logger a route names go to its topic and into its windows."""

from __future__ import annotations

from fnmatch import fnmatchcase

from agents.origin import Origin
from config.routes import BusinessRoute
from parsers.business import compile_business, encode_business_many
from tables.business import BusinessTable
from tables.reader import Reader

TYPE = "business"


class BusinessLog:
    """The route of one business log. Has no state of its own: one for all partitions of a worker."""

    def __init__(self, route: BusinessRoute) -> None:
        """Compile the route. Raises ValueError where it cannot be."""
        self.name = self.topic = route.topic
        self.parse_many = compile_business(
            route.format, route.regex, route.timestamp, route.fields, route.keep
        ).parse_many
        self.encode_many = encode_business_many
        self._route = route

    def takes(self, origin: Origin) -> bool:
        """Whether the route's glob names the logger of this origin; several routes may take the same record."""
        return origin.type == TYPE and origin.logger is not None and fnmatchcase(origin.logger, self._route.logger)

    def table(self, reader: Reader, max_keys: int) -> BusinessTable:
        """The windows of one partition."""
        return BusinessTable(self._route, reader, max_keys)
