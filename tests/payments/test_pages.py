"""Test the staff pages and actions for payments."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from core.accounts.services.roles import Role
from payments import services
from payments.models import Dispute, Mismatch, ReconciliationRun, WebhookEvent
from payments.services.mismatches import record_mismatch
from tests.factories import (
    make_app,
    make_payment,
)
from tests.payments.staff_pages import dead_event, page, paid, signed_in, stuck_payment
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import StripeDouble
from tests.payments.support import make_intent

pytestmark = pytest.mark.django_db


def test_the_overview_lists_what_needs_attention(staff: Client, stripe: StripeDouble) -> None:
    assert "nothing has been compared with Stripe yet" in page(staff, "payments:overview")

    stuck_payment()
    dead_event()
    record_mismatch(
        Mismatch.Kind.AMOUNT, intent_id="pi_9", payment=None, detail="25 there", now=timezone.now()
    )

    shown = page(staff, "payments:overview")
    for expected in (
        "o-77",
        "unreadable",
        "25 there",
        "may or may not have been charged",
        "25.00 EUR",
    ):
        assert expected in shown
    banner = " ".join(shown.partition("banner--warning")[2].partition("</div>")[0].split())
    for expected in ("1 stuck payment.", "1 failed event.", "1 mismatch with Stripe."):
        assert expected in banner
    assert "dispute" not in banner


def test_the_dispute_with_the_next_deadline_comes_first(staff: Client) -> None:
    now, payment = timezone.now(), make_payment()
    given = {"payment": payment, "status": "needs_response", "amount": 1, "currency": "EUR"}
    for number in range(20):
        Dispute.objects.create(stripe_id=f"dp_{number}", opened_at=now, reported_at=now, **given)
    urgent = Dispute.objects.create(
        stripe_id="dp_urgent", opened_at=now, reported_at=now, evidence_due_at=now, **given
    )

    shown = staff.get(reverse("payments:overview")).context["disputes"]

    assert (shown[0], len(shown)) == (urgent, 20)


def test_the_overview_names_payments_that_have_not_been_compared_with_stripe(
    staff: Client, account: StripeAccount
) -> None:
    payment = make_intent(account, now=timezone.now())
    services.reconcile(now=timezone.now())
    make_payment()

    shown = page(staff, "payments:overview")
    assert "No stuck payments, failed events or mismatches</div>" in shown
    assert "1 payment has not been compared yet" in " ".join(shown.split())
    assert "1 intent compared, 0 missed events fetched, 0 payments fixed" in " ".join(shown.split())
    assert "not yet" not in page(staff, "payments:payment-page", payment.uuid)

    ReconciliationRun.objects.update(started_at=timezone.now() - timedelta(hours=2))
    assert "the last comparison with Stripe was" in page(staff, "payments:overview")


def test_the_money_of_the_day_is_shown_gross_refunded_and_net(staff: Client) -> None:
    make_payment(amount_refunded=1000)
    make_payment(amount_disputed=2500)

    shown = " ".join(page(staff, "payments:overview").split())

    for expected in ("50.00 EUR", "10.00 EUR", "15.00 EUR"):
        assert expected in shown


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"amount_refunded": 2500}, "Refunded"),
        ({"amount_refunded": 100}, "Partially refunded"),
        ({"amount_disputed": 2500}, "Disputed"),
        ({}, "Succeeded"),
        ({"status": "processing"}, "Processing"),
    ],
)
def test_the_status_describes_the_refund_or_dispute_of_the_money(
    staff: Client, fields: dict[str, Any], label: str
) -> None:
    payment = make_payment(**fields)

    assert payment.shown_status_label == label
    address = reverse("admin:payments_payment_changelist")
    assert f"{label}</span>" in page(staff, "payments:payment-page", payment.uuid)
    assert f"{label}</span>" in staff.get(address).content.decode()
    listed = staff.get(address, {"attention": payment.shown_status}).content.decode()
    assert str(payment.uuid) in listed


def test_the_overview_counts_payments_by_status_in_words(
    staff: Client, stripe: StripeDouble
) -> None:
    make_payment(order_id="o-1", status="asked")
    make_payment(order_id="o-2", status="requires_payment_method")

    shown = " ".join(page(staff, "payments:overview").split())

    assert "pending: 1, requires payment method: 1" in shown


def test_without_a_stripe_key_the_overview_names_the_setting(staff: Client) -> None:
    assert "STRIPE_SECRET_KEY" in page(staff, "payments:overview")


def test_a_payments_page_shows_its_timeline(staff: Client) -> None:
    payment = make_payment(order_id="o-1", replay_count=2)
    dead_event(payment=payment, state="processed", processed_at=timezone.now(), deliveries=3)

    shown = page(staff, "payments:payment-page", payment.uuid)

    for expected in ("requested 25.00 EUR", "payment_intent.succeeded", "delivered 3 times", "o-1"):
        assert expected in shown


def test_client_secrets_and_stored_responses_are_never_shown(staff: Client) -> None:
    payment = make_payment(response_body='{"client_secret": "pi_1_secret_topsecret"}')

    for address in (
        reverse("payments:payment-page", args=[payment.uuid]),
        reverse("admin:payments_payment_change", args=[payment.pk]),
        reverse("admin:payments_payment_changelist"),
    ):
        response = staff.get(address)
        assert response.status_code == 200
        assert b"topsecret" not in response.content


@pytest.mark.parametrize(
    "name",
    [
        "payment",
        "webhookevent",
        "refund",
        "dispute",
        "mismatch",
        "reconciliationrun",
        "refuseddelivery",
    ],
)
def test_every_list_can_be_opened_and_is_read_only(staff: Client, name: str) -> None:
    make_payment()
    dead_event()

    assert staff.get(reverse(f"admin:payments_{name}_changelist")).status_code == 200
    assert staff.get(reverse(f"admin:payments_{name}_add")).status_code == 403
    assert b"delete_selected" not in staff.get(reverse(f"admin:payments_{name}_changelist")).content


@pytest.mark.parametrize("term", ["o-55", "pi_findme", "Ann@Example.org"])
def test_a_payment_is_found_by_order_intent_and_email_address(staff: Client, term: str) -> None:
    from core.lib.customers import customer_reference

    make_payment(
        order_id="o-55", intent_id="pi_findme", customer=customer_reference("ann@example.org")
    )
    make_payment(order_id="other")

    shown = staff.get(reverse("admin:payments_payment_changelist"), {"q": term}).content.decode()

    assert "o-55" in shown
    assert ">other<" not in shown


def test_stuck_payments_can_be_listed(staff: Client) -> None:
    stuck_payment()
    make_payment(order_id="fine")

    address = reverse("admin:payments_payment_changelist")
    shown = staff.get(address, {"attention": "stuck"}).content.decode()

    assert "o-77" in shown
    assert ">fine<" not in shown


def test_retrying_or_ignoring_a_dead_event_is_logged(staff: Client) -> None:
    first, second = dead_event(), dead_event()

    staff.post(reverse("payments:event-replay", args=[first.pk]))
    staff.post(reverse("payments:event-ignore", args=[second.pk]))

    second.refresh_from_db()
    assert second.state == "ignored"
    assert [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")] == [
        "retried",
        "ignored",
    ]


def test_a_missing_event_is_fetched(staff: Client, stripe: StripeDouble) -> None:
    intent = stripe.post("/v1/payment_intents", amount=2500, currency="eur")
    told = stripe.pay(intent["id"])

    staff.post(reverse("payments:event-fetch"), {"event_id": told["id"]})

    assert WebhookEvent.objects.get().event_id == told["id"]


@pytest.mark.parametrize("event_id", ["evt_none", "../v1/charges", ""])
def test_an_event_that_cannot_be_fetched_is_not_stored(
    staff: Client, stripe: StripeDouble, event_id: str
) -> None:
    answer = staff.post(reverse("payments:event-fetch"), {"event_id": event_id}, follow=True)

    assert answer.status_code == 200
    assert not WebhookEvent.objects.exists()


def test_a_mismatch_is_resolved_with_a_note(staff: Client) -> None:
    record_mismatch(
        Mismatch.Kind.AMOUNT, intent_id="pi_9", payment=None, detail="25 there", now=timezone.now()
    )

    address = reverse("payments:mismatch-settle", args=[Mismatch.objects.get().pk])
    staff.post(address, {"settlement": "invoice corrected"})

    settled = Mismatch.objects.get()
    assert (settled.settlement, settled.settled_by) == ("invoice corrected", User.objects.get())


def test_roles_limit_the_actions(stripe: StripeDouble) -> None:
    payment, event = paid(stripe), dead_event()
    refund = reverse("payments:payment-refund", args=[payment.uuid])
    replay = reverse("payments:event-replay", args=[event.pk])

    reader = signed_in(Role.READ_ONLY)
    assert reader.get(reverse("payments:overview")).status_code == 200
    assert reader.get(refund).status_code == 403
    assert reader.post(replay).status_code == 403
    User.objects.all().delete()
    worker = signed_in(Role.STAFF)
    assert worker.get(refund).status_code == 200
    assert worker.post(replay).status_code == 302


def test_actions_require_post(staff: Client) -> None:
    assert staff.get(reverse("payments:event-replay", args=[dead_event().pk])).status_code == 405


def test_the_overview_makes_a_fixed_number_of_queries(
    staff: Client, django_assert_max_num_queries: Any
) -> None:
    app = make_app()
    for _ in range(15):
        make_payment(app=app)
        dead_event()

    with django_assert_max_num_queries(30):
        page(staff, "payments:overview")


def test_the_timeline_names_statuses_in_words(staff: Client, stripe: StripeDouble) -> None:
    payment = make_payment(order_id="o-1")
    payment.timeline.create(
        at=timezone.now(), what="status succeeded", detail="was requires_payment_method"
    )

    shown = staff.get(reverse("payments:payment-page", args=[payment.uuid])).content.decode()

    assert "was requires payment method" in shown
    assert "requires_payment_method" not in shown
