"""Keep caches per process that answer within a time limit.

If the database is unavailable, they return the last state.
"""
