"""The syntax of Tomcat's access log patterns: `%h %l %{Referer}i` to codes and the text between them."""

from __future__ import annotations

from typing import Final, NamedTuple, NoReturn

NAMED_PATTERNS: Final = {
    "common": '%h %l %u %t "%r" %s %b',
    "combined": '%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i"',
}

# Stands for %% in a Text: releases up to 11.0.15 at least write ???%??? for it. No decoded line has a lone surrogate.
PERCENT: Final = "\ud804"

_BARE: Final = frozenset("aAbBDFhHIlmpqrsStTuUvX")
_WITH_ARGUMENT: Final = frozenset("aciLoprstT")
_ARGUMENTS: Final = {
    "a": ("remote", "peer"),
    "p": ("local", "remote"),
    "T": ("ns", "us", "ms", "fracsec", "s"),
    "L": ("c",),
}
_SINCE_10_1: Final = frozenset("LT")  # with an argument; before, Tomcat wrote ??? for them
_OLDEST: Final = 7.0


class Code(NamedTuple):
    """One %-code. `argument` is what stands in its braces, None where it has none."""

    letter: str
    argument: str | None
    position: int  # of its % in the pattern, from 0


class Text(NamedTuple):
    """What stands between codes; Tomcat writes it as it is, and PERCENT as a % or with question marks round it."""

    text: str


def read_pattern(pattern: str, tomcat: float) -> list[Code | Text]:
    """The codes and texts of a pattern, or of the pattern that `common` or `combined` stands for.

    `tomcat` is the version that writes the log, such as 8.5, 9 or 10.1 (10 means 10.1): it decides which codes exist.
    No two Texts are adjacent, and none is empty.

    Raises ValueError with the position for a code that this Tomcat doesn't know, a brace that isn't closed, a % at the
    end, and a pattern without any code.
    """
    if not tomcat >= _OLDEST:
        raise ValueError(f"tomcat = {tomcat:g}: Tomcat {_OLDEST:g} is the oldest whose access logs are known")
    pattern = NAMED_PATTERNS.get(pattern.strip(), pattern)
    parts: list[Code | Text] = []
    text = ""
    at = 0
    while at < len(pattern):
        percent = pattern.find("%", at)
        if percent < 0:
            text += pattern[at:]
            break
        text += pattern[at:percent]
        if pattern[percent : percent + 2] == "%%":
            text += PERCENT
            at = percent + 2
            continue
        code, at = _read_code(pattern, percent, tomcat)
        if text:
            parts.append(Text(text))
            text = ""
        parts.append(code)
    if text:
        parts.append(Text(text))
    if not any(isinstance(part, Code) for part in parts):
        raise ValueError(f"no %-code in the pattern {pattern[:80]!r}")
    return parts


def refuse(code: Code, why: str) -> NoReturn:
    """Raise the ValueError that names a code and where it stands."""
    argument = "" if code.argument is None else f"{{{code.argument}}}"
    raise ValueError(f"%{argument}{code.letter} at position {code.position} of the pattern: {why}")


def _read_code(pattern: str, percent: int, tomcat: float) -> tuple[Code, int]:
    """The code that starts at `percent`, and where the pattern goes on after it."""
    letter_at = percent + 1
    argument = None
    if pattern[letter_at : letter_at + 1] == "{":
        brace = pattern.find("}", letter_at)
        if brace < 0:
            raise ValueError(f"the brace at position {letter_at} of the pattern is never closed")
        argument = pattern[letter_at + 1 : brace]
        letter_at = brace + 1
    if letter_at >= len(pattern):
        raise ValueError(f"the pattern ends before the letter of the code at position {percent}")
    code = Code(pattern[letter_at], argument, percent)
    _check(code, tomcat)
    return code, letter_at + 1


def _check(code: Code, tomcat: float) -> None:
    if code.argument is None:
        if code.letter not in _BARE:
            if code.letter in _WITH_ARGUMENT:
                refuse(code, "this code needs an argument in braces")
            refuse(code, "Tomcat has no such code")
        return
    if code.letter not in _WITH_ARGUMENT:
        if code.letter in _BARE:
            refuse(code, "this code takes no argument in braces")
        refuse(code, "Tomcat has no such code")
    if code.letter in _SINCE_10_1 and tomcat < 10:
        refuse(code, f"Tomcat {tomcat:g} has no such code, it came with 10.1")
    allowed = _ARGUMENTS.get(code.letter)
    if allowed is not None and code.argument not in allowed:
        refuse(code, f"the argument must be one of {', '.join(allowed)}")
    if not code.argument and code.letter != "t":
        refuse(code, "the argument in braces is empty")
