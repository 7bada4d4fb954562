"""A store in a directory: packs of blocks, an index, layers of volumes."""
