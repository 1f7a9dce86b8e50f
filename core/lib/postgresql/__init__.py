"""A version of Django's PostgreSQL backend that fails fast. ENGINE in the settings selects it."""
