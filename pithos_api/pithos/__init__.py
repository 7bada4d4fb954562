"""The Pithos endpoint at /pithos/object-store/v1: objects by hashmaps and blocks."""
