"""Test how updates of an intent from Stripe are read, and which of two updates is newer."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payments.intents import PAYMENT_METADATA_KEY, Intent, NotAnIntent, is_newer

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def payload(**changes: Any) -> dict[str, Any]:
    """Return a payment intent as Stripe's API and webhooks represent it."""
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "processing",
        "amount": 2500,
        "amount_received": 0,
        "currency": "eur",
        "created": int(NOON.timestamp()),
        "livemode": True,
        "metadata": {PAYMENT_METADATA_KEY: "0c5b3b0e-4a51-4e25-9ee6-6e0b8f1b9f1a", "seat": "A7"},
        "client_secret": "pi_1_secret_x",
        **changes,
    }


def test_an_intent_is_read_from_stripes_payload() -> None:
    intent = Intent.from_stripe(payload())

    assert intent == Intent(
        id="pi_1",
        status="processing",
        amount=2500,
        currency="EUR",
        amount_received=0,
        created_at=NOON,
        livemode=True,
        metadata={PAYMENT_METADATA_KEY: "0c5b3b0e-4a51-4e25-9ee6-6e0b8f1b9f1a", "seat": "A7"},
        client_secret="pi_1_secret_x",
    )
    assert intent.created_at.tzinfo is UTC
    assert intent.payment_uuid == "0c5b3b0e-4a51-4e25-9ee6-6e0b8f1b9f1a"


def test_what_stripe_leaves_out_is_empty() -> None:
    intent = Intent.from_stripe(payload(livemode=None, metadata=None, client_secret=None))

    assert (intent.livemode, intent.metadata, intent.client_secret) == (False, {}, "")
    assert intent.payment_uuid == ""


@pytest.mark.parametrize(
    ("status", "received", "expected"),
    [
        ("succeeded", None, 2500),
        ("succeeded", 2000, 2000),
        ("succeeded", 0, 0),
        ("processing", None, 0),
        ("canceled", None, 0),
        ("requires_capture", 100, 100),
    ],
)
def test_a_success_that_names_no_amount_was_paid_in_full(
    status: str, received: int | None, expected: int
) -> None:
    intent = Intent.from_stripe(payload(status=status, amount_received=received))

    assert intent.amount_received == expected


def test_a_client_secret_is_not_shown_where_an_intent_is_printed() -> None:
    assert "secret" not in repr(Intent.from_stripe(payload()))


@pytest.mark.parametrize("name", ["id", "status", "amount", "currency", "created"])
def test_a_payload_without_what_every_intent_has_is_none(name: str) -> None:
    incomplete = payload()
    del incomplete[name]

    with pytest.raises(NotAnIntent, match=name):
        Intent.from_stripe(incomplete)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "on_the_moon"},
        {"amount": "many"},
        {"amount": None},
        {"created": 10**20},
        {"metadata": 7},
    ],
)
def test_a_payload_that_says_what_no_intent_says_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(NotAnIntent):
        Intent.from_stripe(payload(**changes))


# --- news ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told_at", "is_replaced"), [(NOON - SECOND, False), (NOON, None), (NOON + SECOND, True)]
)
@pytest.mark.parametrize(
    ("known", "told"),
    [
        ("requires_payment_method", "requires_action"),
        ("requires_confirmation", "processing"),
        ("processing", "requires_payment_method"),
        ("requires_capture", "requires_action"),
    ],
)
def test_the_later_second_counts_and_within_one_stripe_is_asked(
    known: str, told: str, told_at: datetime, is_replaced: bool | None
) -> None:
    assert is_newer(known=known, known_at=NOON, reported=told, reported_at=told_at) is is_replaced


@pytest.mark.parametrize("told_at", [NOON - SECOND, NOON, NOON + SECOND])
@pytest.mark.parametrize("told", ["succeeded", "canceled"])
def test_an_end_replaces_what_is_no_end_whatever_the_clocks_say(
    told: str, told_at: datetime
) -> None:
    assert is_newer(known="processing", known_at=NOON, reported=told, reported_at=told_at) is True


@pytest.mark.parametrize("known_at", [None, NOON])
@pytest.mark.parametrize("told", ["processing", "requires_payment_method", "succeeded", "canceled"])
@pytest.mark.parametrize("known", ["succeeded", "canceled"])
def test_an_end_never_gives_way(known: str, told: str, known_at: datetime | None) -> None:
    later = NOON + SECOND

    assert is_newer(known=known, known_at=known_at, reported=told, reported_at=later) is False


def test_the_same_status_is_no_news() -> None:
    later = NOON + SECOND

    assert (
        is_newer(known="processing", known_at=NOON, reported="processing", reported_at=later)
        is False
    )


@pytest.mark.parametrize(("known", "known_at"), [("processing", None), ("asked", NOON)])
def test_anything_replaces_what_stripe_never_said(known: str, known_at: datetime | None) -> None:
    earlier = NOON - SECOND

    assert (
        is_newer(known=known, known_at=known_at, reported="requires_action", reported_at=earlier)
        is True
    )
