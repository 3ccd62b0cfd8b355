"""RFC 5424's words after the host: app name, process id, message id, structured data, as headers."""

from __future__ import annotations

import re
from typing import Final

# Most of a message's structured data that becomes headers; the body has all of it in any case.
MAX_PARAMETERS: Final = 64
MAX_BYTES: Final = 16_384

_WORD: Final = rb"([!-~]{1,255})"
_WORDS: Final = re.compile(_WORD + b" " + _WORD + b" " + _WORD + rb" (?=-(?: |$)|\[)")
_NAME: Final = rb"[!#-<>-\\^-~]{1,255}"
_ELEMENT: Final = re.compile(
    rb"\[(" + _NAME + rb")((?: +" + _NAME + rb'="[^"\\\]]*(?:\\.[^"\\\]]*)*")*) *\]', re.DOTALL
)
_PARAMETER: Final = re.compile(rb" +(" + _NAME + rb')="([^"\\\]]*(?:\\.[^"\\\]]*)*)"', re.DOTALL)
_ESCAPE: Final = re.compile(rb'\\(["\\\]])')


def structured_headers(rest: bytes) -> dict[str, str]:
    """Headers `app`, `procid`, `msgid` and `sd.<id>.<name>` from what follows the host of an RFC 5424 message.

    Empty where it is not of that form. What is nil (`-`) gives no header. The values of a name that comes twice in one
    element are joined by commas. Bytes that are not UTF-8 become `\\xNN`.
    """
    words = _WORDS.match(rest)
    if words is None:
        return {}
    parameters = _parameters(rest, words.end())
    if parameters is None:
        return {}
    headers = {}
    for name, word in zip(("app", "procid", "msgid"), words.groups(), strict=True):
        if word != b"-":
            headers[name] = word.decode()
    headers.update(parameters)
    return headers


def _parameters(rest: bytes, at: int) -> dict[str, str] | None:
    """None where the structured data do not end as they should."""
    if rest[at : at + 1] == b"-":
        return {}
    headers: dict[str, str] = {}
    start = at
    while (element := _ELEMENT.match(rest, at)) is not None:
        at = element.end()
        if at - start > MAX_BYTES:
            continue
        prefix = "sd." + element[1].decode() + "."
        for parameter in _PARAMETER.finditer(element[2]):
            name = prefix + parameter[1].decode()
            value = text_of(_ESCAPE.sub(rb"\1", parameter[2]))
            if name in headers:
                headers[name] += "," + value
            elif len(headers) < MAX_PARAMETERS:
                headers[name] = value
    return headers if at > start and rest[at : at + 1] in (b"", b" ") else None


def text_of(value: bytes) -> str:
    """The bytes as UTF-8; those that are not become `\\xNN`."""
    return value.decode("utf-8", "backslashreplace")
