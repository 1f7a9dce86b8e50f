"""Django's PostgreSQL backend, changed to fail fast. Selected by ENGINE in the settings."""
