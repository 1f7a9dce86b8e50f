"""Per-process caches that answer within a fixed time, and with the last known state while the database is down."""
