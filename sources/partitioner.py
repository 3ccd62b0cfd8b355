"""Which partition an event goes to: the one Kafka's own clients choose for its host."""

from __future__ import annotations

from aiokafka.partitioner import murmur2

# Hosts are few; a client that invents one for every event must not fill memory.
_MAX_REMEMBERED = 20_000


class HostPartitioner:
    """Kafka's default partitioner (murmur2 of the key), remembering the hosts it has seen."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self._seen: dict[str, tuple[bytes, int]] = {}

    def locate(self, host: str) -> tuple[bytes, int]:
        """The key's bytes and the partition."""
        known = self._seen.get(host)
        if known is None:
            if len(self._seen) >= _MAX_REMEMBERED:
                self._seen.clear()
            key = host.encode()
            known = self._seen[host] = (key, (murmur2(key) & 0x7FFFFFFF) % self.partitions)
        return known
