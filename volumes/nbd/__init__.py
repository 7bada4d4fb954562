"""The NBD front end: wire, handshake, transmission, server."""
