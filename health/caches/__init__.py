"""Define caches that each process has, and whose reads end within a time limit.

If the database is unavailable, the caches return the last known state.
"""
