"""What can be wrong with input.

ParseError         a line or request is not in the format that it claims
"""

from __future__ import annotations


class ParseError(Exception):
    """Input that is not in its stated format.

    `reason` comes from a bounded set (a metric tag and the dead letter's `reason`); the message says what and where.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
