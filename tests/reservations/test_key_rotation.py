"""Test that customers identified by e-mail address are still recognized after SECRET_KEY was rotated."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from core.clients.models import ApiKey, Scope
from core.lib.customers import customer_reference
from reservations.models import Reservation, TicketType, WaitingEntry
from tests.factories import make_app, make_ticket_type

pytestmark = pytest.mark.django_db
ADDRESS = "ann@example.org"


@pytest.fixture
def rotate(settings: Settings) -> Callable[[], None]:
    """Return a function that replaces SECRET_KEY and keeps the old one as a fallback."""

    def replace_key() -> None:
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
        settings.SECRET_KEY += "-rotated"

    return replace_key


class Shop:
    """An app that calls the API. Its API key does not depend on SECRET_KEY."""

    def __init__(self) -> None:
        _, secret = ApiKey.issue(app=make_app(), scopes=[Scope.RESERVATIONS])
        self.client = Client(headers={"Authorization": f"Bearer {secret}"})

    def post(self, path: str, body: dict[str, object], key: str = "") -> Any:
        headers = {"Idempotency-Key": key} if key else None
        return self.client.post(path, body, content_type="application/json", headers=headers)

    def reserve(self, type_: TicketType, quantity: int = 1, key: str = "") -> Any:
        items = [{"ticket_type": type_.pk, "quantity": quantity}]
        return self.post("/api/v1/reservations/", {"items": items, "customer": ADDRESS}, key)

    def join(self, type_: TicketType) -> Any:
        body = {"ticket_type": type_.pk, "quantity": 1, "customer": ADDRESS}
        return self.post("/api/v1/waiting-list/", body)


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_a_limit_per_customer_still_applies(shop: Shop, rotate: Callable[[], None]) -> None:
    type_ = make_ticket_type(10, per_customer_limit=2)
    assert shop.reserve(type_, 2).status_code == 201

    for _ in range(2):
        rotate()
        refused = shop.reserve(type_)
        assert (refused.status_code, refused.json()["owned"]) == (409, 2)
    assert Reservation.objects.get().customer == customer_reference(ADDRESS)


def test_a_known_customer_is_recognized_after_the_old_key_was_removed(
    shop: Shop, rotate: Callable[[], None], settings: Settings
) -> None:
    type_ = make_ticket_type(10, per_customer_limit=2)
    shop.reserve(type_)
    rotate()
    shop.reserve(type_)

    settings.SECRET_KEY_FALLBACKS = []

    assert shop.reserve(type_).json()["owned"] == 2


def test_a_customer_keeps_their_place_on_the_waiting_list(
    shop: Shop, rotate: Callable[[], None]
) -> None:
    type_ = make_ticket_type(0, has_waiting_list=True)
    first = shop.join(type_)
    rotate()

    again = shop.join(type_)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert WaitingEntry.objects.get().customer == customer_reference(ADDRESS)


def test_a_repeated_request_gets_its_reservation(shop: Shop, rotate: Callable[[], None]) -> None:
    type_ = make_ticket_type(10)
    first = shop.reserve(type_, key="k-1")
    rotate()

    again = shop.reserve(type_, key="k-1")

    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert shop.reserve(type_, 2, key="k-1").status_code == 422


def test_the_stored_fingerprint_cannot_be_computed_without_the_key(
    shop: Shop, settings: Settings
) -> None:
    type_ = make_ticket_type(10)
    shop.reserve(type_)
    settings.SECRET_KEY += "-other"
    shop.reserve(type_)

    first, second = Reservation.objects.values_list("fingerprint", flat=True)
    assert first != second
