"""Log files, read as they grow: a file is its device, inode and first bytes, never its path; each line once, in order.

`source` is what a worker runs. `scan` finds files, `identity` tells which is which, `watch` follows them through
renames and truncations, `records` cuts bytes into records, `reader` reads, `delivery` sends and remembers, `positions`
saves, `recall` asks Kafka after a crash what is there already, `flume` takes over another agent's positions.
"""
