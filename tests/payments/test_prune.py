"""Test that old events are deleted, except those that must still be processed."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings

from payments import services
from payments.models import RefusedDelivery, WebhookEvent
from payments.services.reconciliation.runs import FULL_LOOKBACK
from payments.services.webhooks import prune
from tests.factories import make_payment
from tests.payments.stripe_double import event

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def make_event(state: str, *, age: timedelta, told: timedelta | None = None) -> WebhookEvent:
    object_ = {"id": "pi_1", "status": "processing", "amount": 1, "currency": "eur"}
    data = event("payment_intent.processing", object_)
    data["created"] = int((NOON - (told or age)).timestamp())
    made = services.record_event(data, endpoint="default", livemode=False, now=NOON - age).event
    WebhookEvent.objects.filter(pk=made.pk).update(state=state, processed_at=NOON - age)
    return made


def test_only_old_settled_events_are_deleted() -> None:
    old, young = timedelta(days=181), timedelta(days=179)
    gone = [make_event(state, age=old) for state in ("processed", "ignored")]
    kept = [make_event(state, age=old) for state in ("pending", "dead")]
    kept += [make_event(state, age=young) for state in ("processed", "ignored", "dead", "pending")]
    payment = make_payment()
    WebhookEvent.objects.update(payment=payment)

    outcome = services.prune_events(now=NOON)

    assert outcome == {"events": len(gone), "refused": 0}
    assert set(WebhookEvent.objects.all()) == set(kept)
    payment.refresh_from_db()


def test_an_event_that_stripe_still_has_is_kept() -> None:
    """Test that an event is kept as long as Stripe lists it, because reconciliation would process it again."""
    stays = make_event("processed", age=timedelta(days=400), told=timedelta(days=2))

    services.prune_events(now=NOON)

    assert WebhookEvent.objects.get() == stays


@override_settings(WEBHOOK_EVENT_DAYS=32)
def test_pruning_works_in_chunks_up_to_a_nightly_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "CHUNK_SIZE", 2)
    monkeypatch.setattr(prune, "MAX_CHUNKS", 3)
    for _ in range(7):
        make_event("processed", age=timedelta(days=33))

    assert services.prune_events(now=NOON)["events"] == 6
    assert services.prune_events(now=NOON)["events"] == 1
    assert timedelta(days=32) > FULL_LOOKBACK


def test_old_counts_of_rejected_calls_are_deleted() -> None:
    for days in (181, 179):
        at = NOON - timedelta(days=days)
        RefusedDelivery.objects.create(hour=at, reason="too old", count=3, last_at=at)

    assert services.prune_events(now=NOON)["refused"] == 1
    assert RefusedDelivery.objects.get().hour == NOON - timedelta(days=179)
