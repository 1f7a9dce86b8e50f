"""The real servers tests run against: PostgreSQL, Redis, the portal itself, a mail server, and scriptable HTTP ones.

Each lives on loopback in a temporary folder and ends with the process that started it, however that process ends.
"""
