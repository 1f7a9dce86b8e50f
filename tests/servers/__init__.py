"""Run real servers for tests: PostgreSQL, Redis, the portal itself, a mail server, and scriptable HTTP servers.

By default, each server listens on loopback. It keeps its files in a temporary folder, and ends with the process that
started it, even if that process is killed.
"""
