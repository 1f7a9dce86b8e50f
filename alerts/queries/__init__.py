"""Export the functions that read alerts. Other apps import them from here, not from the modules of this package."""

from alerts.queries.channels import list_unrouted_channels
from alerts.queries.inbox import ActiveSummary, active_summary
from alerts.queries.outbox import Backlog, list_backlogs
from alerts.queries.rules import limits_of
from alerts.queries.silences import InForce, silences_in_force

__all__ = [
    "ActiveSummary",
    "Backlog",
    "InForce",
    "active_summary",
    "limits_of",
    "list_backlogs",
    "list_unrouted_channels",
    "silences_in_force",
]
