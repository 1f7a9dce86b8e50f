"""Resolve stored events with source maps, in workers. Clients do not wait for the resolution.

Each row in EventToResolve is an event to resolve; queued tasks only make the work start sooner. A worker claims a row
and counts the attempt before it processes the event. Therefore, a source map that crashes the worker is tried only
three times.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from django.db import transaction
from django.db.models import F, Max, Q

from core.lib import queue
from errors.event import fingerprint, json_codec
from errors.event.titles import culprit_of, title_of
from errors.exceptions import StorageUnavailable
from errors.models import (
    ArtifactBundle,
    ErrorEvent,
    ErrorGroup,
    EventPayload,
    EventToResolve,
    ResolvedEvent,
    ResolvedStack,
    received_id,
)
from errors.source_maps.lookup import Maps
from errors.source_maps.resolve import Resolution, apply, resolve
from errors.store import payloads
from errors.store.regroup import Resolved, regroup
from errors.store.write_lock import write_lock

log = logging.getLogger(__name__)

BATCH_SIZE = 50
MAX_ATTEMPTS = 3
CLAIM = timedelta(minutes=2)
# After an upload, the newest events of each group from this period are resolved as well.
LOOK_BACK = timedelta(days=14)
MAX_GROUPS = 200
MAX_EVENTS_PER_GROUP = 50
MAX_EVENTS = 2_000
# This long after an app's first upload, all processes know that they must mark the app's events for resolution.
# A second pass then queues the events that were stored before.
SETTLE = timedelta(seconds=15)
PLATFORMS = ("javascript", "node")
_MAX_APPS = 4  # A worker closes the source maps of the apps that it used least recently.

_maps: OrderedDict[int, tuple[Any, Maps]] = OrderedDict()


def resolve_pending(*, now: datetime, seconds: float = 30.0) -> int:
    """Process waiting events until none is left or `seconds` have passed. Return the number of attempts.

    If the time is over, queue a task that resolves the rest.
    """
    ends = time.monotonic() + seconds
    count = 0
    while time.monotonic() < ends:
        claimed = _claim(now)
        if not claimed:
            return count
        _resolve_batch(claimed, now)
        count += len(claimed)
    queue.enqueue("errors.tasks.resolve_events")
    return count


def _claim(now: datetime) -> list[int]:
    """Claim waiting events: either a batch of new events, or a single event that was tried before."""
    with write_lock(), transaction.atomic():
        free = EventToResolve.objects.filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
        rows = free.select_for_update(skip_locked=True).order_by("pk")
        ids = list(rows.filter(attempts=0).values_list("pk", flat=True)[:BATCH_SIZE])
        ids = ids or list(rows.filter(attempts__lt=MAX_ATTEMPTS).values_list("pk", flat=True)[:1])
        EventToResolve.objects.filter(pk__in=ids).update(
            attempts=F("attempts") + 1, claimed_until=now + CLAIM
        )
    return ids


def _resolve_batch(ids: Sequence[int], now: datetime) -> None:
    events = ErrorEvent.objects.filter(pk__in=ids).in_bulk()
    results: list[tuple[ErrorEvent, dict[str, Any], Resolution]] = []
    used: set[int] = set()
    for place, pk in enumerate(ids):
        event = events.get(pk)
        if event is None:
            continue
        try:
            payload = payloads.payload_of(event)
            maps = _maps_of(event.app_id)
            results.append((event, payload, resolve(payload, maps)))
            used |= maps.used_bundles
        except EventPayload.DoesNotExist:
            continue
        except StorageUnavailable as error:
            log.warning(
                "the storage of source maps is unavailable", extra={"error": str(error)[:200]}
            )
            _postpone(ids[place:], now)
            ids = ids[:place]
            _maps.clear()
            break
        except Exception:
            log.exception("source maps could not be applied to an event", extra={"event": pk})
            results.append(
                (event, {}, Resolution(problems=["The portal failed to resolve this event."]))
            )
    with write_lock(), transaction.atomic():
        for event, payload, result in results:
            _save(event, payload, result)
        EventToResolve.objects.filter(pk__in=ids).delete()
        ArtifactBundle.objects.filter(
            pk__in=used, last_used_at__lt=now - timedelta(hours=1)
        ).update(last_used_at=now)


def _postpone(ids: Sequence[int], now: datetime) -> None:
    """Postpone the resolution of the events by CLAIM, without counting this attempt."""
    EventToResolve.objects.filter(pk__in=ids).update(
        attempts=F("attempts") - 1, claimed_until=now + CLAIM
    )


def _maps_of(app_id: int) -> Maps:
    """Return the app's source maps, from this process's cache unless the app has uploaded files since."""
    version = ArtifactBundle.objects.filter(app=app_id).aggregate(
        pk=Max("pk"), at=Max("uploaded_at")
    )
    known = _maps.get(app_id)
    if known is None or known[0] != version:
        known = _maps[app_id] = (version, Maps(app_id))
    _maps.move_to_end(app_id)
    while len(_maps) > _MAX_APPS:
        _maps.popitem(last=False)
    return known[1]


def _save(event: ErrorEvent, payload: dict[str, Any], result: Resolution) -> None:
    stack = _stack_row(result) if result.stacks else None
    ResolvedEvent.objects.update_or_create(
        event_id=event.pk,
        defaults={"stack": stack, "is_complete": result.is_complete, "problems": result.problems},
    )
    if not result.stacks:
        return
    resolved = apply(payload, result.stacks)
    title, kind = title_of(resolved)
    tags = payload.get("tags")
    regroup(
        Resolved(
            event=event,
            minified_hash=fingerprint.fingerprint(payload),
            original_hash=fingerprint.fingerprint(resolved),
            earlier_hashes=[earlier(resolved) for earlier in fingerprint.EARLIER],
            title=title[:300],
            culprit=culprit_of(resolved)[:300],
            type=kind[:200],
            tags=list(tags.items()) if isinstance(tags, dict) else [],
        )
    )


def _stack_row(result: Resolution) -> ResolvedStack:
    data = json_codec.encode(result.stacks)
    digest = blake2b(data, digest_size=16).hexdigest()
    row, _ = ResolvedStack.objects.get_or_create(
        digest=digest, defaults={"data": payloads.pack(data)}
    )
    return row


# --- after an upload --------------------------------------------------------------------------------
def queue_waiting(app_id: int, *, now: datetime) -> int:
    """Queue the app's recent events that are not completely resolved, at most MAX_EVENTS. Return their number.

    Only the newest events of the groups that were seen last are considered.
    """
    since = now - LOOK_BACK
    groups = ErrorGroup.objects.filter(
        app=app_id, platform__in=PLATFORMS, last_seen_at__gte=since
    ).order_by("-last_seen_at")
    found: list[int] = []
    for group_id in groups.values_list("pk", flat=True)[:MAX_GROUPS]:
        newest = list(
            ErrorEvent.objects.filter(group=group_id, pk__gte=received_id(since))
            .order_by("-pk")
            .values_list("pk", flat=True)[:MAX_EVENTS_PER_GROUP]
        )
        complete = ResolvedEvent.objects.filter(pk__in=newest, is_complete=True)
        found += sorted(set(newest) - set(complete.values_list("pk", flat=True)))
        if len(found) >= MAX_EVENTS:
            break
    EventToResolve.objects.bulk_create(
        [EventToResolve(event_id=pk) for pk in found[:MAX_EVENTS]],
        ignore_conflicts=True,
        batch_size=500,
    )
    return min(len(found), MAX_EVENTS)


def settle_uploads(*, now: datetime) -> int:
    """Queue, for a second time, the events that recent uploads may resolve. Return the number of uploads."""
    due = ArtifactBundle.objects.filter(is_settled=False, uploaded_at__lt=now - SETTLE)
    rows = list(due.values_list("pk", "app_id"))
    for app_id in sorted({app_id for _, app_id in rows}):
        queue_waiting(app_id, now=now)
    due.filter(pk__in=[pk for pk, _ in rows]).update(is_settled=True)
    return len(rows)


def give_up(*, now: datetime) -> int:
    """Stop trying to resolve events after MAX_ATTEMPTS failures. Return their number."""
    failed = EventToResolve.objects.filter(attempts__gte=MAX_ATTEMPTS, claimed_until__lt=now)
    ids = list(failed.values_list("pk", flat=True)[:1_000])
    for pk in ids:
        ResolvedEvent.objects.update_or_create(
            event_id=pk,
            defaults={
                "is_complete": True,
                "problems": [
                    "Applying source maps to this event failed three times. A source map may be too large."
                ],
            },
        )
    EventToResolve.objects.filter(pk__in=ids).delete()
    return len(ids)


def clear() -> None:
    """Close the source maps that this process keeps open."""
    _maps.clear()
