"""Test that payment attempts are limited per buyer, and that the limit per API key is much higher."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from core.clients.models import ApiKey, Scope
from core.lib import ratelimit
from core.limits import blocked, tiers
from core.limits.models import BlockedCall, RateLimitTier, Tier
from payments.models import Payment
from tests.factories import make_app
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import Fault, StripeDouble

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def default_limits() -> Iterator[None]:
    tiers.read_limits()
    blocked.blocked_calls.clear()
    yield
    tiers._limits = {(tier, ""): limit for tier, limit in tiers.DEFAULTS.items()}
    blocked.blocked_calls.clear()


def client_of(slug: str) -> Client:
    _, secret = ApiKey.issue(app=make_app(slug), scopes=[Scope.PAYMENTS])
    return Client(headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def shop(account: StripeAccount) -> Client:
    return client_of("shop")


_numbers = itertools.count(1)


def pay(shop: Client, key: str = "", **buyer: str) -> Any:
    body = {"amount": 2500, "currency": "EUR", **buyer}
    return shop.post(
        "/api/v1/payments/",
        body,
        content_type="application/json",
        headers={"Idempotency-Key": key or f"key-{next(_numbers)}"},
    )


def set_limit(tier: Tier, limit: int, **fields: Any) -> None:
    RateLimitTier.objects.update_or_create(tier=tier, app=None, defaults={"limit": limit, **fields})
    tiers.read_limits()


@pytest.mark.parametrize(
    ("buyer", "other"),
    [
        ({"customer": "c-1"}, {"customer": "c-2"}),
        ({"customer": "Ann@example.org"}, {"customer": "ben@example.org"}),
        ({"client_address": "203.0.113.7"}, {"client_address": "203.0.113.8"}),
        ({"client_address": "2001:db8::1"}, {"client_address": "2001:db8:0:1::1"}),
    ],
)
def test_each_buyer_is_limited_to_20_attempts_a_minute(
    shop: Client, buyer: dict[str, str], other: dict[str, str]
) -> None:
    codes = [pay(shop, **buyer).status_code for _ in range(20)]
    refused = pay(shop, **buyer)

    assert 429 not in codes
    assert (refused.status_code, refused.json()["type"]) == (429, "buyer-limit")
    assert refused.json()["error"] == "Too many requests"
    assert refused.json()["retryAfter"] == int(refused["Retry-After"]) <= 60
    assert pay(shop, **other).status_code != 429
    assert pay(shop).status_code != 429


def test_repeats_of_a_payment_are_answered_regardless_of_the_limit(
    double: StripeDouble, shop: Client
) -> None:
    set_limit(Tier.BUYER, 1)
    double.faults.append(Fault("drop_before", times=2))
    codes = [pay(shop, "k-1", customer="c-1").status_code for _ in range(4)]

    assert codes == [503, 201, 201, 201]
    assert pay(shop, "k-2", customer="c-1").status_code == 429


def test_a_new_customer_id_does_not_evade_the_limit_of_the_address(shop: Client) -> None:
    for number in range(20):
        pay(shop, customer=f"c-{number}", client_address="203.0.113.7")

    assert pay(shop, customer="c-20", client_address="203.0.113.7").status_code == 429


def test_many_buyers_of_one_shop_do_not_block_each_other(shop: Client) -> None:
    codes = {pay(shop, customer=f"c-{number}").status_code for number in range(60)}

    assert 429 not in codes


def test_the_same_customer_id_in_two_apps_denotes_two_buyers(shop: Client) -> None:
    for _ in range(20):
        pay(shop, customer="c-1")

    assert pay(client_of("gate"), customer="c-1").status_code != 429


def test_the_limits_can_be_changed_and_disabled(shop: Client) -> None:
    set_limit(Tier.BUYER, 1)
    assert [pay(shop, customer="c-1").status_code for _ in range(2)][-1] == 429
    set_limit(Tier.BUYER, 1, is_enabled=False)
    assert pay(shop, customer="c-1").status_code != 429
    set_limit(Tier.PAYMENT, 0)
    ratelimit.memory.clear()
    refused = pay(shop)
    assert (refused.status_code, refused.json()["type"]) == (429, "about:blank")


def test_a_blocked_buyer_is_recorded_without_personal_data(shop: Client) -> None:
    set_limit(Tier.BUYER, 0)

    pay(shop, customer="ann@example.org")
    blocked.blocked_calls.flush()

    [call] = BlockedCall.objects.all()
    assert (call.tier, call.path) == ("buyer", "/api/v1/payments/")
    assert "ann@" not in call.subject


def test_the_address_is_not_stored(shop: Client) -> None:
    address = "203.0.113.77"

    assert pay(shop, client_address=address).status_code == 201

    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM payment_intents_log")
        assert address not in str(cursor.fetchall())
    assert Payment.objects.count() == 1


def test_an_invalid_address_gets_a_422(shop: Client) -> None:
    assert pay(shop, client_address="here").status_code == 422


def test_installations_with_the_old_default_get_the_new_default() -> None:
    limits = dict(RateLimitTier.objects.filter(app=None).values_list("tier", "limit"))

    assert (limits["payment"], limits["buyer"]) == (1_200, 20)
