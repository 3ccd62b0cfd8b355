"""The application: `faust -A app worker` runs a worker, `faust -A app <command>` the shell."""

from app import wiring

app = wiring.build_or_exit()
