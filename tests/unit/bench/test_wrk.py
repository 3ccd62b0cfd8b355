"""What wrk says is read as it says it, errors and all."""

from __future__ import annotations

from bench.wrk import Said, read

TOLD = """Running 2s test @ http://127.0.0.1:18080/
  1 threads and 20 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     5.60ms   10.00ms 100.00ms   90.00%
    Req/Sec     4.00k   500.00     5.00k    70.00%
  Latency Distribution
     50%  850.00us
     75%    3.00ms
     90%   10.00ms
     99%    1.25s
  8000 requests in 2.00s, 1.00MB read
"""
ERRORS = """  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 500
"""


def test_a_clean_run() -> None:
    assert read(TOLD) == Said(posts=8000, refused=0, per_s=4000.0, p50_ms=0.85, p99_ms=1250.0)


def test_refused_posts_do_not_count() -> None:
    assert read(TOLD + ERRORS) == Said(posts=7500, refused=510, per_s=3750.0, p50_ms=0.85, p99_ms=1250.0)
