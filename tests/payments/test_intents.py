"""Test parsing a payment intent from Stripe, and deciding which of two reported statuses is newer."""

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


def test_fields_that_stripe_leaves_out_are_empty() -> None:
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


def test_printing_an_intent_does_not_show_the_client_secret() -> None:
    assert "secret" not in repr(Intent.from_stripe(payload()))


@pytest.mark.parametrize("name", ["id", "status", "amount", "currency", "created"])
def test_a_payload_without_a_required_field_is_not_an_intent(name: str) -> None:
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
def test_a_payload_with_an_invalid_value_is_not_an_intent(changes: dict[str, Any]) -> None:
    with pytest.raises(NotAnIntent):
        Intent.from_stripe(payload(**changes))


# --- newer and older statuses
# ------------------------------------------------------------------------------------------


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
def test_the_later_timestamp_counts_and_a_tie_requires_a_query_at_stripe(
    known: str, told: str, told_at: datetime, is_replaced: bool | None
) -> None:
    assert is_newer(known=known, known_at=NOON, reported=told, reported_at=told_at) is is_replaced


@pytest.mark.parametrize("told_at", [NOON - SECOND, NOON, NOON + SECOND])
@pytest.mark.parametrize("told", ["succeeded", "canceled"])
def test_a_final_status_replaces_any_other_whatever_the_timestamps_are(
    told: str, told_at: datetime
) -> None:
    assert is_newer(known="processing", known_at=NOON, reported=told, reported_at=told_at) is True


@pytest.mark.parametrize("known_at", [None, NOON])
@pytest.mark.parametrize("told", ["processing", "requires_payment_method", "succeeded", "canceled"])
@pytest.mark.parametrize("known", ["succeeded", "canceled"])
def test_a_final_status_is_never_replaced(known: str, told: str, known_at: datetime | None) -> None:
    later = NOON + SECOND

    assert is_newer(known=known, known_at=known_at, reported=told, reported_at=later) is False


def test_the_same_status_is_not_newer() -> None:
    later = NOON + SECOND

    assert (
        is_newer(known="processing", known_at=NOON, reported="processing", reported_at=later)
        is False
    )


@pytest.mark.parametrize(("known", "known_at"), [("processing", None), ("asked", NOON)])
def test_any_status_replaces_one_that_stripe_did_not_report(
    known: str, known_at: datetime | None
) -> None:
    earlier = NOON - SECOND

    assert (
        is_newer(known=known, known_at=known_at, reported="requires_action", reported_at=earlier)
        is True
    )
