"""Define caches in the memory of each process. A read of a cache ends within a time limit.

If the database is unavailable, the caches return the last known state.
"""
