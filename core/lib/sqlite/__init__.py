"""Extend Django's SQLite backend by a read-only mode. ENGINE in the settings selects this backend."""
