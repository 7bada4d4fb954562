"""Users, projects and tokens, and the two ways in: Keystone v3 and Swift v1."""
