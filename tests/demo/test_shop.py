"""Test that a real portal accepts every request of the demo shop."""

import random
import time
from collections.abc import Callable, Iterator

import pytest
import sentry_sdk

from demo.bank import Bank
from demo.portal import Keys
from demo.portal import Portal as Caller
from demo.shop import Shop
from tests.payments.stripe_double import StripeDouble
from tests.servers.portal import Portal


@pytest.fixture(scope="module")
def bank() -> Iterator[Bank]:
    bank = Bank(StripeDouble())
    yield bank
    bank.close()


@pytest.fixture
def shop(make_portal: Callable[..., Portal], bank: Bank) -> Iterator[tuple[Shop, Portal]]:
    random.seed(7)
    portal = make_portal(**bank.settings)
    portal.start()
    portal.manage("seed_demo")
    keys = Keys(portal.seeded.app_id, portal.public_key, portal.api_key)
    shop = Shop(Caller(portal.base_url, keys), Caller(portal.base_url, keys), bank)
    yield shop, portal
    shop.close()


def test_the_portal_accepts_every_request_of_the_shop(
    shop: tuple[Shop, Portal], capsys: pytest.CaptureFixture[str]
) -> None:
    demo, portal = shop
    sentry_sdk.init(dsn=demo.shop.dsn, auto_enabling_integrations=False)

    for _ in range(8):
        demo.browse_page()
        demo.run_functions()
        demo.send_messages()
        demo.buy_tickets()
        demo.report_error()
        demo.report_gate_error()
    demo.report_figures()
    demo.send_signals()
    sentry_sdk.flush(5)

    # The shop prints a message if an endpoint is missing or a request is rejected.
    assert capsys.readouterr().out == ""
    assert portal.value("SELECT count(*) FROM errors_errorevent") >= 4
    assert portal.value("SELECT count(*) FROM reservations_reservation") == 8
    assert portal.value("SELECT count(*) FROM payment_intents_log") >= 3
    assert portal.value("SELECT count(*) FROM health_signalbatch") == 1


def test_errors_of_the_checkout_name_orders_that_the_portal_knows(
    shop: tuple[Shop, Portal],
) -> None:
    demo, portal = shop
    sentry_sdk.init(dsn=demo.shop.dsn, auto_enabling_integrations=False)
    # After 7.5 minutes, the demo simulates an outage of the payment provider.
    demo.started = time.monotonic() - 7.5 * 60

    for _ in range(3):
        demo.buy_tickets()
    sentry_sdk.flush(5)

    known = "SELECT count(*) FROM errors_errorevent WHERE severity = 'critical' AND order_ref"
    assert portal.value(f"{known} IN (SELECT order_id FROM reservations_reservation)") == 3
    assert portal.value("SELECT count(*) FROM payment_intents_log") == 0


def test_a_missing_endpoint_is_printed_once_and_the_shop_continues(
    shop: tuple[Shop, Portal], capsys: pytest.CaptureFixture[str]
) -> None:
    demo, _ = shop

    assert [demo.shop.post("/api/v1/horoscopes/", {}) for _ in range(3)] == [None] * 3

    assert capsys.readouterr().out.count("does not exist") == 1
