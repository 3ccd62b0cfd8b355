"""The shell: one file a command of `faust -A app`."""
