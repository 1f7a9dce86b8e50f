"""Test the search of Stripe's list for the intent of a payment, which may take longer than one attempt."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payments import services, stripe_api
from payments.intents import PAYMENT_METADATA_KEY
from payments.models import Payment
from payments.services import NewPayment, create
from tests.factories import make_app, make_payment
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import Fault, StripeDouble

NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = timedelta(minutes=1)
FAILED = {"finished": 0, "failed": 1, "waiting": 0}
FINISHED = {"finished": 1, "failed": 0, "waiting": 0}
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def one_intent_per_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_api, "PAGE_SIZE", 1)


@pytest.fixture
def one_page_per_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create, "MAX_SEARCH", timedelta())
    monkeypatch.setattr(create, "MAX_SEARCH_IN_REQUEST", timedelta())


@pytest.fixture
def old_payment() -> Payment:
    """Create a payment without a response, whose idempotency key at Stripe has expired, with many attempts."""
    then = NOW - timedelta(hours=24)
    return make_payment(
        now=then, state="started", status="asked", intent_id=None, finished_at=None, tries=9
    )


def bookmark() -> str:
    return Payment.objects.get().search_bookmark


@pytest.mark.usefixtures("one_page_per_attempt")
def test_a_search_that_takes_too_long_continues_at_its_bookmark_in_the_next_run(
    double: StripeDouble, account: StripeAccount, old_payment: Payment
) -> None:
    wanted = account.create(metadata={PAYMENT_METADATA_KEY: str(old_payment.uuid)})
    _, last = account.create(), account.create()

    assert services.sweep(now=NOW) == FAILED
    assert bookmark() == last["id"]
    account.create()  # The list may grow during the search.
    runs = [services.sweep(now=NOW + number * MINUTE) for number in (1, 2)]

    assert runs == [FAILED, FINISHED]
    assert double.calls["GET /v1/payment_intents"] == 3
    old_payment.refresh_from_db()
    assert (old_payment.state, old_payment.intent_id) == ("finished", wanted["id"])
    assert bookmark() == ""


@pytest.mark.usefixtures("one_page_per_attempt")
def test_a_payment_is_abandoned_when_the_last_run_of_a_search_has_not_found_it(
    account: StripeAccount, old_payment: Payment
) -> None:
    for _ in range(2):
        account.create()

    assert services.sweep(now=NOW) == FAILED
    assert Payment.objects.get().state == "started"
    assert services.sweep(now=NOW + MINUTE) == FINISHED

    assert Payment.objects.get().status == "abandoned"
    entries = old_payment.timeline.exclude(what="taken over").order_by("at")
    assert [entry.what for entry in entries] == ["search paused", "abandoned"]


def test_a_search_that_is_killed_continues_at_the_page_that_it_was_reading(
    double: StripeDouble,
    account: StripeAccount,
    old_payment: Payment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        account.create()
    read_page = stripe_api._read_page

    def die_at_the_third_page(*given: Any, **filters: Any) -> stripe_api.Page:
        if double.calls["GET /v1/payment_intents"] == 2:
            raise KeyboardInterrupt
        return read_page(*given, **filters)

    with monkeypatch.context() as patch:
        patch.setattr(stripe_api, "_read_page", die_at_the_third_page)
        with pytest.raises(KeyboardInterrupt):
            services.sweep(now=NOW)
    assert services.sweep(now=NOW + MINUTE) == FINISHED

    assert double.calls["GET /v1/payment_intents"] == 3


def test_a_search_whose_bookmark_no_longer_exists_starts_again(
    account: StripeAccount, old_payment: Payment
) -> None:
    wanted = account.create(metadata={PAYMENT_METADATA_KEY: str(old_payment.uuid)})
    Payment.objects.update(search_bookmark="pi_gone")

    assert services.sweep(now=NOW) == FAILED
    assert (bookmark(), Payment.objects.get().status) == ("", "asked")
    assert services.sweep(now=NOW + timedelta(hours=1)) == FINISHED

    assert Payment.objects.get().intent_id == wanted["id"]


def test_a_search_after_a_failure_waits_as_long_as_any_other_attempt(
    double: StripeDouble, account: StripeAccount, old_payment: Payment
) -> None:
    Payment.objects.update(search_bookmark=account.create()["id"])
    double.faults.append(Fault("status", 401, writes=False))

    assert services.sweep(now=NOW) == FAILED
    assert services.sweep(now=NOW + MINUTE)["waiting"] == 1


def test_a_request_leaves_a_long_search_after_a_stored_error_to_the_sweeper(
    double: StripeDouble, account: StripeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create, "MAX_SEARCH_IN_REQUEST", timedelta())
    double.faults.append(Fault("status_after", 500))

    def pay_as_another_buyer(path: str) -> None:
        if not double.calls["GET /v1/payment_intents"]:
            account.create()  # The payment's intent is then not on the first page of the list.

    double.before_answer = pay_as_another_buyer

    with pytest.raises(services.StripeUnavailable, match="search"):
        services.create_payment(
            app=make_app(), new_payment=NewPayment(amount=2500, currency="EUR"), key="k", now=NOW
        )
    assert double.calls["GET /v1/payment_intents"] == 1
    assert services.sweep(now=NOW + MINUTE) == FINISHED

    payment = Payment.objects.get()
    assert payment.attempt == 1
    assert account.intents[payment.intent_id or ""]["metadata"]["ops_payment"] == str(payment.uuid)


@pytest.mark.usefixtures("one_page_per_attempt")
def test_after_a_stored_error_a_new_idempotency_key_is_used_only_at_the_end_of_the_search(
    double: StripeDouble, account: StripeAccount
) -> None:
    for _ in range(2):
        account.create()
    double.faults.append(Fault("status", 500))
    new_payment = NewPayment(amount=2500, currency="EUR")
    app = make_app()

    attempts = []
    for number in range(2):
        with pytest.raises(services.StripeUnavailable):
            services.create_payment(
                app=app, new_payment=new_payment, key="k", now=NOW + number * MINUTE
            )
        attempts.append((Payment.objects.get().attempt, bookmark() != ""))
    services.sweep(now=NOW + timedelta(hours=1))

    assert attempts == [(1, True), (2, False)]
    assert Payment.objects.get().intent_id == list(account.intents)[-1]
    assert len(account.intents) == 3
