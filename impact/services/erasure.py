"""Erase a person from all records, in small steps that can be continued after a crash."""

import json
from dataclasses import replace
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.crypto import salted_hmac

from core.accounts.services import audit
from impact.extension_points import Eraser, Person, erasers
from impact.models import Erasure
from impact.queries.person import find_person, person_of
from impact.services.catch_up import catch_up

STEP_SIZE = 200  # One transaction changes at most this many records.
# Orders that are not updated within this time are left to the continuous task.
CATCH_UP_SECONDS = 2.0


def erase_person(*, customer: str, user: User | None, now: datetime) -> Erasure:
    """Erase a customer from all records, and return the erasure with the numbers of changed records.

    `customer` is the id that apps send, an e-mail address, or the stored reference to an address. Amounts, times and
    the ids of orders are kept. If the process is killed, a scheduled task continues the erasure.
    """
    person = find_person(customer)
    references = {
        "customers": sorted(person.customers),
        "users": sorted(person.users),
        "addresses": sorted(person.addresses),
    }
    return erase_references(references, user=user, now=now)


def erase_references(
    references: dict[str, list[str]], *, user: User | None, now: datetime
) -> Erasure:
    """Erase the person with these references. The keys are "customers", "users" and "addresses"."""
    with transaction.atomic():
        erasure = Erasure.objects.create(
            customers=json.dumps(references),
            fingerprints=sorted(
                {fingerprint(one) for of_kind in references.values() for one in of_kind}
            ),
            requested_by=user,
            requested_at=now,
        )
        audit.record(user, "erasure of a person requested", target=str(erasure), now=now)
    _finish(erasure, now)
    return erasure


def continue_erasures(*, now: datetime) -> int:
    """Finish the erasures that were interrupted, and return their number."""
    unfinished = list(Erasure.objects.filter(finished_at=None).order_by("pk"))
    for erasure in unfinished:
        _finish(erasure, now)
    return len(unfinished)


def _finish(erasure: Erasure, now: datetime) -> None:
    person = _person(erasure)
    for name, erase in erasers:
        while _take_step(erasure, name, erase, person, now):
            pass
    with transaction.atomic():
        unfinished = Erasure.objects.filter(pk=erasure.pk, finished_at=None)
        is_finished = unfinished.update(finished_at=now, customers="")
        erasure.refresh_from_db()
        if is_finished:
            audit.record(
                erasure.requested_by,
                "person erased",
                target=str(erasure),
                detail=erasure.summary,
                now=now,
            )
    # Compute the affected orders again, now without the person.
    catch_up(seconds=CATCH_UP_SECONDS)


def _person(erasure: Erasure) -> Person:
    references = json.loads(erasure.customers or "{}")
    if isinstance(references, list):  # Earlier versions stored a list of customers.
        references = {"customers": references}
    person = person_of(references.get("customers", ()), references.get("addresses", ()))
    return replace(person, users=person.users.union(references.get("users", ())))


@transaction.atomic
def _take_step(erasure: Erasure, name: str, erase: Eraser, person: Person, now: datetime) -> bool:
    """Change one batch of records and count them in the same transaction. Return False if no record is left."""
    counted = Erasure.objects.select_for_update().get(pk=erasure.pk)
    count = erase(person, STEP_SIZE, now)
    if count:
        counted.counts[name] = counted.counts.get(name, 0) + count
        counted.save(update_fields=["counts"])
    return bool(count)


def fingerprint(reference: str, secret: str | None = None) -> str:
    """Return a keyed hash that identifies a reference. The default key is SECRET_KEY."""
    return salted_hmac("impact.erasures", reference, secret=secret, algorithm="sha256").hexdigest()
