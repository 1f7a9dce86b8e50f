"""Define caches in each process that answer within a time limit.

If the database is unavailable, they return the last known state.
"""
