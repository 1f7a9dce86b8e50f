"""The demonstration shop, one act at a time, against a real portal: what it does must be taken, not refused."""

import random
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


def test_every_act_is_taken_by_the_portal(
    shop: tuple[Shop, Portal], capsys: pytest.CaptureFixture[str]
) -> None:
    acts, portal = shop
    sentry_sdk.init(dsn=acts.shop.dsn, auto_enabling_integrations=False)

    for _ in range(8):
        acts.someone_browses()
        acts.functions_run()
        acts.messages_go_out()
        acts.someone_buys()
        acts.something_breaks()
        acts.a_gate_reports()
    acts.figures()
    acts.send_signals()
    sentry_sdk.flush(5)

    assert capsys.readouterr().out == ""  # nothing was missing and nothing refused
    assert portal.value("SELECT count(*) FROM errors_errorevent") >= 4
    assert portal.value("SELECT count(*) FROM reservations_reservation") == 8
    assert portal.value("SELECT count(*) FROM payment_intents_log") >= 3
    assert portal.value("SELECT count(*) FROM health_signalbatch") == 1


def test_a_missing_endpoint_is_told_once_and_the_shop_goes_on(
    shop: tuple[Shop, Portal], capsys: pytest.CaptureFixture[str]
) -> None:
    acts, _ = shop

    assert [acts.shop.post("/api/v1/horoscopes/", {}) for _ in range(3)] == [None] * 3

    assert capsys.readouterr().out.count("is not there yet") == 1
