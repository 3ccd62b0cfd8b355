"""The page is made so that nothing of a log can run in it."""

from __future__ import annotations

import re

from app.views.dashboard import CONTENT_TYPES, PAGE_HEADERS, STATIC


def test_every_file_of_the_page_is_served_and_no_other_is_there() -> None:
    assert {path.name for path in STATIC.iterdir()} == {*CONTENT_TYPES, "dashboard.html"}


def test_the_page_has_no_inline_script_or_style() -> None:
    page = (STATIC / "dashboard.html").read_text("utf-8")

    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page) == []
    assert re.findall(r"<style|\bstyle=|\bon\w+=|javascript:", page) == []


def test_nothing_comes_from_elsewhere() -> None:
    for path in STATIC.iterdir():
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", path.read_text("utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name
    assert "'unsafe" not in PAGE_HEADERS["Content-Security-Policy"]
    assert PAGE_HEADERS["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")


def test_the_script_makes_no_html_of_text() -> None:
    script = (STATIC / "dashboard.js").read_text("utf-8")

    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way not in script
