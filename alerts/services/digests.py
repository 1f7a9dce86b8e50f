"""Mails that gather: error groups every quarter of an hour, `info` each day, and the owners' week."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string

from alerts import digest, reports
from alerts.channels import Message, configured, transport_of
from alerts.digest import DigestItem
from alerts.models import AlertType, Channel, DigestMention, DigestRun, Notification, SystemAlert
from alerts.queries import routing
from alerts.rules import Severity
from alerts.services import outbox

log = logging.getLogger(__name__)

QUARTER = timedelta(minutes=15)
ONCE_A = timedelta(days=1)
LISTED = 50  # lines of one mail; the rest is counted
KEPT = timedelta(days=7)


@transaction.atomic
def send_error_digest(*, now: datetime) -> str:
    """One mail of what is new, worse or back since the last one; a late run covers all of the time, in one mail."""
    until = _quarter(now)
    since = DigestRun.objects.claim("errors", first=until - QUARTER, until=until)
    if since is None:
        return "covered already"
    since = max(since, until - ONCE_A)
    found = [item for source in digest.registry for item in source(since, until)]
    items = _unmentioned(found, now)
    if not items:
        return "nothing new"
    _mention(items, now=now)
    items.sort(key=lambda item: (-Severity(item.severity).rank, -item.count, item.key))
    context = {
        "items": items[:LISTED],
        "more_count": max(0, len(items) - LISTED),
        "since": since,
        "until": until,
    }
    title = f"{len(items)} error group{'s' if len(items) > 1 else ''} new or worse"
    written = _put(
        name="digest",
        slot=f"{until:%Y%m%d%H%M}",
        title=title,
        template="digest",
        context=context,
        now=now,
    )
    return f"{len(items)} groups to {written} recipients' mails"


@transaction.atomic
def send_daily_digest(*, now: datetime) -> str:
    """What is only worth a line a day: alerts of types that are not announced one by one."""
    since = DigestRun.objects.claim("daily", first=now - ONCE_A, until=now)
    if since is None:
        return "covered already"
    quiet_types = AlertType.objects.filter(digest_only=True).values("slug")
    alerts = (
        SystemAlert.objects.visible()
        .filter(alert_type__in=quiet_types, opened_at__gte=since, opened_at__lt=now)
        .order_by("-opened_at", "-pk")
    )
    listed = list(alerts[:LISTED])
    if not listed:
        return "nothing to tell"
    context = {"alerts": listed, "base_url": settings.BASE_URL, "until": now}
    title = f"Daily digest: {alerts.count()} notices"
    written = _put(
        name="daily",
        slot=f"{now:%Y%m%d%H%M}",
        title=title,
        template="daily",
        context=context,
        now=now,
    )
    return f"{len(listed)} notices in {written} mails"


@transaction.atomic
def send_weekly_report(*, now: datetime) -> str:
    """How the week was: every app's part, in one HTML mail."""
    since = DigestRun.objects.claim("weekly", first=now - timedelta(days=7), until=now)
    if since is None:
        return "covered already"
    since = now - timedelta(days=7)
    sections = []
    for section in sorted(reports.registry, key=lambda section: section.order):
        try:
            with transaction.atomic():
                facts = section.facts(since, now)
        except Exception:
            # One part that fails must not cost the owners the others.
            log.exception("report section failed", extra={"section": section.name})
            facts = [reports.Fact("This part could not be made", "see the log")]
        if facts:
            sections.append((section.title, facts))
    context = {"sections": sections, "since": since, "until": now}
    title = f"The week until {now:%Y-%m-%d}"
    written = _put(
        name="weekly",
        slot=f"{now:%Y%m%d}",
        title=title,
        template="report",
        context=context,
        now=now,
    )
    return f"{len(sections)} parts in {written} mails"


def _quarter(now: datetime) -> datetime:
    """The quarter of an hour that has begun; counted in UTC, where no hour comes twice."""
    seconds = int(now.timestamp() // QUARTER.total_seconds() * QUARTER.total_seconds())
    return datetime.fromtimestamp(seconds, now.tzinfo)


def _unmentioned(items: Iterable[DigestItem], now: datetime) -> list[DigestItem]:
    by_key = {item.key: item for item in items}
    lately = dict(
        DigestMention.objects.filter(
            key__in=list(by_key), mentioned_at__gt=now - ONCE_A
        ).values_list("key", "mentioned_at")
    )
    return [
        item
        for key, item in by_key.items()
        if key not in lately or (item.regressed_at and item.regressed_at > lately[key])
    ]


def _mention(items: list[DigestItem], *, now: datetime) -> None:
    DigestMention.objects.bulk_create(
        [DigestMention(key=item.key, mentioned_at=now) for item in items],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["mentioned_at"],
    )
    DigestMention.objects.filter(mentioned_at__lt=now - KEPT).delete()


def _put(
    *, name: str, slot: str, title: str, template: str, context: dict[str, object], now: datetime
) -> int:
    """To every channel that gets digests; how many messages."""
    context = {**context, "base_url": settings.BASE_URL}
    text = render_to_string(f"emails/{template}.txt", context).strip()
    html = render_to_string(f"emails/{template}.html", {**context, "title": title})
    written = 0
    kind = Notification.Kind.REPORT if name == "weekly" else Notification.Kind.DIGEST
    channels = Channel.objects.enabled().filter(gets_digests=True).order_by("pk")
    for channel in configured(c for c in channels if transport_of(c).takes_digests):
        for way in routing.destinations([channel], severity=Severity.INFO, now=now):
            message = Message(
                kind=kind,
                title=title,
                text=text,
                html=html,
                source="opsportal",
                at=now,
                recipients=list(way.recipients),
            )
            written += bool(
                outbox.put(
                    channel=channel,
                    kind=kind,
                    key=f"{name}:{way.label}:{slot}",
                    stream=f"{name}/{way.label}",
                    message=message,
                    now=now,
                    not_before=way.not_before,
                )
            )
    return written
