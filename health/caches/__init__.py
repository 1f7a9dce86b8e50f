"""Per-process caches that answer within a time limit, with the last known state while the database is unavailable."""
