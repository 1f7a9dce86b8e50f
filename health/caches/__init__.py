"""Define caches in the memory of each process.

A read ends within a time limit. If the database is unavailable, it returns the last known state.
"""
