"""Tests of the read-only mode, and of the move from SQLite to PostgreSQL."""
