"""Replace a person with a pseudonym in stored errors."""

from collections.abc import Collection, Sequence

from django.db.models import Model
from django.utils.crypto import salted_hmac

from errors.event import json_codec
from errors.models import ErrorEvent, EventPayload, GroupUser, ReleaseErrorUser, UserReport
from errors.store import payloads


def erase_user(*, users: Collection[str], limit: int) -> int:
    """Replace the users in at most `limit` records with pseudonyms, and delete their feedback on the replaced events.

    A record is an event, or a row that counts a user as affected by an error or in a release. Returns the number of
    records, or 0 if none is left. Call this repeatedly until it returns 0.

    All events of a user get the same pseudonym, so the number of affected users stays correct. References to orders are
    kept. Without SECRET_KEY, the pseudonym cannot be computed from a user id or an address.
    """
    # Events have no index by user, so they are found through the groups that affected the user.
    affected = GroupUser.objects.filter(user_key__in=users).order_by("group_id")
    erased = 0
    for group_id in list(affected.values_list("group_id", flat=True).distinct()[:limit]):
        if erased >= limit:
            return erased
        events = ErrorEvent.objects.filter(group_id=group_id, user_key__in=users)
        found = list(events.order_by("pk")[: limit - erased])
        if found:
            _replace(found)
            return erased + len(found)
        erased += _rename(GroupUser, {"group_id": group_id}, users, limit=limit - erased)
    counted = ReleaseErrorUser.objects.filter(user_key__in=users).order_by("release_id")
    for release_id in list(counted.values_list("release_id", flat=True).distinct()[:limit]):
        if erased >= limit:
            return erased
        of = {"release_id": release_id}
        erased += _rename(ReleaseErrorUser, of, users, limit=limit - erased)
    return erased


def _replace(events: Sequence[ErrorEvent]) -> None:
    ids = [event.pk for event in events]
    stored = dict(payloads.all_payloads(ids))
    rows = []
    for event in events:
        event.user_key = pseudonym_of(event.user_key)
        payload = stored.get(event.pk)
        if payload is not None and "user" in payload:
            payload["user"] = {"id": event.user_key}
            data = payloads.pack(json_codec.encode(payload))
            rows.append(EventPayload(event_id=event.pk, dictionary=None, data=data))
    UserReport.objects.filter(event_id__in=[event.event_id for event in events]).delete()
    ErrorEvent.objects.bulk_update(events, ["user_key"])
    EventPayload.objects.bulk_update(rows, ["dictionary", "data"])


def _rename(model: type[Model], of: dict[str, int], users: Collection[str], *, limit: int) -> int:
    """Replace the users with their pseudonyms in at most `limit` rows of `model` that have the values `of`.

    Returns the number of rows.
    """
    rows = model._default_manager.filter(**of, user_key__in=users)
    found = list(rows.order_by("user_key").values_list("user_key", flat=True)[:limit])
    renamed = [model(**of, user_key=pseudonym_of(user)) for user in found]
    model._default_manager.bulk_create(renamed, ignore_conflicts=True)
    rows.filter(user_key__in=found).delete()
    return len(found)


def pseudonym_of(user_key: str) -> str:
    return "erased-" + salted_hmac("errors.erasure", user_key, algorithm="sha256").hexdigest()[:20]
