"""Define the caches of a process, which answer within a time limit.

If the database is unavailable, they return the last known state.
"""
