"""Django's PostgreSQL backend with one habit added; named by ENGINE in the settings."""
