"""Records of catalina.out, as JULI's OneLineFormatter writes them; a stack trace belongs to its record."""

from __future__ import annotations

import random

from deploy.demo.clock_text import catalina_time

_FRAMES = (
    "com.example.{service}.web.{servlet}.doPost({servlet}.java:{line})",
    "jakarta.servlet.http.HttpServlet.service(HttpServlet.java:590)",
    "jakarta.servlet.http.HttpServlet.service(HttpServlet.java:658)",
    "org.apache.catalina.core.ApplicationFilterChain.internalDoFilter(ApplicationFilterChain.java:195)",
    "org.apache.catalina.core.ApplicationFilterChain.doFilter(ApplicationFilterChain.java:140)",
    "org.apache.catalina.core.StandardWrapperValve.invoke(StandardWrapperValve.java:167)",
    "org.apache.coyote.http11.Http11Processor.service(Http11Processor.java:397)",
    "org.apache.tomcat.util.net.NioEndpoint$SocketProcessor.doRun(NioEndpoint.java:1741)",
    "java.base/java.lang.Thread.run(Thread.java:840)",
)
_CAUSE_FRAMES = (
    "com.example.{service}.backend.Client.call(Client.java:{line})",
    "com.example.{service}.backend.Client.exchange(Client.java:77)",
)
_REMARKS = (
    ("INFO", "org.apache.catalina.core.StandardContext.reload", "Reloading Context [/{service}] is completed"),
    ("INFO", "com.example.{service}.Cache.evict", "Evicted {n} entries in {ms} ms"),
    ("WARNING", "org.apache.tomcat.util.http.parser.Cookie.logInvalidHeader",
     "A cookie header was received [theme=dark; ${{x}}] that contained an invalid cookie."),
    ("WARNING", "com.example.{service}.Pool.acquire", "Waited {ms} ms for one of {n} connections"),
)  # fmt: skip


def remark(at_s: float, service: str, rng: random.Random) -> str:
    """One of the lines that a Tomcat writes from time to time."""
    level, source, message = rng.choice(_REMARKS)
    values = {"service": service, "n": rng.randint(5, 400), "ms": rng.randint(12, 900)}
    return f"{_start(at_s, level, rng)} {source.format(**values)} {message.format(**values)}"


def failure(at_s: float, service: str, path: str, exception: str, cause: str, rng: random.Random) -> str:
    """A failed request with its stack trace and what caused it."""
    values = {"service": service, "servlet": f"{service.capitalize()}Servlet", "line": rng.randint(40, 220)}
    return "\n".join(
        [
            f"{_start(at_s, 'SEVERE', rng)} org.apache.catalina.core.StandardWrapperValve.invoke Servlet.service() "
            f"for servlet [{service}] in context with path [/{service}] threw exception for [{path}]",
            f"\t{exception}",
            *(f"\t\tat {frame.format(**values)}" for frame in _FRAMES),
            f"\tCaused by: {cause}",
            *(f"\t\tat {frame.format(**values)}" for frame in _CAUSE_FRAMES),
            f"\t\t... {len(_FRAMES)} more",
        ]
    )


def _start(at_s: float, level: str, rng: random.Random) -> str:
    return f"{catalina_time(at_s)} {level} [http-nio-8080-exec-{rng.randint(1, 25)}]"
