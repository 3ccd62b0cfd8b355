"""Writes docs/settings.md from the declarations of the settings: `python -m config.reference [--check] [file]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from config.settings import DECLARED, Declaration

_INTRODUCTION = """\
# Settings

<!-- Written by `python -m config.reference docs/settings.md`; change config/settings.py instead. -->

A worker is set up by environment variables, read once when it starts. An unknown `SLUICE_*` name or a value that is not
allowed stops the start, and everything that is wrong is said at once:

```
SLUICE_HISTROY='file://./var/history': there is no such setting; did you mean 'SLUICE_HISTORY'?
SLUICE_WINDOW_S='10s': is not a whole number; allowed: a whole number from 1 to 86400
```

`faust -A app settings` lists what is in force, and where it comes from. The web address is Faust's own:
`--web-host` and `--web-port` of `faust -A app worker`, by default 127.0.0.1:6066.

| name | default | allowed | meaning |
| --- | --- | --- | --- |
"""

_CLOSING = """
`SLUICE_RETENTION_S` must be a multiple of `SLUICE_WINDOW_S`, and `SLUICE_INGEST_MAX_BYTES` not less than
`SLUICE_MAX_BODY_BYTES`.

User names in `SLUICE_HISTORY` may have `%XX` escapes, and so may its path for WebHDFS; where a port is missing, 9870 is
taken (9871 over TLS, 9092 for Kafka). A password does not belong into any address and is refused, without being shown.
"""


def reference() -> str:
    """The whole page, as Markdown."""
    return _INTRODUCTION + "".join(_row(declaration) for declaration in DECLARED.values()) + _CLOSING


def _row(declaration: Declaration) -> str:
    secret = " Never shown." if declaration.secret else ""
    return (
        f"| `{declaration.env}` | `{declaration.default_shown}` | {declaration.reader.allowed} "
        f"| {declaration.help}{secret} |\n"
    )


def main(arguments: list[str]) -> int:
    """Write the page to a file or the screen; with `--check`, 1 where the file is stale."""
    parser = argparse.ArgumentParser(prog="python -m config.reference", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=Path("docs/settings.md"))
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the file is stale")
    options = parser.parse_args(arguments)
    page = reference()
    if not options.check:
        options.file.write_text(page, encoding="utf-8")
    elif not options.file.is_file() or options.file.read_text(encoding="utf-8") != page:
        print(f"{options.file} is stale: run `python -m config.reference {options.file}`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
