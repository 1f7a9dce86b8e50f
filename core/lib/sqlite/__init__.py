"""Provide a version of Django's SQLite backend with a read-only mode. ENGINE in the settings selects it."""
