"""Functions that only read, for pages, alert rules and other apps. Measurements are read from roll-ups."""

from health.queries.usage import request_count

__all__ = ["request_count"]
