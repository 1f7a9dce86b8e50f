"""Test refunds that staff request in the portal or at Stripe, that fail later, or whose events arrive in any order."""

from datetime import timedelta
from itertools import permutations

import pytest
from django.contrib.auth.models import User

from alerts.models import SystemAlert
from payments import services
from payments.models import Mismatch, Payment, Refund, WebhookEvent
from payments.services.refund import sweep_refunds
from payments.services.webhooks.receive import record_event
from reservations.models import Discrepancy
from reservations.services import reserve
from tests.factories import make_app, make_payment, make_ticket_type, wanted
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import Fault, StripeDouble
from tests.payments.stripe_objects import thin
from tests.payments.support import NOW, make_intent, open_cases, process, refund, refunded

pytestmark = pytest.mark.django_db


@pytest.fixture
def paid(account: StripeAccount) -> Payment:
    payment = make_intent(account)
    process(account.pay(payment.intent_id or ""))
    payment.refresh_from_db()
    return payment


def test_a_form_sent_twice_refunds_once(double: StripeDouble, paid: Payment) -> None:
    first, again = refund(paid, 1000, "form 1"), refund(paid, 1000, "form 1")

    assert (first.pk, first.state) == (again.pk, "succeeded")
    assert double.calls["POST /v1/refunds"] == 1
    assert refunded(paid) == 1000


def test_a_refund_cannot_exceed_what_was_paid(paid: Payment) -> None:
    refund(paid, 2000, "form 1")

    with pytest.raises(services.CannotRefund):
        refund(paid, 501, "form 2")
    refund(paid, 500, "form 3")
    paid.refresh_from_db()
    assert paid.refundable == 0


def test_a_third_decimal_is_rejected_before_stripe_is_called(
    double: StripeDouble, paid: Payment
) -> None:
    Payment.objects.update(currency="KWD")

    with pytest.raises(services.CannotRefund, match="KWD"):
        refund(paid, 1005, "form 1")
    assert not Refund.objects.exists()
    assert double.calls["POST /v1/refunds"] == 0


def test_a_refund_without_a_response_is_requested_again_with_the_same_key(
    double: StripeDouble, paid: Payment
) -> None:
    double.faults.append(Fault("drop_after", path="/v1/refunds", times=2))
    assert refund(paid, 1000, "form 1").state == "asked"

    with pytest.raises(services.CannotRefund):
        refund(paid, 2000, "form 2")
    assert sweep_refunds(now=NOW + timedelta(minutes=2)) == 1

    assert (Refund.objects.get().state, refunded(paid)) == ("succeeded", 1000)
    assert len({key for key in double.keys if key.startswith("ops_refund_")}) == 1


def test_a_refund_that_stripe_rejects_has_failed_and_needs_no_case(
    double: StripeDouble, paid: Payment
) -> None:
    double.faults.append(Fault("status", 400, path="/v1/refunds"))

    assert refund(paid, 1000, "form 1").state == "failed"
    assert open_cases() == []
    assert refund(paid, 2500, "form 2").state == "succeeded"


def test_an_unpaid_payment_cannot_be_refunded(account: StripeAccount) -> None:
    with pytest.raises(services.CannotRefund):
        refund(make_payment(status="processing"), 100, "form 1")


# --- requests that hang ------------------------------------------------------------------------------------


def test_a_refund_unanswered_for_23_hours_is_adopted_if_stripe_has_it(
    double: StripeDouble, paid: Payment
) -> None:
    double.faults.append(Fault("drop_after", path="/v1/refunds", times=2))
    refund(paid, 1000, "form 1")

    sweep_refunds(now=NOW + timedelta(hours=24))

    asked = Refund.objects.get()
    assert (asked.state, bool(asked.stripe_id), refunded(paid)) == ("succeeded", True, 1000)
    assert double.calls["POST /v1/refunds"] == 2  # stripe-python makes two attempts.
    assert open_cases() == []


def test_a_refund_unanswered_for_23_hours_fails_if_stripe_never_got_it(
    double: StripeDouble, paid: Payment
) -> None:
    double.faults.append(Fault("drop_before", path="/v1/refunds", times=2))
    refund(paid, 1000, "form 1")

    sweep_refunds(now=NOW + timedelta(hours=24))

    assert (Refund.objects.get().state, refunded(paid)) == ("failed", 0)
    assert open_cases() == [Mismatch.Kind.REFUND_FAILED]
    refund(paid, 2500, "form 2")
    assert open_cases() == []


def test_a_refund_is_not_looked_up_while_its_last_request_may_still_run(
    double: StripeDouble, paid: Payment
) -> None:
    double.faults.append(Fault("drop_before", path="/v1/refunds", times=2))
    refund(paid, 1000, "form 1")
    double.calls.clear()

    sweep_refunds(now=NOW + timedelta(hours=23, seconds=30))
    assert (Refund.objects.get().state, sum(double.calls.values())) == ("asked", 0)

    sweep_refunds(now=NOW + timedelta(hours=23, seconds=60))
    assert Refund.objects.get().state == "failed"


def test_a_hanging_refund_is_not_failed_while_stripe_does_not_respond(
    double: StripeDouble, paid: Payment
) -> None:
    double.faults.append(Fault("drop_before", path="/v1/refunds", times=2))
    refund(paid, 1000, "form 1")
    double.faults.append(Fault("status", 500, path="/v1/refunds", writes=False, times=2))

    sweep_refunds(now=NOW + timedelta(hours=24))

    assert Refund.objects.get().state == "asked"


def test_a_refund_of_an_intent_that_stripe_does_not_know_fails(
    double: StripeDouble, paid: Payment
) -> None:
    double.faults.append(Fault("drop_before", path="/v1/refunds", times=2))
    unanswered = refund(paid, 1000, "a")
    assert unanswered.state == "asked"
    Payment.objects.filter(pk=paid.pk).update(intent_id="pi_gone")
    double.faults[:] = [Fault("status", 404, path="/v1/refunds", writes=False)]

    sweep_refunds(now=NOW + timedelta(hours=24))

    unanswered.refresh_from_db()
    assert (unanswered.state, unanswered.error) == ("failed", "Stripe never received the request")


# --- refunds that fail later -------------------------------------------------------------------------------


def test_a_refund_that_fails_after_it_succeeded_is_a_case_until_it_is_refunded_again(
    account: StripeAccount, paid: Payment
) -> None:
    made = refund(paid, 2500, "form 1")
    assert refunded(paid) == 2500

    process(*account.fail_refund(made.stripe_id or ""))

    made.refresh_from_db()
    assert (made.state, made.error, refunded(paid)) == ("failed", "expired or canceled card", 0)
    assert open_cases() == [Mismatch.Kind.REFUND_FAILED]
    alert = SystemAlert.objects.active().get()
    assert (alert.severity, "25.00 EUR" in alert.message) == ("critical", True)

    refund(paid, 1000, "form 2")
    assert open_cases() == [Mismatch.Kind.REFUND_FAILED]
    refund(paid, 1500, "form 3")
    assert (refunded(paid), open_cases()) == (2500, [])


def test_a_refund_that_fails_after_pending_no_longer_counts(
    account: StripeAccount, paid: Payment
) -> None:
    account.next_refund_status = "pending"
    made = refund(paid, 1000, "form 1")
    assert (made.state, refunded(paid)) == ("pending", 1000)

    process(*account.fail_refund(made.stripe_id or ""))

    assert (refunded(paid), paid.refundable) == (0, 2500)
    assert open_cases() == [Mismatch.Kind.REFUND_FAILED]


def test_staff_resolve_a_failed_refund_that_was_paid_another_way(
    account: StripeAccount, paid: Payment
) -> None:
    made = refund(paid, 2500, "form 1")
    process(*account.fail_refund(made.stripe_id or ""))

    services.settle_mismatch(
        mismatch=Mismatch.objects.get(), settlement="cash", user=User.objects.get(), now=NOW
    )

    assert open_cases() == []


# --- reports in any order ----------------------------------------------------------------------------------


def test_success_and_refund_in_any_order_end_with_the_same_books_and_the_same_case(
    account: StripeAccount,
) -> None:
    standing = make_ticket_type(100)
    for number, order in enumerate(permutations(range(4)), 1):
        reservation = reserve(app=make_app(), wanted=wanted((standing, 1)), now=NOW).reservation
        payment = make_intent(account, str(reservation.uuid))
        success = account.pay(payment.intent_id or "")
        created, charged = account.refund(payment.intent_id or "")
        updated = account.complete_refund(created["data"]["object"]["id"])
        reports = [success, created, charged, updated]

        process(*[reports[index] for index in order])

        payment.refresh_from_db()
        books = (payment.amount_received, payment.amount_refunded, payment.shown_status)
        assert books == (2500, 2500, "refunded"), order
        assert open_cases() == [Discrepancy.Kind.SEAT_WITHOUT_MONEY] * number, order
        assert payment.refunds.get().is_counted
    assert not WebhookEvent.objects.exclude(state="processed").exists()


def test_a_refund_and_its_failure_in_any_order_end_with_the_same_books_and_the_same_case(
    account: StripeAccount,
) -> None:
    for number, order in enumerate(permutations(range(4)), 1):
        payment = make_intent(account)
        process(account.pay(payment.intent_id or ""))
        made = account.refund(payment.intent_id or "", 1000)
        updated, failed, _ = account.fail_refund(made[0]["data"]["object"]["id"])
        reports = [*made, updated, failed]

        process(*[reports[index] for index in order])

        assert (refunded(payment), payment.refunds.get().state) == (0, "failed"), order
        assert open_cases() == [Mismatch.Kind.REFUND_FAILED] * number, order


def test_a_charge_without_its_refund_events_is_looked_up(
    double: StripeDouble, account: StripeAccount, paid: Payment
) -> None:
    _, charged = account.refund(paid.intent_id or "", 1000)
    account.refund(paid.intent_id or "", 500)

    process(charged)

    assert refunded(paid) == 1500
    assert sorted(Refund.objects.values_list("amount", flat=True)) == [500, 1000]


def test_an_event_that_waits_for_stripe_never_fails_permanently(
    double: StripeDouble, account: StripeAccount, paid: Payment
) -> None:
    _, charged = account.refund(paid.intent_id or "")
    double.faults.append(Fault("status", 500, path="/v1/refunds", writes=False, times=10_000))
    logged = record_event(charged, endpoint="default", livemode=False, now=NOW).event
    for _ in range(10):
        WebhookEvent.objects.update(next_try_at=NOW)
        services.process_event(event_pk=logged.pk, now=NOW)

    logged.refresh_from_db()
    assert logged.state == "pending"


def test_thin_events_are_applied_from_the_objects_that_they_name(account: StripeAccount) -> None:
    payment = make_intent(account)
    success = account.pay(payment.intent_id or "")
    created, charged = account.refund(payment.intent_id or "", 1000)
    process(thin(success, object_type="payment_intent"))
    process(thin(charged, object_type="charge"))
    assert refunded(payment) == 1000

    account.fail_refund(created["data"]["object"]["id"])
    process(thin(account.latest("refund.failed"), object_type="refund"))
    [opened, _] = account.dispute(payment.intent_id or "")
    process(thin(opened, object_type="dispute"))

    assert (refunded(payment), payment.amount_disputed) == (0, 2500)
    assert not WebhookEvent.objects.exclude(state="processed").exists()
