"""Extend Django's SQLite backend with a read-only mode. ENGINE in the settings selects this backend."""
