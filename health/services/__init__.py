"""What other apps call."""

from health.services.checks import record_results, run_checks
from health.services.measurements import record_measurements
from health.services.retention import prune

__all__ = ["prune", "record_measurements", "record_results", "run_checks"]
