"""Content-addressed blocks, heads, extents and leases."""
