"""Accounts, containers, objects, and which account possesses which blocks. No HTTP here."""
