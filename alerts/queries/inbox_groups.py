"""Group alerts by type, source or cause, so that hundreds of similar alerts need only one row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Max, Min, Q, Sum

from alerts.extension_points import Severity
from alerts.models import AlertRule, AlertState, AlertType
from alerts.models.alert import SEVERITY_RANK, STATE_RANK
from alerts.queries.search import Alerts, annotate_family

# Maps each grouping to the key that finds the alerts of a family in the search language.
SEARCH_KEYS = {"type": "type", "source": "source", "cause": "cause"}
_SEVERITY_OF_RANK = {severity.rank: severity for severity in Severity}


@dataclass(frozen=True)
class Family:
    """The alerts that share a type, source or cause, summarized for one row of the inbox."""

    value: str
    count: int
    severity: Severity  # The highest severity in the family.
    critical_count: int
    open_count: int
    unread_count: int
    occurrence_count: int
    newest_at: datetime
    oldest_at: datetime
    only_alert: int  # The id of the only alert, or 0 if the family has several alerts.


def list_families(alerts: Alerts, group_by: str) -> list[Family]:
    """Return the families of the alerts, ordered by their most urgent state, then by severity, then newest first."""
    is_open = Q(state=AlertState.OPEN)
    rows = (
        annotate_family(alerts, group_by)
        .order_by()
        .values(shared=F("family"))
        .annotate(
            count=Count("pk"),
            state_rank=Min(STATE_RANK),
            severity_rank=Max(SEVERITY_RANK),
            critical_count=Count("pk", filter=Q(severity=Severity.CRITICAL)),
            open_count=Count("pk", filter=is_open),
            unread_count=Count("pk", filter=Q(read_at=None)),
            occurrences=Sum("occurrence_count"),
            newest_at=Max("opened_at"),
            oldest_at=Min("opened_at"),
            newest=Max("pk"),
        )
        .order_by("state_rank", "-severity_rank", "-newest_at", "shared")
    )
    return [
        Family(
            row["shared"],
            row["count"],
            _SEVERITY_OF_RANK[row["severity_rank"]],
            row["critical_count"],
            row["open_count"],
            row["unread_count"],
            row["occurrences"],
            row["newest_at"],
            row["oldest_at"],
            row["newest"] if row["count"] == 1 else 0,
        )
        for row in rows
    ]


def family_names(group_by: str, values: Sequence[str]) -> dict[str, str]:
    """Return the display name of each family value that stands for an alert type or a rule."""
    if group_by == "type":
        return dict(AlertType.objects.filter(slug__in=values).values_list("slug", "name"))
    if group_by == "cause":
        rules = AlertRule.objects.filter(name__in=values)
        return {rule.name: rule.problem_name for rule in rules}
    return {}
