"""List the errors that affected a person, and the person's feedback, for the report of all data about that person."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse

from errors.models import ErrorEvent, GroupUser, UserReport
from errors.models.events import received_time
from errors.store import payloads
from impact.extension_points import Person, PersonRecord, distinct_references, person_records

CHUNK_SIZE = 200


@person_records(
    "errors",
    label="Errors",
    references=lambda: distinct_references(GroupUser.objects.all(), "user_key"),
)
def events_of(person: Person) -> Iterator[PersonRecord]:
    # Events have no index by user, so they are found through the groups that affected the user.
    affected = GroupUser.objects.filter(user_key__in=person.users).order_by("-group_id")
    for group_id in list(affected.values_list("group_id", flat=True).distinct()):
        events = ErrorEvent.objects.filter(group_id=group_id, user_key__in=person.users)
        last = None
        while chunk := list(_before(events.order_by("-pk"), last)[:CHUNK_SIZE]):
            yield from _records(chunk)
            last = chunk[-1].pk


def _before(events: QuerySet[ErrorEvent], last: int | None) -> QuerySet[ErrorEvent]:
    return events if last is None else events.filter(pk__lt=last)


def _records(events: Sequence[ErrorEvent]) -> Iterator[PersonRecord]:
    stored = dict(payloads.all_payloads([event.pk for event in events]))
    feedback = _feedback_on(events)
    for event in events:
        yield PersonRecord(
            title=event.message or str(event.event_id),
            at=received_time(event.pk),
            url=reverse("errors:event-detail", args=[event.group_id, event.pk]),
            data={
                "id": event.event_id.hex,
                "app": event.app_id,
                "group": event.group_id,
                "user": event.user_key,
                "event": stored.get(event.pk),
                "feedback": feedback.get(event.event_id, []),
            },
        )


def _feedback_on(events: Sequence[ErrorEvent]) -> dict[UUID, list[str]]:
    """Return the texts that users wrote about these events, by event id."""
    texts: dict[UUID, list[str]] = {}
    reports = UserReport.objects.filter(event_id__in=[event.event_id for event in events])
    for event_id, message in reports.order_by("pk").values_list("event_id", "message"):
        if event_id is not None:
            texts.setdefault(event_id, []).append(message)
    return texts
