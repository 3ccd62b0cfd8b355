"""HTTP load by wrk, a generator in C: a Python one would take more of the two cores than what is measured."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.cluster.programs import wrk

HOSTS = 64
_UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Said:
    """What wrk says of a run; all processes together, latencies of the worst."""

    posts: int  # answered with 2xx
    refused: int  # any other answer, and socket errors
    per_s: float
    p50_ms: float
    p99_ms: float


def load_http(urls: list[str], connections: int, events: int, seconds: float, *, per_s: float = 0.0) -> Said:
    """Keep `connections` busy with posts of so many access lines, spread over the addresses.

    With `per_s`, posts are begun at that rate, however long the answers take while connections are free.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(urls)) as threads:
        script = Path(folder, "posts.lua")
        script.write_text(_script(events) + (_delay(per_s / len(urls)) if per_s else ""))
        parts = list(threads.map(lambda url: _run(url, script, connections // len(urls), seconds), urls))
    return Said(
        sum(part.posts for part in parts),
        sum(part.refused for part in parts),
        sum(part.per_s for part in parts),
        max(part.p50_ms for part in parts),
        max(part.p99_ms for part in parts),
    )


def _run(url: str, script: Path, connections: int, seconds: float) -> Said:
    command = [wrk(), "-t", "1", "-c", str(connections), "-d", f"{seconds:.0f}s", "--timeout", "30s", "--latency"]
    told = subprocess.run(
        [*command, "-s", str(script), url], check=True, capture_output=True, text=True, timeout=seconds + 120
    ).stdout
    return read(told)


def read(told: str) -> Said:
    """The figures in what wrk prints."""
    requests = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", told)
    assert requests is not None, told
    not_2xx = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", told)
    failed = int(not_2xx[1]) if not_2xx else 0
    posts = int(requests[1]) - failed
    elapsed_s = float(requests[2]) * _UNIT_MS[requests[3]] / 1000
    refused = failed + (sum(map(int, errors.groups())) if errors else 0)
    return Said(posts, refused, posts / elapsed_s, _percentile(told, 50), _percentile(told, 99))


def _percentile(told: str, percent: int) -> float:
    found = re.search(rf"^ *{percent}%\s+([\d.]+)(us|ms|s|m)\s*$", told, re.MULTILINE)
    assert found is not None, told
    return float(found[1]) * _UNIT_MS[found[2]]


def _script(events: int) -> str:
    """One request for each host, sent in turns."""
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    bodies = [json.dumps([_event(host, number, stamp) for number in range(events)]) for host in range(HOSTS)]
    quoted = ",\n".join(f"[===[{body}]===]" for body in bodies)
    return f"""
local bodies = {{
{quoted}
}}
local headers = {{["Content-Type"] = "application/json"}}
local requests, turn = {{}}, 0
function init(args)
  for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", nil, headers, body) end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
"""


def _delay(per_s: float) -> str:
    """A timetable for all connections of the thread: the next free one has the next post's time."""
    return f"""
local ffi = require("ffi")
ffi.cdef[[
typedef struct {{ long s; long ns; }} instant;
int clock_gettime(int clock, instant *now);
]]
local now, due = ffi.new("instant"), nil
function delay()
  ffi.C.clock_gettime(1, now)
  local now_ms = tonumber(now.s) * 1000 + tonumber(now.ns) / 1e6
  due = (due or now_ms) + {1000 / per_s}
  return math.max(0, math.floor(due - now_ms))
end
"""


def _event(host: int, number: int, stamp: str) -> dict[str, object]:
    line = f'10.0.{number % 256}.7 - - [{stamp}] "GET /item/{number % 50}?n={number} HTTP/1.1" 200 {number + 100}'
    return {"headers": {"type": "access_log", "host": f"web-{host}", "service": "shop"}, "body": line}
