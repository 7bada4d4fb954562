"""Every HTTP front door: Swift, Pithos, Keystone, images, and the operator's command line."""
