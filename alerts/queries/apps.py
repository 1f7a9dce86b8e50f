"""Find the app that an alert concerns, and check which people may be notified about the alert."""

from collections.abc import Mapping

from django.db.models import Q

from alerts.models import Person, SystemAlert
from core.clients.models import ClientApp
from core.lib.app_access import visible_apps


def find_named_apps(labels: Mapping[str, object], metadata: Mapping[str, object]) -> set[int]:
    """Return the ids of the apps whose name or slug is the value of `app` in the labels or metadata of a problem."""
    names = {labels.get("app"), metadata.get("app")} - {None, ""}
    if not names:
        return set()
    apps = ClientApp.objects.filter(Q(name__in=names) | Q(slug__in=names))
    return set(apps.values_list("pk", flat=True))


def may_be_notified(person: Person, app_id: int | None) -> bool:
    """Return True if the person may be notified of an alert about the app, or about no app if `app_id` is None.

    A person without an account may be notified of every alert.
    """
    if app_id is None or person.user is None:
        return True
    apps = visible_apps(person.user)
    return apps is None or app_id in apps


def may_act_on(person: Person | None, alert: SystemAlert) -> bool:
    return person is None or may_be_notified(person, alert.app_id)
