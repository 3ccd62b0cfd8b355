"""Patterns that are refused when they are compiled, with the place, and how others are read."""

import pytest

from parsers.tomcat import compile_pattern, compile_patterns
from parsers.tomcat_pattern import PERCENT, Code, Text, read_pattern


def test_codes_and_texts() -> None:
    assert read_pattern("[%h] 100%% %{User-Agent}i", 10) == [
        Text("["),
        Code("h", None, 1),
        Text(f"] 100{PERCENT} "),
        Code("i", "User-Agent", 11),
    ]


@pytest.mark.parametrize(
    ("pattern", "tomcat", "message"),
    [
        ("%h %Q", 10, r"%Q at position 3 .* no such code"),
        ("%h %{x}z", 10, r"%\{x\}z at position 3 .* no such code"),
        ("%h %i", 10, r"%i at position 3 .* needs an argument"),
        ("%h %{x}u", 10, r"%\{x\}u at position 3 .* takes no argument"),
        ("%h %{User-Agent", 10, r"brace at position 4 .* never closed"),
        ("%h %{User-Agent}", 10, r"ends before the letter .* position 3"),
        ("%h %", 10, r"ends before the letter .* position 3"),
        ("%{}i", 10, r"%\{\}i at position 0 .* empty"),
        ("%{there}a", 10, r"one of remote, peer"),
        ("%{there}p", 10, r"one of local, remote"),
        ("%{min}T", 10, r"one of ns, us, ms, fracsec, s"),
        ("%{x}L", 10, r"one of c"),
        ("%{ms}T", 9, r"%\{ms\}T at position 0 .* came with 10.1"),
        ("%{c}L", 8.5, r"came with 10.1"),
        ("%{yyyy-ww}t", 10, r"%\{yyyy-ww\}t at position 0 .*'ww' in a time format"),
        ("%{HH'h}t", 10, r"quote is never closed"),
        ("%{ss.SSSSSS}t", 10, r"'SSSSSS' in a time format"),
        ("%b%D", 10, r"%D at position 2 .* can't be told from that of %b"),
        ("%s%b", 10, r"can't be told"),
        ("%h%l", 10, r"can't be told"),
        ("%{a}i%{b}i", 10, r"%\{b\}i at position 5 .* can't be told from that of %i"),
        ("%u%s", 10, r"can't be told"),
        ("%m%q", 10, r"can't be told"),
        ("no code, 100%%", 10, r"no %-code"),
        ("", 10, r"no %-code"),
        ("%h", 6, r"tomcat = 6"),
        ("%h", float("nan"), r"tomcat = nan"),
    ],
)
def test_refused_with_the_place(pattern: str, tomcat: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_pattern(pattern, tomcat)


def test_no_pattern_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no access log pattern"):
        compile_patterns([], 10)


@pytest.mark.parametrize(
    "pattern", ["%b%X", "%X%s", "%h%t", "%{yyyy-MM-dd}t%{HHmmss}t", "%{sec}t%{msec_frac}t", "%U%q"]
)
def test_adjacent_codes_that_can_be_told_apart_are_fine(pattern: str) -> None:
    compile_pattern(pattern, 10)
