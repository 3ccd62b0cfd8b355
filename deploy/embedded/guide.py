"""What `make run` says once everything is up: what runs where, and what to try next."""

from __future__ import annotations

from deploy.embedded.plan import BROKER_PORT, WEB_PORT, Plan, faust_shown, shown
from deploy.embedded.ports import LOOPBACK

# The line's time must be now: windows are by the line's own time, and older than an hour is not shown.
_ACCESS_LINE = (
    '127.0.0.1 - - [$(LC_ALL=C date \'+%d/%b/%Y:%H:%M:%S %z\')] \\"GET /cart HTTP/1.1\\" 200 512 \\"-\\" \\"curl/8\\"'
)


def access_curl(web: str) -> str:
    """A command that posts one access-log line of this moment."""
    return (
        f"curl -i -H 'Content-Type: text/plain' --data-binary \"{_ACCESS_LINE}\" \\\n"
        f"        '{web}/logCollect2?type=access_log&service=shop&host=web-1'"
    )


def json_curl(web: str) -> str:
    """A command that posts one event of any other kind in Flume's JSON format."""
    events = '[{"headers": {"type": "catalina", "host": "web-1"}, "body": "Server startup in 1234 ms"}]'
    return f"curl -i -d '{events}' \\\n        {web}/logCollect2"


def guide(plan: Plan, *, broker_port: int, broker_pid: int, worker_pid: int) -> str:
    """The text shown once the worker is ready. Every command in it works by copy and paste from the checkout."""
    web = plan.web
    root = plan.local_history
    faust = faust_shown()
    if broker_port != BROKER_PORT:
        faust = f"SLUICE_BROKER=kafka://{LOOPBACK}:{broker_port} {faust}"
    demo = "make demo" if plan.web_port == WEB_PORT else f"make demo WEB_PORT={plan.web_port}"
    files = shown(root / "data") if root else plan.history
    newest = f"find {files} -name '*.gz' -exec gzip -dc {{}} + | tail -3" if root else f"{faust} -A app verify"
    return f"""
Sluice runs.

  dashboard  {web}/
  worker     pid {worker_pid}, log {shown(plan.worker_log)}
  history    {files}
             a record is in its file about a minute after it came
  broker     kafka://{LOOPBACK}:{broker_port}, pid {broker_pid}, log {shown(plan.broker_log)}
             embedded, for trying out: all in memory, with a copy in {shown(plan.broker_data)} that may be seconds old

Try next, in another terminal:

  a Tomcat's logs, 50 events a second, to watch on the dashboard
      {demo}
  an access-log line, then the windows it is counted in
      {access_curl(web)}
      curl '{web}/api/access'
  an event of any other kind, in Flume's JSON
      {json_curl(web)}
  how far behind the groups are, and how everything is
      curl '{web}/api/lag'
      {faust} -A app status
  what is in the history
      {newest}

Ctrl-C stops all of it.
"""
