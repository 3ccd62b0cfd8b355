"""The partition of a host is the one that Kafka's own clients choose."""

from __future__ import annotations

import pytest

from sources.partitioner import HostPartitioner

# From Kafka's UtilsTest.testMurmur2 and Utils.murmur2: key -> hash.
JAVA = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize("partitions", [1, 3, 4, 12, 1000])
@pytest.mark.parametrize("host", JAVA)
def test_as_the_java_client(host: str, partitions: int) -> None:
    assert HostPartitioner(partitions).locate(host) == (host.encode(), (JAVA[host] & 0x7FFFFFFF) % partitions)


def test_asking_again_gives_the_same() -> None:
    partitioner = HostPartitioner(7)
    assert partitioner.locate("wéb-1") == partitioner.locate("wéb-1") == HostPartitioner(7).locate("wéb-1")


def test_memory_is_bounded_when_every_event_invents_a_host() -> None:
    partitioner = HostPartitioner(4)
    first = partitioner.locate("host-0")
    for number in range(50_000):
        partitioner.locate(f"host-{number}")
    assert len(partitioner._seen) <= 20_000
    assert partitioner.locate("host-0") == first
