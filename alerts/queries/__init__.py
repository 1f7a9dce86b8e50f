"""What can be asked about alerts. Other apps call these; the rest is in the modules beside."""

from alerts.queries.inbox import ActiveSummary, active_summary
from alerts.queries.silences import InForce, silences_in_force

__all__ = ["ActiveSummary", "InForce", "active_summary", "silences_in_force"]
