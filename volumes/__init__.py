"""Block devices for guests: a server that exports volumes and snapshots over NBD."""
