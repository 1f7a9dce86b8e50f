"""What other apps call."""

from health.services.measurements import record_measurements

__all__ = ["record_measurements"]
