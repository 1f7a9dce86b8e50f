"""Reads for other apps and for the pages: always from roll-ups."""

from health.queries.usage import request_count

__all__ = ["request_count"]
