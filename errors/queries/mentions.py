"""Find the orders, payments, users and other objects that the events of a group name."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from django.db.models import Q
from django.urls import reverse

from errors.models import ID_BITS, ErrorEvent, ErrorGroup
from impact.extension_points import Description, Mention, Page, Problem
from impact.references import Reference, ReferenceKind, narrow

GROUP = "group"
COLUMNS = {
    ReferenceKind.REQUEST: "request_id",
    ReferenceKind.USER: "user_key",
    ReferenceKind.ORGANIZATION: "organization",
    ReferenceKind.ORDER: "order_ref",
    ReferenceKind.PAYMENT: "payment_ref",
    ReferenceKind.RESERVATION: "reservation_ref",
}
# These columns have an index, and few events have the same value in one of them.
INDEXED = frozenset(
    kind.value
    for kind in (
        ReferenceKind.REQUEST,
        ReferenceKind.ORDER,
        ReferenceKind.PAYMENT,
        ReferenceKind.RESERVATION,
    )
)


def find_mentions(kind: str, values: Sequence[str]) -> Iterator[Mention]:
    """Yield the events that name one of the values."""
    column = COLUMNS[ReferenceKind(kind)]
    # The index excludes empty values, and SQLite uses such an index only if the query excludes empty values, too.
    events = ErrorEvent.objects.filter(~Q(**{column: ""}), **{f"{column}__in": values})
    for id, group_id, value in events.values_list("pk", "group_id", column):
        yield Mention(Problem(GROUP, group_id), Reference(kind, value), _received_at(id))


def describe_group(group: ErrorGroup) -> Description:
    """Return the group as a problem, together with the groups merged into it."""
    return Description(
        title=group.title,
        url=reverse("errors:group-detail", args=[group.pk]),
        problems=tuple(Problem(GROUP, pk) for pk in group.family),
        permission="errors.view_errorgroup",
    )


def read_mentions(first: int, last: int, limit: int) -> Page:
    """Return the references in the events with these ids."""
    events = list(
        ErrorEvent.objects.filter(pk__gte=first, pk__lte=last)
        .order_by("pk")
        .values_list("pk", "group_id", *COLUMNS.values())[:limit]
    )
    mentions = [
        Mention(Problem(GROUP, group_id), reference, _received_at(id))
        for id, group_id, *values in events
        for reference in _references(values)
    ]
    return Page(mentions, events[-1][0] + 1 if len(events) == limit else None)


def mentions_of_event(event: ErrorEvent) -> list[Reference]:
    """Return the references in one event."""
    return _references([getattr(event, column) for column in COLUMNS.values()])


def _references(values: Sequence[str]) -> list[Reference]:
    """Return the references in an event with these values of COLUMNS."""
    named = zip(COLUMNS, values, strict=True)
    return narrow(Reference(kind.value, value) for kind, value in named if value)


def _received_at(id: int) -> datetime:
    return datetime.fromtimestamp((id >> ID_BITS) / 1000, UTC)
