"""Test that a process that is too late keeps another process's result and does nothing twice."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.db import IntegrityError

from alerts.models import SystemAlert
from payments import services, stripe_api
from payments.intents import Intent
from payments.models import Mismatch, Payment, ReconciliationRun, WebhookEvent
from payments.models.intents import PaymentQuerySet
from payments.services import apply, create
from payments.services.mismatches import record_mismatch, resolve_mismatches
from payments.services.reconciliation import events, intents
from payments.services.webhooks import process, receive
from tests.factories import make_app, make_payment, make_webhook_event
from tests.payments.stripe_double import Fault, StripeDouble
from tests.payments.test_intents import payload

NOW = datetime.now(UTC).replace(microsecond=0)
pytestmark = pytest.mark.django_db


def unfinished(age: timedelta = timedelta(minutes=30), **fields: Any) -> Payment:
    then = NOW - age
    given = {"state": "started", "status": "asked", "intent_id": None, "finished_at": None}
    return make_payment(now=then, locked_until=then, **{**given, **fields})


def test_a_payment_that_another_process_claims_is_left_alone(
    stripe: StripeDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished()
    monkeypatch.setattr(PaymentQuerySet, "claim", lambda *_, **__: False)

    assert services.sweep(now=NOW) == {"finished": 0, "failed": 0, "waiting": 0}
    assert not stripe.calls


def test_a_sweep_that_takes_too_long_leaves_the_remaining_payments_to_the_next_one(
    stripe: StripeDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished()
    monkeypatch.setattr(
        import_module("payments.services.sweep"), "MAX_SWEEP", timedelta(seconds=-1)
    )

    assert services.sweep(now=NOW) == {"finished": 0, "failed": 0, "waiting": 0}
    assert not stripe.calls


def test_a_process_whose_lease_expired_leaves_the_result_to_the_process_that_took_over(
    stripe: StripeDouble,
) -> None:
    late = unfinished(owner="first")
    Payment.objects.filter(pk=late.pk).update(owner="second")

    with pytest.raises(create.InProgress):
        create.finish(late, max_search=create.MAX_SEARCH, now=NOW)

    late.refresh_from_db()
    assert (late.state, late.status, late.intent_id) == ("started", "asked", None)


@pytest.fixture
def after_page(stripe: StripeDouble, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Create three intents, which are listed on one page each. Return a list of functions to call after each page."""
    for _ in range(3):
        stripe.post("/v1/payment_intents", amount=2500, currency="eur")
    calls: list[Callable[[], None]] = []
    read_page = stripe_api._read_page

    def read_and_call(*given: Any, **filters: Any) -> stripe_api.Page:
        page = read_page(*given, **filters)
        for call in calls:
            call()
        return page

    monkeypatch.setattr(stripe_api, "PAGE_SIZE", 1)
    monkeypatch.setattr(stripe_api, "_read_page", read_and_call)
    return calls


def test_each_page_of_a_long_search_renews_the_lease(
    stripe: StripeDouble, after_page: list[Callable[[], None]]
) -> None:
    payment = unfinished(timedelta(hours=24))
    leases = []

    def record_and_expire_lease() -> None:
        leases.append(Payment.objects.get().locked_until)
        Payment.objects.update(locked_until=NOW)

    after_page.append(record_and_expire_lease)
    assert services.sweep(now=NOW) == {"finished": 1, "failed": 0, "waiting": 0}

    payment.refresh_from_db()
    assert payment.status == "abandoned"
    assert len(leases) == 3
    assert min(leases) >= NOW + create.LEASE


def test_a_long_search_stops_when_another_process_takes_over(
    stripe: StripeDouble, after_page: list[Callable[[], None]]
) -> None:
    payment = unfinished(timedelta(hours=24))

    def take_over() -> None:
        Payment.objects.update(owner="second")

    after_page.append(take_over)
    assert services.sweep(now=NOW) == {"finished": 0, "failed": 1, "waiting": 0}

    payment.refresh_from_db()
    assert (payment.state, payment.owner) == ("started", "second")
    assert stripe.calls["GET /v1/payment_intents"] == 1


def test_an_old_payment_waits_while_stripe_does_not_respond(stripe: StripeDouble) -> None:
    payment = unfinished(timedelta(hours=24))
    stripe.faults.append(Fault("status", 503, path="/v1/", writes=False, times=99))

    assert services.sweep(now=NOW) == {"finished": 0, "failed": 1, "waiting": 0}

    payment.refresh_from_db()
    assert (payment.state, payment.error) == ("started", "Stripe responded with status 503")


def test_an_old_payment_whose_intent_is_known_is_finished_with_that_intent(
    stripe: StripeDouble,
) -> None:
    intent = stripe.post("/v1/payment_intents", amount=2500, currency="eur")
    payment = unfinished(timedelta(hours=24), intent_id=intent["id"])

    assert services.sweep(now=NOW) == {"finished": 1, "failed": 0, "waiting": 0}

    payment.refresh_from_db()
    assert (payment.state, payment.intent_id) == ("finished", intent["id"])
    assert not stripe.calls["POST /v1/payment_intents"]


def test_a_payment_waits_while_the_portal_has_no_stripe_key(
    stripe: StripeDouble, settings: Any
) -> None:
    payment = unfinished()
    settings.STRIPE_SECRET_KEY = ""

    assert services.sweep(now=NOW)["failed"] == 1

    payment.refresh_from_db()
    assert payment.state == "started"


def test_a_constraint_violation_other_than_the_key_is_an_error(
    stripe: StripeDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    new_payment = services.NewPayment(amount=2500, currency="EUR")
    services.create_payment(app=app, new_payment=new_payment, key="k", now=NOW)
    monkeypatch.setattr(create, "_find_by_key", lambda *_: None)

    with pytest.raises(IntegrityError):
        services.create_payment(app=app, new_payment=new_payment, key="k", now=NOW)


def test_an_intent_that_is_already_outdated_is_still_linked() -> None:
    payment = unfinished(status="succeeded", status_at=NOW)
    intent = Intent.from_stripe(payload(status="requires_payment_method"))

    is_changed = apply.apply_intent(
        payment_id=payment.pk,
        intent=intent,
        reported_at=NOW - timedelta(minutes=1),
        is_authoritative=False,
        now=NOW,
    )

    payment.refresh_from_db()
    assert is_changed
    assert (payment.intent_id, payment.status) == (intent.id, "succeeded")


def test_a_payment_without_an_intent_cannot_be_cancelled(stripe: StripeDouble) -> None:
    with pytest.raises(stripe_api.InvalidRequest, match="no intent yet"):
        services.cancel(payment=unfinished(), now=NOW)


def test_an_event_of_a_lost_lease_does_not_become_dead() -> None:
    event = make_webhook_event(owner="another process")
    event.owner = "this process"

    process._mark_dead(event, "too many attempts", NOW)

    event.refresh_from_db()
    assert event.state == "pending"
    assert not SystemAlert.objects.exists()


def test_a_processed_event_is_not_replayed() -> None:
    event = make_webhook_event(state="processed", processed_at=NOW)

    assert not services.replay_event(event, now=NOW)

    event.refresh_from_db()
    assert event.state == "processed"


@pytest.mark.parametrize("field", [{"id": ""}, {"type": "x" * 101}])
def test_an_event_with_an_invalid_id_or_type_is_refused(field: dict[str, str]) -> None:
    event = {"id": "evt_1", "type": "charge.refunded", "created": 1, "data": {"object": {}}}

    with pytest.raises(receive.NotAnEvent, match="`id` or `type` is invalid"):
        receive.record_event({**event, **field}, endpoint="default", livemode=False, now=NOW)


def test_personal_data_is_also_removed_from_lists() -> None:
    given = [{"id": "re_1", "email": "ann@shop.example"}]

    assert receive.without_personal_data(given) == [{"id": "re_1"}]


def test_a_mismatch_is_resolved_only_once() -> None:
    record_mismatch(Mismatch.Kind.BEHIND, intent_id="pi_1", payment=None, detail="differs", now=NOW)
    mismatches = Mismatch.objects.all()

    assert resolve_mismatches(mismatches, settlement="fixed", now=NOW) == 1
    assert resolve_mismatches(Mismatch.objects.all(), settlement="again", now=NOW) == 0
    assert Mismatch.objects.get().settlement == "fixed"


def test_events_that_are_unreadable_or_have_just_arrived_are_not_counted_as_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = ReconciliationRun.objects.create(started_at=NOW, since=NOW)
    arrived = make_webhook_event(event_id="evt_2")
    received = receive.Received(arrived, is_new=False)

    def record(data: dict[str, Any], **_: Any) -> receive.Received:
        if data["id"] == "evt_1":
            raise receive.NotAnEvent
        return received

    monkeypatch.setattr(
        events, "read_page", lambda *_, **__: ([{"id": "evt_1"}, {"id": "evt_3"}], "next")
    )
    monkeypatch.setattr(events, "record_event", record)

    assert events.compare_events(run, NOW) == "next"
    assert (run.event_count, run.inserted_count, run.late_count) == (2, 0, 0)
    assert WebhookEvent.objects.get() == arrived


def test_a_status_that_an_event_has_changed_meanwhile_is_not_a_mismatch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = ReconciliationRun.objects.create(started_at=NOW, since=NOW)
    payment = make_payment(status="processing", intent_id="pi_1")
    intent = Intent.from_stripe(payload(status="succeeded", livemode=False))

    def apply_event(**_: Any) -> bool:
        Payment.objects.update(status="succeeded")
        return False

    monkeypatch.setattr(intents, "apply_intent", apply_event)
    intents._compare_intent(run, payment, intent, None, NOW)

    assert run.healed_count == 0
    assert not Mismatch.objects.exists()
