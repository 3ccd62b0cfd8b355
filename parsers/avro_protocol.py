"""Which Avro protocols are Flume's AvroSourceProtocol, whatever their documentation says."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from parsers.flume_rpc import METHODS

PROTOCOL = json.dumps(
    {
        "protocol": "AvroSourceProtocol",
        "namespace": "org.apache.flume.source.avro",
        "types": [
            {"type": "enum", "name": "Status", "symbols": ["OK", "FAILED", "UNKNOWN"]},
            {
                "type": "record",
                "name": "AvroFlumeEvent",
                "fields": [
                    {"name": "headers", "type": {"type": "map", "values": "string"}},
                    {"name": "body", "type": "bytes"},
                ],
            },
        ],
        "messages": {
            "append": {"request": [{"name": "event", "type": "AvroFlumeEvent"}], "response": "Status"},
            "appendBatch": {
                "request": [{"name": "events", "type": {"type": "array", "items": "AvroFlumeEvent"}}],
                "response": "Status",
            },
        },
    },
    separators=(",", ":"),
)
"""What the handshake tells a client of ours."""

PROTOCOL_HASH = hashlib.md5(PROTOCOL.encode(), usedforsecurity=False).digest()

FLUME_HASH = bytes.fromhex("86aadae2c45474c0fe93ffd0f2350a65")
"""Of the protocol as Flume 1.11's SDK has it, with a license for documentation. Others bring their text once."""

# Flume's own text is 1.5 KB.
MOST_PROTOCOL_BYTES = 65_536
_MOST_NESTED = 8

_EVENT = ("record", (("headers", ("map", "string")), ("body", "bytes")))
_BATCH = ("array", _EVENT)


def why_different(protocol: str) -> str | None:
    """Why events of a client with this protocol cannot be read; None where they can.

    Names of types and parameters, documentation, aliases and Java's hints don't matter on the wire; the order and types
    of fields do. A method that the client doesn't have is one that it doesn't call.
    """
    if len(protocol) > MOST_PROTOCOL_BYTES:
        return f"the protocol is {len(protocol)} characters long"
    try:
        parsed = json.loads(protocol)
        named = _named_types(parsed)
        messages = parsed["messages"]
        for method, batch in METHODS.items():
            if method not in messages:
                continue
            (argument,) = messages[method]["request"]
            if _shape(argument["type"], named, 0) != (_BATCH if batch else _EVENT):
                return f"the argument of {method} is not Flume's"
            response = _shape(messages[method]["response"], named, 0)
            if response[:3] != ("enum", "OK", "FAILED"):
                return f"the answer of {method} is not Flume's"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "the protocol is not one"
    return None


def _named_types(parsed: Any) -> dict[str, Any]:
    named = {}
    for declared in parsed.get("types", []):
        named[_last_part(declared["name"])] = declared
    return named


def _shape(declared: Any, named: dict[str, Any], depth: int) -> Any:
    """What a type is on the wire, in tuples and words."""
    if depth > _MOST_NESTED:
        raise ValueError("nested too deep")
    if isinstance(declared, str):
        found = named.get(_last_part(declared))
        return declared if found is None else _shape(found, named, depth + 1)
    if isinstance(declared, list):
        return ("union", *(_shape(branch, named, depth + 1) for branch in declared))
    kind = declared["type"]
    if kind == "record":
        return (
            "record",
            tuple((field["name"], _shape(field["type"], named, depth + 1)) for field in declared["fields"]),
        )
    if kind == "map":
        return ("map", _shape(declared["values"], named, depth + 1))
    if kind == "array":
        return ("array", _shape(declared["items"], named, depth + 1))
    if kind == "enum":
        return ("enum", *map(str, declared["symbols"]))
    return _shape(kind, named, depth + 1)


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]
