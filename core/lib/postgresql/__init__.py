"""Provide a version of Django's PostgreSQL backend that fails early. ENGINE in the settings selects it."""
