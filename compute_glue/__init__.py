"""What runs a guest from a volume: the QEMU command line, its monitor, its console."""
