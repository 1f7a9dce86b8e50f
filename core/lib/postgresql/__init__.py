"""Extend Django's PostgreSQL backend for outages and failovers. ENGINE in the settings selects this backend."""
