"""Run real servers for tests: PostgreSQL, Redis, the portal itself, a mail server, and scriptable HTTP servers.

Each server listens on loopback, keeps its files in a temporary folder, and ends with the process that started it, even
if that process is killed.
"""
