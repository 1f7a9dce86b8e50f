"""Read the audit log, and find the people who may see an app."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import QuerySet

from core.accounts.models import AuditEvent
from core.lib.app_access import visible_apps

VERBS = ("added", "changed", "deleted")
MAX_EDITS = 50


@dataclass(frozen=True)
class Edit:
    """A row that a user added, changed or deleted in the admin."""

    at: datetime
    model: str  # A label such as "alerts.alertrule".
    pk: str
    verb: str
    username: str  # Empty if the user has been deleted.
    fields: str  # The changed fields, such as "Threshold and Severity".


def edits_between(
    since: datetime, until: datetime, *, models: Collection[str], limit: int = MAX_EDITS
) -> list[Edit]:
    """Return the newest edits of rows of these models in the time range, both ends included, newest first."""
    actions = [f"{model} {verb}" for model in models for verb in VERBS]
    events = AuditEvent.objects.filter(at__gte=since, at__lte=until, action__in=actions)
    return [_edit(event) for event in events.order_by("-at", "-pk")[:limit]]


def _edit(event: AuditEvent) -> Edit:
    model, _, verb = event.action.partition(" ")
    pk = event.target.rpartition(" ")[2]
    return Edit(event.at, model, pk, verb, event.username, _fields(event.detail))


def _fields(detail: str) -> str:
    """Return the field names in a change message of Django's admin, or "" if it names none."""
    named = re.match(r"Changed ([^.]+)\.", detail)
    return named[1] if named else ""


EXPORT_BATCH = 1_000


def in_batches(events: "QuerySet[AuditEvent]") -> Iterator[AuditEvent]:
    """Yield the events, oldest first. Query them in batches, so that no single query runs for minutes."""
    last = 0
    while batch := list(events.filter(pk__gt=last).order_by("pk")[:EXPORT_BATCH]):
        yield from batch
        last = batch[-1].pk


def list_staff_who_see(apps: Collection[int], permission: str) -> list[User]:
    """Return the active staff who have the permission and may see all of these apps, sorted by user name."""
    staff = User.objects.filter(is_staff=True, is_active=True).order_by("username")
    return [person for person in staff if sees(person, apps, permission)]


def sees(person: User, apps: Collection[int], permission: str) -> bool:
    """Return True if the person is active staff, has the permission, and may see all of these apps."""
    if not (person.is_staff and person.is_active and person.has_perm(permission)):
        return False
    visible = visible_apps(person)
    return visible is None or visible.issuperset(apps)
