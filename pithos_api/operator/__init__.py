"""The command `archipelago`: for the operator, on the storage host."""
