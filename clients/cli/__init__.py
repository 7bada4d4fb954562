"""The command `kamaki`: the only place here that reads arguments, environment and settings."""
