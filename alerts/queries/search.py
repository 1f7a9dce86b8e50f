"""Find the alerts that the tab, the filters and the search line in the URL of the inbox select.

Bulk actions use the same code, so that they act on the alerts that the inbox lists.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import CharField, F, Q
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce

from alerts.extension_points import Severity
from alerts.models import AlertRule, AlertState, AlertType, SystemAlert
from alerts.models.alert import SystemAlertQuerySet
from alerts.queries.inbox import list_sources
from core.lib import search_terms
from core.lib.app_access import limit
from core.lib.search_terms import Completion, Term

Alerts = SystemAlertQuerySet
Person = User | AnonymousUser

STATES = {
    "": "Active",
    "overdue": "Overdue",
    "dismissed": "Dismissed",
    "resolved": "Resolved",
    "all": "All",
}
FILTERS = ("q", "severity", "type", "source")
GROUPINGS = {"": "None", "type": "Type", "source": "Source", "cause": "Cause"}
KEYS = {
    "severity": "critical, high, medium, warning or info",
    "type": "Alert type",
    "source": "App or part of the portal that reported the alert",
    "rule": "Name of the alert's rule",
    "cause": "Name of the alert's rule, or the key of a problem without a rule",
    "is": "open, acknowledged, dismissed, resolved, unread, overdue, flapping or mine",
    "acknowledged": "Person who acknowledged the alert; me for your own",
}
IS_VALUES = (
    "open",
    "acknowledged",
    "dismissed",
    "resolved",
    "unread",
    "overdue",
    "flapping",
    "mine",
)
# The search knows only the label names that occur in this many of the newest alerts.
MAX_LABELED_ALERTS = 500


@dataclass
class FoundAlerts:
    """The alerts that match a URL, with its valid parameters and the errors in its filters and search line."""

    alerts: Alerts
    state: str
    filters: dict[str, str]
    group_by: str
    problems: list[str] = field(default_factory=list)


def find_alerts(parameters: Mapping[str, str], *, user: Person, now: datetime) -> FoundAlerts:
    """Return the alerts that match the parameters of the inbox's URL, or none if a filter or the search is invalid."""
    state = parameters.get("state", "")
    state = state if state in STATES else ""
    filters = {name: parameters.get(name, "").replace("\0", "").strip()[:500] for name in FILTERS}
    group_by = parameters.get("by", "")
    found = FoundAlerts(
        _filter_by_state(state, now=now),
        state,
        filters,
        group_by if group_by in GROUPINGS else "",
    )
    condition = Q()
    for name in FILTERS[1:]:
        if filters[name]:
            try:
                condition &= _FILTERS[name](filters[name])
            except ValueError as error:
                found.problems.append(str(error))
    for term in search_terms.parse(filters["q"]):
        try:
            part = _build_condition(term, user, now)
        except ValueError as error:
            found.problems.append(str(error))
            continue
        condition &= ~part if term.is_negative else part
    found.alerts = found.alerts.filter(condition) if not found.problems else found.alerts.none()
    return found


def of_families(alerts: Alerts, group_by: str, families: Sequence[str]) -> Alerts:
    condition = Q(family__in=list(families))
    return annotate_family(alerts, group_by).filter(condition)


def annotate_family(alerts: Alerts, group_by: str) -> Alerts:
    """Annotate the alerts with `family`, the value by which they are grouped.

    For the grouping by cause, the value is the name of the rule, or the key of the problem if there is no rule.
    """
    expressions = {"type": F("alert_type"), "source": F("source")}
    cause = Coalesce(F("rule__name"), F("key"), output_field=CharField())
    return alerts.alias(family=expressions.get(group_by, cause))


def complete(typed: str) -> Completion:
    """Return suggestions for completing the search line, given the text before the cursor."""
    labels = _load_labels()
    keys = KEYS | {key: "Label" for key in sorted(labels) if key not in KEYS}

    def values_of(key: str, prefix: str) -> Iterable[str]:
        values: Iterable[str]
        match key:
            case "severity":
                values = reversed(Severity.values)
            case "type":
                values = AlertType.objects.order_by("slug").values_list("slug", flat=True)
            case "source":
                values = list_sources()
            case "rule" | "cause":
                values = AlertRule.objects.order_by("name").values_list("name", flat=True)
            case "is":
                values = IS_VALUES
            case "acknowledged":
                staff = User.objects.filter(is_staff=True, is_active=True).order_by("username")
                values = ["me", *staff.values_list("username", flat=True)]
            case _:
                values = sorted(labels.get(key, ()))
        return [one for one in values if one.lower().startswith(prefix.lower())]

    return search_terms.complete(typed, keys=keys, values_of=values_of)


def _filter_by_state(state: str, *, now: datetime) -> Alerts:
    visible = limit(SystemAlert.objects.visible())
    match state:
        case "overdue":
            return limit(SystemAlert.objects.overdue(now)).worst_first()
        case "dismissed":
            return visible.filter(state=AlertState.DISMISSED).order_by("-dismissed_at", "-pk")
        case "resolved":
            return visible.filter(state=AlertState.RESOLVED).order_by("-resolved_at", "-pk")
        case "all":
            return visible.order_by("-opened_at", "-pk")
    return limit(SystemAlert.objects.active()).worst_first()


def _severity(value: str) -> Q:
    if value not in Severity.values:
        names = ", ".join(Severity.values)
        raise ValueError(f"unknown severity {value!r}; use one of {names}")
    return Q(severity=value)


def _build_condition(term: Term, user: Person, now: datetime) -> Q:
    if not term.key:
        word = term.value
        return Q(title__icontains=word) | Q(message__icontains=word) | Q(key__icontains=word)
    if term.key in _FILTERS:
        return _FILTERS[term.key](term.value)
    if term.key == "is":
        return _is(term.value, user, now)
    if term.key == "acknowledged":
        if term.value == "me":
            return Q(acknowledged_by=user.pk)
        return Q(acknowledged_by__username=term.value)
    return _label(term)


def _is(value: str, user: Person, now: datetime) -> Q:
    conditions = {
        "unread": Q(read_at=None),
        "overdue": Q(state=AlertState.OPEN, respond_by__lt=now),
        "flapping": Q(is_flapping=True),
        "mine": Q(acknowledged_by=user.pk),
        **{state: Q(state=state) for state in IS_VALUES[:4]},
    }
    if value not in conditions:
        raise ValueError(f"unknown filter is:{value}; use {', '.join(IS_VALUES)}")
    return conditions[value]


def _label(term: Term) -> Q:
    """Return the condition for alerts with this label.

    Raises ValueError if none of the newest alerts has a label with this name.
    """
    names = {name for name in _load_labels() if name.lower() == term.key}
    if not names:
        known = [*KEYS, *_load_labels()]
        raise ValueError(search_terms.describe_unknown_key(term.key, term.value, known))
    condition = Q()
    for name in sorted(names):
        value: Any = KeyTextTransform(name, "labels")
        labeled = SystemAlert.objects.alias(label_value=Cast(value, CharField()))
        condition |= Q(pk__in=labeled.filter(label_value=term.value).values("pk"))
    return condition


def _load_labels() -> dict[str, set[str]]:
    """Return the label names of the newest alerts, each with its values."""
    found: dict[str, set[str]] = {}
    newest = limit(SystemAlert.objects.exclude(labels={})).order_by("-pk")
    for labels in newest.values_list("labels", flat=True)[:MAX_LABELED_ALERTS]:
        for key, value in labels.items():
            found.setdefault(key, set()).add(str(value))
    return found


_FILTERS: dict[str, Callable[[str], Q]] = {
    "severity": _severity,
    "type": lambda value: Q(alert_type=value),
    "source": lambda value: Q(source=value),
    "rule": lambda value: Q(rule__name=value),
    "cause": lambda value: Q(rule__name=value) | Q(rule=None, key=value),
}
