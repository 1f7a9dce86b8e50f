"""Add alerts, rules, channels, people to notify and on-call schedules to the search of the portal."""

from collections.abc import Iterator

from django.db.models import Q
from django.urls import reverse

from alerts.models import AlertRule, Channel, Person, Schedule, SystemAlert
from core.lib.app_access import limit
from core.lib.search_sources import MAX_HITS, Hit, Search, search_source


def _words(search: Search, *fields: str) -> Q:
    condition = Q()
    for word in search.text.split():
        one = Q()
        for field in fields:
            one |= Q(**{f"{field}__icontains": word})
        condition &= one
    return condition


@search_source(
    "alerts.alerts",
    title="Alerts",
    permission="alerts.view_systemalert",
    order=110,
    respects_apps=True,
)
def find_alerts(search: Search) -> Iterator[Hit]:
    """Find alerts by title and key, with active alerts first."""
    condition = _words(search, "title", "key")
    active = list(limit(SystemAlert.objects.active()).filter(condition).worst_first()[:MAX_HITS])
    others = (
        limit(SystemAlert.objects.visible())
        .filter(condition)
        .exclude(pk__in=[a.pk for a in active])
    )
    for alert in (*active, *others.order_by("-opened_at", "-pk")[:MAX_HITS]):
        url = reverse("alerts:alert-page", args=[alert.pk])
        yield Hit(alert.title, url, f"{alert.severity.capitalize()}, {alert.state}")


@search_source(
    "alerts.rules",
    title="Alert rules",
    permission="alerts.view_alertrule",
    order=820,
    respects_apps=True,
)
def find_rules(search: Search) -> Iterator[Hit]:
    for rule in AlertRule.objects.filter(_words(search, "name", "summary"))[:MAX_HITS]:
        url = reverse("admin:alerts_alertrule_change", args=[rule.pk])
        yield Hit(rule.summary, url, rule.name, rule.name == search.text)


@search_source(
    "alerts.channels",
    title="Channels",
    permission="alerts.view_channel",
    order=830,
    respects_apps=True,
)
def find_channels(search: Search) -> Iterator[Hit]:
    for channel in Channel.objects.filter(_words(search, "name", "kind"))[:MAX_HITS]:
        yield Hit(channel.name, reverse("admin:alerts_channel_change", args=[channel.pk]))


@search_source(
    "alerts.people",
    title="People to notify",
    permission="alerts.view_person",
    order=710,
    respects_apps=True,
)
def find_people(search: Search) -> Iterator[Hit]:
    for person in Person.objects.filter(_words(search, "name", "email"))[:MAX_HITS]:
        yield Hit(person.name, reverse("admin:alerts_person_change", args=[person.pk]))


@search_source(
    "alerts.schedules",
    title="On-call schedules",
    permission="alerts.view_schedule",
    order=715,
    respects_apps=True,
)
def find_schedules(search: Search) -> Iterator[Hit]:
    for schedule in Schedule.objects.filter(_words(search, "name", "description"))[:MAX_HITS]:
        yield Hit(schedule.name, reverse("alerts:on-call-schedule", args=[schedule.pk]))
