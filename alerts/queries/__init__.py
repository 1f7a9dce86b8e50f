"""The public functions that read alerts. Other apps call these and not the modules of this package."""

from alerts.queries.inbox import ActiveSummary, active_summary
from alerts.queries.rules import limits_of
from alerts.queries.silences import InForce, silences_in_force

__all__ = ["ActiveSummary", "InForce", "active_summary", "limits_of", "silences_in_force"]
