"""aiokafka's lz4 at a level for machines that have other things to do.

aiokafka 0.14.0 compresses at level 9, the brokers' default, and has no setting. For log lines level 1 takes a tenth of
the CPU and a tenth more room (docs/decisions/0005-group-commit.md).
"""

from __future__ import annotations

from functools import partial

from aiokafka import codec
from aiokafka.record import default_records as in_python
from aiokafka.record._crecords import default_records as in_c

LEVEL = 1


def install() -> None:
    """For all producers of the process, from now on. Calling it again changes nothing."""
    for builders in (in_python, in_c):
        builders.lz4_encode = partial(codec.lz4_encode, level=LEVEL)
