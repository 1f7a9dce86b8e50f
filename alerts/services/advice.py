"""Find the rules that opened the most alerts in a week, and suggest thresholds for them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import Count, Q

from alerts import tuning
from alerts.models import (
    FIRING_KINDS,
    AlertEvent,
    AlertRule,
    Notification,
    NotificationState,
    RuleAdvice,
    RuleReading,
    SystemAlert,
)

WEEK = timedelta(days=7)
HISTORY = timedelta(days=30)
MIN_ALERTS = 3  # A rule is noisy if it opened at least this many alerts in a week.
MAX_RULES = 10
# A suggestion replays all readings up to 13 times, so a rule with more readings gets no suggestion.
MAX_READINGS = 300_000
OPENINGS = (AlertEvent.Kind.OPENED, AlertEvent.Kind.REOPENED)


class NoSuggestion(Exception):
    """The search found no suggestion for the rule, or the threshold was changed after the search."""


def find_noisy_rules(*, now: datetime) -> list[RuleAdvice]:
    """Replace the stored list of noisy rules, and return the new list, noisiest rule first."""
    found = [
        _advise(rule, rank, alert_count, now=now)
        for rank, (rule, alert_count) in enumerate(_list_noisiest(now), start=1)
    ]
    with transaction.atomic():
        RuleAdvice.objects.all().delete()
        return RuleAdvice.objects.bulk_create(found)


def _list_noisiest(now: datetime) -> list[tuple[AlertRule, int]]:
    opened = AlertEvent.objects.filter(
        kind__in=OPENINGS, at__gt=now - WEEK, at__lte=now, alert__rule__is_enabled=True
    )
    counts = (
        opened.values_list("alert__rule")
        .annotate(count=Count("pk"))
        .filter(count__gte=MIN_ALERTS)
        .order_by("-count", "alert__rule")[:MAX_RULES]
    )
    found = dict(counts)
    rules = AlertRule.objects.in_bulk(found)
    return [(rules[pk], count) for pk, count in found.items()]


def _advise(rule: AlertRule, rank: int, alert_count: int, *, now: datetime) -> RuleAdvice:
    readings = partial(_read, rule, now)
    present, suggestion = tuning.Replay(), None
    if RuleReading.objects.filter(rule=rule, at__gt=now - HISTORY).count() <= MAX_READINGS:
        limits = rule.get_limits()
        present = tuning.replay(readings(), limits)
        suggestion = tuning.suggest(
            readings, limits, present=present, acknowledged=_list_acknowledged(rule, now)
        )
    messages = Notification.objects.filter(
        alert__rule=rule, kind__in=FIRING_KINDS, created_at__gt=now - WEEK, created_at__lte=now
    ).exclude(state__in=[NotificationState.MERGED, NotificationState.GROUPED])
    acknowledged = SystemAlert.objects.filter(
        rule=rule, acknowledged_at__gt=now - WEEK, acknowledged_at__lte=now
    )
    return RuleAdvice(
        rule=rule,
        made_at=now,
        rank=rank,
        alert_count=alert_count,
        acknowledged_count=acknowledged.count(),
        message_count=messages.count(),
        readings_since=present.first_at,
        threshold=rule.threshold,
        fired_count=len(present.episodes),
        firing_minutes=present.firing_minutes,
        suggested_threshold=suggestion.threshold if suggestion else None,
        suggested_fired_count=len(suggestion.replay.episodes) if suggestion else None,
        suggested_firing_minutes=suggestion.replay.firing_minutes if suggestion else None,
    )


def _read(rule: AlertRule, now: datetime) -> Iterator[tuning.Row]:
    rows = RuleReading.objects.filter(rule=rule, at__gt=now - HISTORY, at__lte=now)
    return rows.order_by("key", "at").values_list("key", "at", "value", "samples").iterator()


def _list_acknowledged(rule: AlertRule, now: datetime) -> list[tuning.Known]:
    """Return the alerts of the last 30 days that a person acknowledged or resolved."""
    seen = SystemAlert.objects.filter(
        Q(acknowledged_at__isnull=False) | Q(resolved_by__isnull=False),
        rule=rule,
        last_seen_at__gt=now - HISTORY,
    )
    return [tuning.Known(one.key, one.opened_at, one.resolved_at or now) for one in seen]


@transaction.atomic
def use_suggestion(rule_id: int) -> AlertRule:
    """Set the threshold of the rule to the suggested threshold.

    Raises NoSuggestion if there is no suggestion, or if the threshold was changed after the search.
    """
    advice = RuleAdvice.objects.select_for_update().filter(rule=rule_id).first()
    if advice is None or advice.suggested_threshold is None:
        raise NoSuggestion
    rule = advice.rule
    limits = tuning.with_threshold(rule.get_limits(), advice.suggested_threshold)
    changed = AlertRule.objects.filter(pk=rule.pk, threshold=advice.threshold).update(
        threshold=limits.threshold, clear_threshold=limits.clear_threshold
    )
    if not changed:
        raise NoSuggestion
    advice.delete()
    rule.refresh_from_db()
    return rule
