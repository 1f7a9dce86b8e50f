"""Find the orders, payments, users and other objects that are named in the events of a group."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db.models import Q
from django.urls import reverse

from errors.models import ErrorEvent, ErrorGroup, received_time
from impact.extension_points import Description, Mention, Page, Problem
from impact.references import Reference, ReferenceKind, narrow

GROUP = "group"
# An SDK may deliver an event this long after it occurred, for example when it retries a failed delivery.
MAX_DELIVERY = timedelta(minutes=10)
COLUMNS = {
    ReferenceKind.REQUEST: "request_id",
    ReferenceKind.USER: "user_key",
    ReferenceKind.ORGANIZATION: "organization",
    ReferenceKind.ORDER: "order_ref",
    ReferenceKind.PAYMENT: "payment_ref",
    ReferenceKind.RESERVATION: "reservation_ref",
}
# The columns of these kinds are indexed, and only few events share a value.
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
    """Yield a mention for each event that names one of the values."""
    column = COLUMNS[ReferenceKind(kind)]
    # The index is partial and excludes empty values. SQLite uses it only if the query excludes empty values, too.
    events = ErrorEvent.objects.filter(~Q(**{column: ""}), **{f"{column}__in": values})
    for id, occurred_at, group_id, value in events.values_list(
        "pk", "occurred_at", "group_id", column
    ):
        times = affected_at(id, occurred_at), received_time(id)
        yield Mention(Problem(GROUP, group_id), Reference(kind, value), *times)


def describe_group(group: ErrorGroup) -> Description:
    """Describe the group as a problem, together with the groups merged into it."""
    return Description(
        title=group.title,
        url=reverse("errors:group-detail", args=[group.pk]),
        problems=tuple(Problem(GROUP, pk) for pk in group.family),
        permission="errors.view_errorgroup",
    )


def read_mentions(first: int, last: int, limit: int) -> Page:
    """Return a page of the references in at most `limit` events with ids from `first` to `last`."""
    events = list(
        ErrorEvent.objects.filter(pk__gte=first, pk__lte=last)
        .order_by("pk")
        .values_list("pk", "occurred_at", "group_id", *COLUMNS.values())[:limit]
    )
    mentions = [
        Mention(
            Problem(GROUP, group_id), reference, affected_at(id, occurred_at), received_time(id)
        )
        for id, occurred_at, group_id, *values in events
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


def affected_at(id: int, occurred_at: datetime) -> datetime:
    """Return the time at which an event affected its order: the client's time or, if implausible, the time of receipt.

    The client's time is preferred because it is earlier: the app may react to the error before the portal receives the
    event. If it is later than the receipt, or earlier by more than MAX_DELIVERY, the client's clock may be wrong.
    """
    received_at = received_time(id)
    is_recent = received_at - MAX_DELIVERY <= occurred_at <= received_at
    return occurred_at if is_recent else received_at
