"""Swift v1: accounts, containers and objects over HTTP at /v1/AUTH_<project>."""
