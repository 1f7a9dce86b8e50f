"""Delete groups, single events, and all events of a user, in small transactions. A later run can continue a deletion.

Deleting events lowers the counts of their group. The counts by app and minute stay, because they count received events.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from core.clients.models import ClientApp
from errors.models import (
    ErrorEvent,
    ErrorGroup,
    EventDeletion,
    EventPayload,
    EventToResolve,
    GroupHour,
    GroupTag,
    GroupUser,
    ReleaseErrorUser,
    ResolvedEvent,
    SeenEvent,
    UserReport,
)
from errors.services.retention import Budget
from errors.store import payloads
from errors.store.groups import group_cache
from errors.store.regroup import remove_event
from errors.store.write_lock import write_lock

CHUNK_SIZE = 100  # Events deleted per transaction.
# A request deletes events for about this long, and a task deletes the rest.
AT_ONCE_SECONDS = 2.0


def delete_groups(groups: Sequence[ErrorGroup], *, now: datetime) -> int:
    """Delete the groups, the groups merged into them, and all their events. Return the number of given groups.

    The groups disappear from pages immediately, while a task may delete their events later. Later events of the same
    error create a new group.
    """
    with write_lock(), transaction.atomic():
        ids = [group.pk for group in groups]
        found = ErrorGroup.objects.filter(Q(pk__in=ids) | Q(merged_into__in=ids))
        family = list(found.select_for_update().order_by("pk"))
        EventDeletion.objects.bulk_create(
            EventDeletion(app_id=group.app_id, group=group.pk, requested_at=now) for group in family
        )
        of_family = [group.pk for group in family]
        for model in (GroupHour, GroupTag, GroupUser):
            model._default_manager.filter(group__in=of_family).delete()
        ErrorGroup.objects.filter(pk__in=of_family).delete()
        transaction.on_commit(group_cache.clear)
    continue_deletions(seconds=AT_ONCE_SECONDS)
    return len(ids)


def delete_event(event: ErrorEvent) -> None:
    """Delete one event, and lower the counts of its group."""
    _delete_counted([event.pk])


def delete_events_of_user(*, app: ClientApp, user_key: str, now: datetime) -> None:
    """Delete all events of a user of the app. A task deletes the events that remain after AT_ONCE_SECONDS."""
    EventDeletion.objects.create(app=app, user_key=user_key, requested_at=now)
    continue_deletions(seconds=AT_ONCE_SECONDS)


def continue_deletions(*, seconds: float = 40.0) -> int:
    """Continue requested deletions until all are done or `seconds` have passed. Return the number of deleted events."""
    budget = Budget(seconds)
    count = 0
    for deletion in EventDeletion.objects.order_by("pk"):
        chunks = _of_user(deletion) if deletion.user_key else _of_group(deletion)
        for ids in chunks:
            if deletion.user_key:
                _delete_counted(ids)
            else:
                with write_lock(), transaction.atomic():
                    _delete_rows(ids)
            count += len(ids)
            if budget.is_spent:
                return count
        with transaction.atomic():
            if deletion.user_key:
                releases = ReleaseErrorUser.objects.filter(release__app=deletion.app_id)
                releases.filter(user_key=deletion.user_key).delete()
            deletion.delete()
    return count


def _of_group(deletion: EventDeletion) -> Iterator[list[int]]:
    while True:
        events = ErrorEvent.objects.filter(group_id=deletion.group).order_by("pk")
        ids = list(events.values_list("pk", flat=True)[:CHUNK_SIZE])
        if not ids:
            return
        yield ids


def _of_user(deletion: EventDeletion) -> Iterator[list[int]]:
    """Yield the ids of the user's events in chunks, group by group, because events have no index by user."""
    groups = ErrorGroup.objects.filter(app=deletion.app_id, users__user_key=deletion.user_key)
    for group_id in list(groups.order_by("pk").values_list("pk", flat=True)):
        last = 0
        while True:
            events = ErrorEvent.objects.filter(group_id=group_id, pk__gt=last)
            events = events.filter(user_key=deletion.user_key).order_by("pk")
            ids = list(events.values_list("pk", flat=True)[:CHUNK_SIZE])
            if not ids:
                break
            yield ids
            last = ids[-1]
        _remove_user(group_id, deletion.user_key)


def _remove_user(group_id: int, user_key: str) -> None:
    """Remove the user from a group in which no events of the user remain, and update the group's user count."""
    with write_lock(), transaction.atomic():
        group = ErrorGroup.objects.select_for_update().filter(pk=group_id).first()
        if group is None:
            return
        deleted, _ = GroupUser.objects.filter(group_id=group_id, user_key=user_key).delete()
        for pk in {group.pk, group.merged_into_id or group.pk} if deleted else ():
            shown = ErrorGroup.objects.select_for_update().get(pk=pk)
            users = GroupUser.objects.filter(group__in=shown.family)
            shown.user_count = users.values("user_key").distinct().count()
            shown.save(update_fields=["user_count"])


def _delete_counted(ids: Sequence[int]) -> None:
    tags = {pk: payload.get("tags") for pk, payload in payloads.all_payloads(ids)}
    with write_lock(), transaction.atomic():
        for event in ErrorEvent.objects.filter(pk__in=ids).order_by("group_id", "pk"):
            found = tags.get(event.pk)
            _delete_rows([event.pk])
            remove_event(event, found if isinstance(found, dict) else {})
    group_cache.clear()


def _delete_rows(ids: Iterable[int]) -> None:
    events = ErrorEvent.objects.filter(pk__in=list(ids))
    by_app: dict[int, list[UUID]] = {}
    for app_id, event_id in events.values_list("app_id", "event_id"):
        by_app.setdefault(app_id, []).append(event_id)
    for app_id, event_ids in by_app.items():
        SeenEvent.objects.filter(event_id__in=event_ids, app_id=app_id).delete()
        UserReport.objects.filter(app=app_id, event_id__in=event_ids).delete()
    for model in (EventPayload, EventToResolve, ResolvedEvent):
        model._default_manager.filter(pk__in=list(ids)).delete()
    events.delete()
