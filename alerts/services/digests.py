"""Send digest e-mails: error groups every 15 minutes, low-priority alerts every day, and a report every week."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string

from alerts.channels import Message, filter_configured, get_transport
from alerts.channels.base import MessageKind
from alerts.extension_points import DigestItem, Fact, Severity, digest_sources, report_sections
from alerts.models import AlertType, Channel, DigestMention, DigestRun, Person, SystemAlert
from alerts.queries import routing
from alerts.services import outbox
from core.lib.app_access import limit, reading_as, sees_every_app

log = logging.getLogger(__name__)

DIGEST_INTERVAL = timedelta(minutes=15)
MENTION_INTERVAL = timedelta(days=1)
# An e-mail lists at most this many items, and states the number of further items.
MAX_LISTED = 50
MENTION_RETENTION = timedelta(days=7)
NO_CHANNEL = "no channel gets digests"
# The title, and the context for the templates.
Content = tuple[str, dict[str, object]]


@transaction.atomic
def send_error_digest(*, now: datetime) -> str:
    """Send new, worsening and regressed error groups by e-mail.

    A late run covers the whole period since the last run, but at most one day.
    """
    channels = _list_channels()
    if not channels:
        return NO_CHANNEL
    until = _floor_to_interval(now)
    since = DigestRun.objects.claim("errors", first=until - DIGEST_INTERVAL, until=until)
    if since is None:
        return "already covered"
    since = max(since, until - MENTION_INTERVAL)
    found = [item for source in digest_sources for item in source(since, until)]
    items = _exclude_recently_mentioned(found, now)
    if not items:
        return "nothing new"
    _record_mentions(items, now=now)
    items.sort(key=lambda item: (-item.severity.rank, -item.count, item.key))

    def build() -> Content | None:
        seen = items
        if not sees_every_app():
            visible = {item.key for source in digest_sources for item in source(since, until)}
            seen = [item for item in items if item.key in visible]
        if not seen:
            return None
        title = f"{len(seen)} new or worse error group{'s' if len(seen) > 1 else ''}"
        context = {
            "items": seen[:MAX_LISTED],
            "more_count": max(0, len(seen) - MAX_LISTED),
            "since": since,
            "until": until,
        }
        return title, context

    count = _enqueue_email(
        channels,
        name="digest",
        slot=f"{until:%Y%m%d%H%M}",
        template="digest",
        build=build,
        now=now,
    )
    return f"{len(items)} groups in {count} e-mails"


@transaction.atomic
def send_daily_digest(*, now: datetime) -> str:
    """Send the alerts that are only listed in the daily digest."""
    channels = _list_channels()
    if not channels:
        return NO_CHANNEL
    since = DigestRun.objects.claim("daily", first=now - MENTION_INTERVAL, until=now)
    if since is None:
        return "already covered"
    quiet_types = AlertType.objects.filter(digest_only=True).values("slug")
    alerts = (
        SystemAlert.objects.visible()
        .filter(alert_type__in=quiet_types, opened_at__gte=since, opened_at__lt=now)
        .order_by("-opened_at", "-pk")
    )
    listed = list(alerts[:MAX_LISTED])
    if not listed:
        return "nothing to report"

    def build() -> Content | None:
        seen = limit(alerts)
        count = seen.count()
        title = f"Daily digest: {count} alert{'' if count == 1 else 's'}"
        return (title, {"alerts": list(seen[:MAX_LISTED]), "until": now}) if count else None

    count = _enqueue_email(
        channels,
        name="daily",
        slot=f"{now:%Y%m%d%H%M}",
        template="daily",
        build=build,
        now=now,
    )
    return f"{len(listed)} alerts in {count} e-mails"


@transaction.atomic
def send_weekly_report(*, now: datetime) -> str:
    """Send the report for the last seven days, with the sections of all apps."""
    channels = _list_channels()
    if not channels:
        return NO_CHANNEL
    since = DigestRun.objects.claim("weekly", first=now - timedelta(days=7), until=now)
    if since is None:
        return "already covered"
    since = now - timedelta(days=7)
    sections = []
    for section in sorted(report_sections, key=lambda section: section.order):
        try:
            with transaction.atomic():
                facts = section.facts(since, now)
        except Exception:
            # A failing section must not prevent the other sections from being sent.
            log.exception("report section failed", extra={"section": section.name})
            facts = [Fact("This section is unavailable", "see the log")]
        if facts:
            sections.append((section.title, facts))

    def build() -> Content | None:
        """Return the report, or None for people who see only some apps, because the figures cover all apps."""
        if not sees_every_app():
            return None
        title = f"Weekly report, {since:%Y-%m-%d} to {now:%Y-%m-%d}"
        return title, {"sections": sections, "since": since, "until": now}

    count = _enqueue_email(
        channels,
        name="weekly",
        slot=f"{now:%Y%m%d}",
        template="report",
        build=build,
        now=now,
    )
    return f"{len(sections)} sections in {count} e-mails"


def _floor_to_interval(now: datetime) -> datetime:
    """Return the start of the current interval. It is computed in UTC, because local hours can occur twice."""
    seconds = int(
        now.timestamp() // DIGEST_INTERVAL.total_seconds() * DIGEST_INTERVAL.total_seconds()
    )
    return datetime.fromtimestamp(seconds, now.tzinfo)


def _exclude_recently_mentioned(items: Iterable[DigestItem], now: datetime) -> list[DigestItem]:
    """Return the items that were not mentioned within the last day or have regressed since their last mention."""
    by_key = {item.key: item for item in items}
    mentioned_at = dict(
        DigestMention.objects.filter(
            key__in=list(by_key), mentioned_at__gt=now - MENTION_INTERVAL
        ).values_list("key", "mentioned_at")
    )
    return [
        item
        for key, item in by_key.items()
        if key not in mentioned_at or (item.regressed_at and item.regressed_at > mentioned_at[key])
    ]


def _record_mentions(items: list[DigestItem], *, now: datetime) -> None:
    DigestMention.objects.bulk_create(
        [DigestMention(key=item.key, mentioned_at=now) for item in items],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["mentioned_at"],
    )
    DigestMention.objects.filter(mentioned_at__lt=now - MENTION_RETENTION).delete()


def _list_channels() -> list[Channel]:
    """Return the configured channels that get digests.

    If the list is empty, the caller does not claim the period, so that a later run covers it.
    """
    channels = Channel.objects.enabled().filter(gets_digests=True).order_by("pk")
    return filter_configured(c for c in channels if get_transport(c).supports_digests)


def _enqueue_email(
    channels: Iterable[Channel],
    *,
    name: str,
    slot: str,
    template: str,
    build: Callable[[], Content | None],
    now: datetime,
) -> int:
    """Enqueue the e-mail for each channel, and return the number of messages.

    `build` returns the title and the context for the templates, or None if there is nothing to send. `build` is called
    once for all recipients who see every app, and once for each recipient who sees only some apps.
    """
    count = 0
    kind = MessageKind.REPORT if name == "weekly" else MessageKind.DIGEST
    written: dict[Person | None, tuple[str, str, str] | None] = {}
    for channel in channels:
        for destination in routing.list_destinations([channel], severity=Severity.INFO, now=now):
            reader = destination.reader
            if reader not in written:
                with reading_as(partial(getattr, reader, "user") if reader else None):
                    written[reader] = _write(template, build())
            if (content := written[reader]) is None:
                continue
            title, text, html = content
            message = Message(
                kind=kind,
                title=title,
                text=text,
                html=html,
                source="opsportal",
                at=now,
                recipients=list(destination.recipients),
            )
            count += bool(
                outbox.enqueue_notification(
                    channel=channel,
                    kind=kind,
                    key=f"{name}:{destination.label}:{slot}",
                    stream=f"{name}/{destination.label}",
                    message=message,
                    now=now,
                    not_before=destination.not_before,
                )
            )
    return count


def _write(template: str, content: Content | None) -> tuple[str, str, str] | None:
    """Render an e-mail, and return its title, text and HTML, or None without content."""
    if content is None:
        return None
    title, context = content[0], {**content[1], "base_url": settings.BASE_URL}
    text = render_to_string(f"emails/{template}.txt", context).strip()
    return title, text, render_to_string(f"emails/{template}.html", {**context, "title": title})
