"""The image registry at /image/v2: names for bootable content, in the shape of Glance v2."""
