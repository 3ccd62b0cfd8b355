"""Which patterns have steps for the compiled splitter, and how much of their logs it takes."""

from __future__ import annotations

import pytest

from parsers import _access
from parsers.tomcat import compile_patterns
from parsers.tomcat_regex import compile_line

HEAD = b'10.0.0.1 - - [21/Nov/2026:06:12:20 +0100] "GET /a?b=c HTTP/1.1" 200 7'


@pytest.mark.parametrize(
    "pattern",
    [
        "common",
        "combined",
        '%h %l %u %t "%r" %s %b %D %T',
        "%t\t%a\t%m %U %H\t%s",
        "%X|%I|%S|%p|%{x}i",
        "%{begin}t %s",
        '"%{X-Forwarded-For}i" %s',
    ],
)
def test_usual_patterns_have_steps(pattern: str) -> None:
    assert compile_line(pattern, 10.1).steps is not None


@pytest.mark.parametrize(
    "pattern",
    ["%m %U%q", "%U %q", "%{X-Forwarded-For}i,%s", "%{sec}t %s", "%{yyyy-MM-dd HH:mm:ss}t", "%b%X", "%u%t", "%s%%",
     "%s \\ %b", "é%s", "%s|%l", "%h\x01%s"],
)  # fmt: skip
def test_patterns_that_take_more_have_none(pattern: str) -> None:
    assert compile_line(pattern, 10.1).steps is None


def test_steps_are_the_fields_with_the_text_before_them() -> None:
    steps = compile_line("[%h] %l %s %D!  ", 10.1).steps
    assert steps is not None
    assert [tuple(step) for step in steps.fields] == [
        (b"[", "word", "client"), (b"] ", "dash", None), (b" ", "status", "status"), (b" ", "taken", "duration"),
    ]  # fmt: skip
    assert steps.tail == b"!"


@pytest.mark.parametrize(
    ("patterns", "line", "taken"),
    [
        (["combined", "common"], HEAD, True),
        (["combined", "common"], HEAD + b' "-" "curl"', True),
        (["combined", "common"], HEAD + b' "-" "curl" \t\r\n', True),
        (["common"], HEAD.replace(b"GET /a?b=c HTTP/1.1", b"-"), True),
        (["common"], HEAD.replace(b"- -", b"- alice smith"), False),
        (["common"], HEAD.replace(b"- -", b"- a [b]"), False),
        (["common"], HEAD.replace(b"/a", b"/\xc3\xa9"), False),
        (["common"], HEAD.replace(b"/a", b"/\\u00e9"), False),
        (["common"], HEAD.replace(b"GET", b"get"), False),
        (["common"], HEAD.replace(b"21/Nov", b"31/Nov"), False),
        (["common"], HEAD.replace(b"/a", b"/" + b"a" * 65_536), False),
        (["%{X-Forwarded-For}i %l %u %t"], b"192.0.2.1 - - [21/Nov/2026:06:12:20 +0100]", True),
        (["%{X-Forwarded-For}i %l %u %t"], b"192.0.2.1, 10.0.0.1 - - [21/Nov/2026:06:12:20 +0100]", False),
        (['"%{X-Forwarded-For}i"'], b'"192.0.2.1, 10.0.0.1"', True),
        (["%s", "common"], HEAD, False),  # the first may be one for all that the splitter knows
        (["%U%q", "combined"], HEAD + b' "-" "curl"', False),
    ],
)
def test_only_what_is_certain_is_taken(patterns: list[str], line: bytes, taken: bool) -> None:
    splitter = _access.Splitter([pattern.usual for pattern in compile_patterns(patterns, 10.1).patterns])
    assert splitter.split([line])[1] == ([] if taken else [0])
