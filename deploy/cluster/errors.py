"""What can go wrong while the cluster is fetched or started.

ClusterError
├── ProgramMissing   a program that only a person (or root) can install; the message is the one line that says which
├── FetchFailed      Maven did not deliver a part; nothing was left in the cache, the next call starts over
└── StartFailed      a service ended or did not answer in time; the message quotes the end of its log
"""

from __future__ import annotations


class ClusterError(Exception):
    """A part of the cluster can't be had; the message is for the person at the terminal."""


class ProgramMissing(ClusterError):
    """A program is not installed and could not be installed; operator: install what the message names."""


class FetchFailed(ClusterError):
    """Maven did not deliver a part; operator: read Maven's words in the message (often: no network)."""


class StartFailed(ClusterError):
    """A service ended or did not answer in time; it is not running any more when this is raised."""
