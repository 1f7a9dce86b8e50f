"""Test the read-only mode, and the move from SQLite to PostgreSQL."""
